"""Which of several kinds of user, or wish, a prompt is most like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Ask, Classify, Failure, Flow, Labels, Similar, ask_each
from wayside.vocab.likeness import Cosines, Examples, Places, best, prototype, share, shown
from wayside.vocab.likeness import unknown as unanswered
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

ExampleText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class PreferenceRule(Settings):
    """Example: ``{examples: [keep it short, bullet points only], threshold: 0.4}``"""

    examples: Annotated[tuple[ExampleText, ...], Field(max_length=2_000)] = ()
    """Texts that show the preference; the rules compete by theirs."""
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """The least score, or probability, that matches."""
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0
    """By how much the rule must beat every other rule of this kind; for ``examples``."""
    embedder: Annotated[EngineName | None, EngineOf("embed")] = None
    """The engine that compares with the examples; ``embedding`` where there are any."""
    engine: Annotated[EngineName | None, EngineOf("classify")] = None
    """Instead of examples: a classifier, such as a language model, whose labels are the names
    of the rules."""

    @model_validator(mode="before")
    @classmethod
    def _usual_embedder(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("examples"):
            return {"embedder": "embedding", **value}
        return value

    @model_validator(mode="after")
    def _one_way(self) -> PreferenceRule:
        if bool(self.examples) == (self.engine is not None):
            raise ValueError("give either examples or an engine that knows the rules by name")
        if self.engine is not None and self.margin:
            raise ValueError("margin compares examples; remove it, or raise the threshold")
        if self.engine is not None and self.embedder is not None:
            raise ValueError("embedder compares examples; remove it where an engine decides")
        return self


@catalog.register("signal", "preference", settings=PreferenceRule, stability="stable")
class PreferenceSignal:
    """Matches the rule whose examples, or whose name, suit the question best."""

    def __init__(self, rules: Mapping[str, PreferenceRule]) -> None:
        texts = Examples()
        self._compared: list[tuple[str, PreferenceRule, str, Places]] = []
        self._named: list[tuple[str, PreferenceRule, str]] = []
        for name, rule in rules.items():
            if rule.engine is not None:
                self._named.append((name, rule, rule.engine))
            else:
                engine = rule.embedder or "embedding"
                places = texts.add(rule.examples, engine)
                self._compared.append((name, rule, engine, places))
        self.banks = texts.banks()

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip():
            return {}
        questions: dict[tuple[str, str], Ask[Any]] = {
            ("like", engine): Similar(text, bank) for engine, bank in self.banks.items()
        }
        for _, _, engine in self._named:
            questions["named", engine] = Classify(text, engine)
        found = yield from ask_each(questions)
        reading = self._contrast({e: found["like", e] for e in self.banks})
        for name, rule, engine in self._named:
            ranked = found["named", engine]
            if isinstance(ranked, Failure):
                reading[name] = unanswered(ranked)
            else:
                reading[name] = _named(name, rule, ranked)
        return reading

    def _contrast(self, found: Mapping[str, Cosines | Failure]) -> dict[str, Verdict]:
        reading: dict[str, Verdict] = {}
        scored = []
        for name, rule, engine, places in self._compared:
            cosines = found[engine]
            if isinstance(cosines, Failure):
                reading[name] = unanswered(cosines)
            else:
                nearest = self.banks[engine].texts[best(cosines, places)]
                scored.append((name, rule, prototype(cosines, places), nearest))
        for i, (name, rule, score, nearest) in enumerate(scored):
            others = [other for j, (_, _, other, _) in enumerate(scored) if j != i]
            ahead = score - max(others) if others else score
            matched = score >= rule.threshold and (not others or ahead >= rule.margin)
            because = f"{score:.2f} like {shown(nearest)!r}"
            if others:
                because += f", {ahead:+.2f} to the next rule"
            reading[name] = Verdict(matched, share(score) if matched else 0.0, because, score)
        return reading


def _named(name: str, rule: PreferenceRule, ranked: Labels) -> Verdict:
    label, probability = ranked[0] if ranked else ("nothing", 0.0)
    mine = dict(ranked).get(name, 0.0)
    matched = label == name and mine >= rule.threshold
    because = f"{shown(label)} {probability:.2f}"
    return Verdict(matched, share(mine) if matched else 0.0, because, mine)
