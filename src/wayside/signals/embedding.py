"""What a prompt means, by example: how near it is to texts that say what is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Bank, Failure, Flow
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.likeness import (
    Cosines,
    Examples,
    Places,
    best,
    compare,
    prototype,
    share,
    shown,
    unknown,
)
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

ExampleText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class EmbeddingRule(Settings):
    """Example: ``{examples: [reset my password, I cannot sign in], threshold: 0.5}``"""

    examples: Annotated[tuple[ExampleText, ...], Field(min_length=1, max_length=2_000)]
    """Texts that mean what the rule is about, as users would write them."""
    negatives: Annotated[tuple[ExampleText, ...], Field(max_length=2_000)] = ()
    """Texts that are near to the examples and not meant."""
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """The least score that matches."""
    aggregate: Literal["prototype", "max", "mean", "any"] = "prototype"
    """How the cosines to the examples make one score: .75 of the best and .25 of the mean of
    the best two; the best (``max``, and ``any``, its name in vSR); their mean."""
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0
    """By how much the score must exceed the cosine to the nearest of the negatives."""
    soft: Annotated[float, Field(ge=-1, le=1)] | None = None
    """A lower score that matches too, when no rule of this kind reaches its threshold."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Match only when among so many best rules of this kind; 0 asks nothing of the kind."""
    modality: Literal["text", "image"] = "text"
    """What of the prompt is compared. No engine of this release reads images."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares."""

    @model_validator(mode="after")
    def _soft_is_softer(self) -> EmbeddingRule:
        if self.soft is not None and self.soft > self.threshold:
            raise ValueError(f"soft {self.soft} is above threshold {self.threshold}; swap them")
        return self


class _Compared(NamedTuple):
    name: str
    rule: EmbeddingRule
    examples: Places
    negatives: Places


class _Score(NamedTuple):
    of: _Compared
    score: float
    because: str
    vetoed: bool


@catalog.register("signal", "embedding", settings=EmbeddingRule, stability="stable")
class EmbeddingSignal:
    """Matches when the question means about the same as the rule's examples."""

    def __init__(self, rules: Mapping[str, EmbeddingRule]) -> None:
        problems = [
            Problem(
                "no engine can compare images with texts",
                f"{name}.modality",
                "use modality text, or signal input_modality to see that there is an image",
            )
            for name, rule in rules.items()
            if rule.modality == "image"
        ]
        if problems:
            raise ConfigError(problems)
        texts = Examples()
        self._rules = [
            _Compared(
                name,
                rule,
                texts.add(rule.examples, rule.engine),
                texts.add(rule.negatives, rule.engine),
            )
            for name, rule in rules.items()
        ]
        self.banks = texts.banks()

    def read(self, prompt: Prompt) -> Flow[Reading]:
        if not prompt.question.strip():
            return {}
        found = yield from compare(prompt.question, self.banks)
        reading: dict[str, Verdict] = {}
        scores = []
        for one in self._rules:
            cosines = found[one.rule.engine]
            if isinstance(cosines, Failure):
                reading[one.name] = unknown(cosines)
            else:
                scores.append(_score(one, cosines, self.banks[one.rule.engine]))
        reading.update(_judge(scores))
        return reading


def _score(one: _Compared, cosines: Cosines, bank: Bank) -> _Score:
    score = _AGGREGATES[one.rule.aggregate](cosines, one.examples)
    nearest = best(cosines, one.examples)
    because = f"{score:.2f} like {shown(bank.texts[nearest])!r}"
    if not one.negatives:
        return _Score(one, score, because, False)
    against = best(cosines, one.negatives)
    vetoed = score - cosines[against] < one.rule.margin or score <= cosines[against]
    if vetoed:
        because += f", but {cosines[against]:.2f} like {shown(bank.texts[against])!r}"
    return _Score(one, score, because, vetoed)


def _judge(scores: list[_Score]) -> dict[str, Verdict]:
    """Who reaches the threshold or, when nobody does, the soft one; of those the best few."""
    matched = [s for s in scores if not s.vetoed and s.score >= s.of.rule.threshold]
    if not matched:
        matched = [
            s
            for s in scores
            if not s.vetoed and s.of.rule.soft is not None and s.score >= s.of.rule.soft
        ]
    reading = {s.of.name: Verdict(False, 0.0, s.because, s.score) for s in scores}
    for one in matched:
        better = sum(other.score > one.score for other in matched)
        if not one.of.rule.top_k or better < one.of.rule.top_k:
            reading[one.of.name] = Verdict(True, share(one.score), one.because, one.score)
    return reading


def _max(cosines: Cosines, places: Places) -> float:
    return max([cosines[i] for i in places])


def _mean(cosines: Cosines, places: Places) -> float:
    return sum([cosines[i] for i in places]) / len(places)


_AGGREGATES: dict[str, Callable[[Cosines, Places], float]] = {
    "prototype": prototype,
    "max": _max,
    "mean": _mean,
    "any": _max,
}
