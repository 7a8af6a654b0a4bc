"""How much reasoning an answer needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Ask, Classify, Failure, Flow, Labels, Similar, ask_each
from wayside.vocab.likeness import (
    Cosines,
    Examples,
    Places,
    best,
    prototype,
    share,
    shown,
    unknown,
)
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

ExampleText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[ExampleText, ...], Field(max_length=2_000)]
Margin = Annotated[float, Field(ge=-2, le=2)]


class ComplexityRule(Settings):
    """Example: ``{level: hard, threshold: 0.6}``"""

    level: Literal["easy", "medium", "hard"] = "hard"
    """What the prompt must be."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """With a classifier, the least probability of the level (0.5); with examples, how much
    nearer a prompt must be to one side to be hard or easy (0.1)."""
    hard: Texts = ()
    """Examples of hard prompts; with ``easy``, they take the place of the classifier."""
    easy: Texts = ()
    """Examples of easy prompts."""
    hard_above: Margin | None = None
    """With examples: the margin above which a prompt is hard, if not ``threshold``."""
    easy_below: Margin | None = None
    """With examples: the margin below which a prompt is easy, if not minus ``threshold``."""
    engine: Annotated[EngineName | None, EngineOf("classify")] = None
    """The classifier, with labels easy, medium and hard; ``complexity`` without examples."""
    embedder: Annotated[EngineName | None, EngineOf("embed")] = None
    """The engine that compares with the examples; ``embedding`` where there are any."""

    @model_validator(mode="before")
    @classmethod
    def _usual_engine(cls, value: Any) -> Any:
        if isinstance(value, dict):
            contrasts = value.get("hard") or value.get("easy")
            return (
                {"embedder": "embedding", **value}
                if contrasts
                else {
                    "engine": "complexity",
                    **value,
                }
            )
        return value

    @model_validator(mode="after")
    def _one_way(self) -> ComplexityRule:
        if bool(self.hard) != bool(self.easy):
            raise ValueError("give examples of both hard and easy prompts, or of neither")
        if self.hard and self.engine is not None:
            raise ValueError("give either examples or a classifier, not both")
        if not self.hard:
            for name in ("hard_above", "easy_below", "embedder"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for examples; remove it, or give hard and easy")
        elif self.bounds()[0] < self.bounds()[1]:
            raise ValueError("hard_above is below easy_below, so a prompt could be both")
        return self

    def bounds(self) -> tuple[float, float]:
        """The margin above which a prompt is hard, and the one below which it is easy."""
        threshold = 0.1 if self.threshold is None else self.threshold
        return (
            threshold if self.hard_above is None else self.hard_above,
            -threshold if self.easy_below is None else self.easy_below,
        )


@catalog.register("signal", "complexity", settings=ComplexityRule, stability="stable")
class ComplexitySignal:
    """Matches when answering the question takes little, some or much reasoning."""

    def __init__(self, rules: Mapping[str, ComplexityRule]) -> None:
        texts = Examples()
        self._contrasted: list[tuple[str, ComplexityRule, str, Places, Places]] = []
        self._classified: list[tuple[str, ComplexityRule, str]] = []
        for name, rule in rules.items():
            if rule.hard:
                engine = rule.embedder or "embedding"
                hard, easy = texts.add(rule.hard, engine), texts.add(rule.easy, engine)
                self._contrasted.append((name, rule, engine, hard, easy))
            else:
                self._classified.append((name, rule, rule.engine or "complexity"))
        self.banks = texts.banks()

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip():
            return {}
        questions: dict[tuple[str, str], Ask[Any]] = {
            ("like", engine): Similar(text, bank) for engine, bank in self.banks.items()
        }
        for _, _, engine in self._classified:
            questions["level", engine] = Classify(text, engine)
        found = yield from ask_each(questions)
        reading = {}
        for name, rule, engine in self._classified:
            ranked = found["level", engine]
            if isinstance(ranked, Failure):
                reading[name] = unknown(ranked)
            else:
                reading[name] = _classified(rule, ranked)
        for name, rule, engine, hard, easy in self._contrasted:
            cosines = found["like", engine]
            if isinstance(cosines, Failure):
                reading[name] = unknown(cosines)
            else:
                texts = self.banks[engine].texts
                reading[name] = _contrasted(rule, cosines, texts, hard, easy)
        return reading


def _classified(rule: ComplexityRule, ranked: Labels) -> Verdict:
    probability = dict(ranked).get(rule.level, 0.0)
    because = f"{shown(ranked[0][0])} {ranked[0][1]:.2f}" if ranked else "no label"
    matched = bool(ranked) and probability >= (0.5 if rule.threshold is None else rule.threshold)
    return Verdict(matched, share(probability) if matched else 0.0, because, probability)


def _contrasted(
    rule: ComplexityRule, cosines: Cosines, texts: tuple[str, ...], hard: Places, easy: Places
) -> Verdict:
    margin = prototype(cosines, hard) - prototype(cosines, easy)
    above, below = rule.bounds()
    level = "hard" if margin > above else "easy" if margin < below else "medium"
    nearest = texts[best(cosines, hard if margin > 0 else easy)]
    because = f"{level}: margin {margin:+.2f}, most like {shown(nearest)!r}"
    matched = level == rule.level
    sure = 1 - abs(margin) if level == "medium" else abs(margin)
    return Verdict(matched, share(sure) if matched else 0.0, because, margin)
