"""The shape of the question: how many, how dense, in which order. No model, no guessing.

A text's length is counted in units that mean the same in any language: a word where words are
spaced, a character where they are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import UNSPACED, Bounds, Reading, WholeWords, fold
from wayside.vocab.patterns import compile_pattern
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class RegexSource(Settings):
    """Matches of a pattern.

    Example: ``{type: regex, pattern: "[?？]"}``
    """

    type: Literal["regex"]
    pattern: Annotated[str, Field(min_length=1)]
    """An RE2 pattern; matches that do not overlap are counted."""
    case_sensitive: bool = True


class KeywordSetSource(Settings):
    """Occurrences of any of some words.

    Example: ``{type: keyword_set, keywords: [table, bullet, json]}``
    """

    type: Literal["keyword_set"]
    keywords: Annotated[tuple[Word, ...], Field(min_length=1)]
    """Whole words or phrases; every occurrence is counted."""
    case_sensitive: bool = False


class SequenceSource(Settings):
    """Words in a given order.

    Example: ``{type: sequence, sequences: [[first, then], [first, next, finally]]}``
    """

    type: Literal["sequence"]
    sequences: Annotated[
        tuple[Annotated[tuple[Word, ...], Field(min_length=1)], ...], Field(min_length=1)
    ]
    """Lists of words that follow one another, anything between; those found are counted."""
    case_sensitive: bool = False


class LengthSource(Settings):
    """The length of the text.

    Example: ``{type: text_bytes}``
    """

    type: Literal["text_bytes", "words", "sentences", "lines"]
    """UTF-8 bytes; units as in densities; sentences; lines that are not blank."""


Source = Annotated[
    RegexSource | KeywordSetSource | SequenceSource | LengthSource, Field(discriminator="type")
]


class StructureFeature(Settings):
    """A number to be had from the text.

    Example: ``{type: density, source: {type: keyword_set, keywords: [at most, at least]}}``
    """

    type: Literal["exists", "count", "density", "sequence"]
    """Whether there is one (1 or 0); how many; how many per unit; whether a sequence occurs."""
    source: Source
    """What is counted."""

    @model_validator(mode="after")
    def _fits(self) -> StructureFeature:
        if self.type == "sequence" and self.source.type != "sequence":
            raise ValueError(f"feature sequence reads source sequence, not {self.source.type}")
        return self


class StructureRule(Settings):
    """Example: ``{feature: {type: count, source: {type: regex, pattern: "[?？]"}}, predicate: {gte: 4}}``"""  # noqa: E501

    feature: StructureFeature
    """What is counted, and how."""
    predicate: Bounds | None = None
    """What the number must be; needed for ``count`` and ``density``, at least 1 for the others."""

    @model_validator(mode="after")
    def _number_is_compared(self) -> StructureRule:
        if self.feature.type in ("count", "density") and self.predicate is None:
            raise ValueError(f"{self.feature.type} needs a predicate, such as {{gte: 2}}")
        return self


Count = Callable[[str], int]


@catalog.register("signal", "structure", settings=StructureRule, stability="stable")
class StructureSignal:
    """Matches on counts, densities and orders of things in the question."""

    def __init__(self, rules: Mapping[str, StructureRule]) -> None:
        counts: dict[Any, Count] = {}  # rules that count the same thing count it once
        for name, rule in rules.items():
            source = rule.feature.source
            if source not in counts:
                counts[source] = _count(source, f"{name}.feature.source.pattern")
        self._counts = tuple(counts.values())
        place = {source: i for i, source in enumerate(counts)}
        self._rules = [
            (name, rule.feature.type, place[rule.feature.source], rule.predicate)
            for name, rule in rules.items()
        ]
        self._measures = any(kind == "density" for _, kind, _, _ in self._rules)

    def read(self, prompt: Prompt) -> Reading:
        text = prompt.question
        if not text.strip():
            return {}
        numbers = [count(text) for count in self._counts]
        units = max(1, count_units(text)) if self._measures else 1
        return {
            name: _judge(kind, numbers[i], units, predicate)
            for name, kind, i, predicate in self._rules
        }


def _judge(kind: str, number: int, units: int, predicate: Bounds | None) -> Verdict:
    value: float = number
    if kind == "density":
        value = number / units
        because = f"{number} in {units} units"
    else:
        because = f"{number} found"
        if kind != "count":
            value = min(1, number)
    matched = predicate.hold(value) if predicate else value >= 1
    return Verdict(matched, 1.0 if matched else 0.0, because, value)


def _count(source: Any, where: str) -> Count:
    if isinstance(source, RegexSource):
        pattern = compile_pattern(
            source.pattern, case_sensitive=source.case_sensitive, where=where
        )
        return lambda text: sum(1 for _ in pattern.finditer(text.encode("utf-8", "replace")))
    if isinstance(source, KeywordSetSource):
        return _count_words(source)
    if isinstance(source, SequenceSource):
        return _count_sequences(source)
    return _LENGTHS[source.type]


def _count_words(source: KeywordSetSource) -> Count:
    exact = source.case_sensitive
    words = WholeWords(list(dict.fromkeys(fold(word, exact) for word in source.keywords)))

    def count(text: str) -> int:
        """Longest first where keywords overlap: "no more than" is one constraint, not two."""
        number, covered = 0, -1
        for start, end in sorted(
            ((start, end) for _, start, end in words.find(fold(text, exact))),
            key=lambda span: (span[0], -span[1]),
        ):
            if start >= covered:
                number, covered = number + 1, end
        return number

    return count


def _count_sequences(source: SequenceSource) -> Count:
    exact = source.case_sensitive
    sequences = [tuple(fold(word, exact) for word in words) for words in source.sequences]
    distinct = list(dict.fromkeys(word for words in sequences for word in words))
    finder = WholeWords(distinct)
    wanted = [[distinct.index(word) for word in words] for words in sequences]

    def count(text: str) -> int:
        spans = sorted((start, end, i) for i, start, end in finder.find(fold(text, exact)))
        return sum(_follow(spans, words) for words in wanted) if spans else 0

    return count


def _follow(spans: list[tuple[int, int, int]], words: list[int]) -> bool:
    """Whether ``words`` occur one after another. Taking each as early as possible is enough."""
    place, reached = 0, 0
    for start, end, word in spans:
        if word == words[place] and start >= reached:
            place, reached = place + 1, end
            if place == len(words):
                return True
    return False


_WORD_BYTES = bytes(b if chr(b).isalnum() or b == ord("_") else 32 for b in range(128)).ljust(256)
_WORDS = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[。！？\n]+")  # the dot of 3.5 ends nothing
_LETTER = re.compile(r"\w")


def count_units(text: str) -> int:
    """Words where words are spaced, characters where they are not (spec: multilingual units)."""
    if text.isascii():  # 20 us for 4 KB, where the pattern takes 86
        return len(text.encode().translate(_WORD_BYTES, b"'").split())
    spaced, unspaced = UNSPACED.subn(" ", text)
    return unspaced + len(_WORDS.findall(spaced))


def _count_sentences(text: str) -> int:
    return sum(1 for part in _SENTENCE_END.split(text) if _LETTER.search(part))


_LENGTHS: dict[str, Count] = {
    "text_bytes": lambda text: len(text.encode("utf-8", "replace")),
    "words": count_units,
    "sentences": _count_sentences,
    "lines": lambda text: sum(1 for line in text.splitlines() if line.strip()),
}
