"""Which claims of an answer its sources do not support, by words, numbers, names and meaning.

Every sentence of the answer is held against the sentence of the sources, or the two neighbours,
that is nearest to it. What counts is how many of its words are there, or words of nearly the same
meaning (the built-in embedder's vectors); whether its numbers and names are anywhere; whether one
says not, or the opposite, and the other does not. These six numbers make a probability (logistic
regression, fitted to `corpora/grounding/claims.txt` by `scripts/fit_grounding.py`). It compares
words: it does not reason, and calculates nothing.

docs/reference/models/grounding.md says how often it is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from itertools import pairwise
from math import exp
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines.base import Engine, Vectors
from wayside.engines.claims import Sentence, opposed, sentences
from wayside.engines.embedding import StaticEmbedder
from wayside.settings import Task
from wayside.vocab.ask import Span, Spans

LABEL: Final = "unsupported"
LEAST: Final = 0.5
"""Claims that are more likely supported than not are not marked."""
READ: Final = 16_000
"""Characters that are read: of an answer the first, of its sources the first and the last half."""
MOST_CLAIMS: Final = 64
MOST_SENTENCES: Final = 256
AT_ONCE: Final = 3_000
"""Characters of both together up to which the answer is there in a millisecond or two; more is
read on another thread."""
_LEAST_WORDS: Final = 2  # of content: "Sure!" and "Let me see." claim nothing

FEATURES: Final = (
    "words not there",
    "meanings not there",
    "numbers nowhere",
    "names nowhere",
    "negated otherwise",
    "opposites",
)
WEIGHTS: Final = (0.47, 0.13, 1.62, 1.42, 1.21, 2.36)
BIAS: Final = -0.55
_PAIR: Final = 0.1
_NONE: Final = ""  # stands for the word of a sentence that has none


class GroundingChecker(Engine):
    """Marks the claims of a text that a context does not support."""

    tasks: frozenset[Task] = frozenset(["mark"])
    labels: tuple[str, ...] = (LABEL,)

    def __init__(self, embedder: StaticEmbedder | None = None) -> None:
        self._embedder = embedder or StaticEmbedder()

    def mark(self, text: str, context: str) -> Spans | Awaitable[Spans]:
        """Sentences without support, each with the probability of that; none without a context.

        Questions, greetings and sentences of fewer than two words of content are no claims. Of
        long texts, `READ` characters, `MOST_CLAIMS` claims and `MOST_SENTENCES` sentences of the
        context are looked at.
        """
        if len(text) + len(context) <= AT_ONCE:
            return self.find(text, context)
        return asyncio.to_thread(self.find, text[:READ], _ends_of(context))

    def find(self, text: str, context: str) -> Spans:
        """What `mark` answers, on the caller's thread."""
        return tuple(
            Span(claim.start, claim.end, LABEL, score)
            for claim, features in self.measure(text, context)
            if (score := probability(features)) >= LEAST
        )

    def measure(self, text: str, context: str) -> list[tuple[Sentence, list[float]]]:
        """Every claim of ``text`` with its `FEATURES`, each 0..1 and higher where less agrees."""
        claims = [c for c in sentences(text[:READ], MOST_CLAIMS) if _claims(c, text)]
        context = _ends_of(context)
        source = sentences(context, MOST_SENTENCES) if claims else []
        if not source:
            return []
        held = _Source(source, self._embedder)
        said = _plain(context)
        return [
            (
                claim,
                [0.0] * len(FEATURES)
                if _plain(text[claim.start : claim.end]) in said
                else held.compare(claim),
            )
            for claim in claims
        ]


def probability(features: list[float]) -> float:
    """That a claim is not supported."""
    score = BIAS + sum(w * f for w, f in zip(WEIGHTS, features, strict=True))
    return 1 / (1 + exp(-score))


def _claims(sentence: Sentence, text: str) -> bool:
    is_question = text[sentence.end - 1] in "?？"
    return not is_question and len(sentence.words) + len(sentence.numbers) >= _LEAST_WORDS


def _plain(text: str) -> str:
    """Words and what is between them, for finding a claim word by word."""
    return " ".join(text.lower().rstrip(".!… \n").split())


def _ends_of(context: str) -> str:
    if len(context) <= READ:
        return context
    return f"{context[: READ // 2]}\n{context[-READ // 2 :]}"


class _Source:
    """The sources, ready for claims to be held against them."""

    def __init__(self, source: list[Sentence], embedder: StaticEmbedder) -> None:
        self._embedder = embedder
        self._source = source
        self._stems = _joined(s.stems for s in source)
        self._numbers = _joined(s.numbers for s in source)
        vocabulary = dict.fromkeys(w for s in source for w in s.words)
        place = {word: i for i, word in enumerate([_NONE, *vocabulary])}
        self._vectors = np.zeros((len(place), embedder.size), np.float32)
        self._vectors[1:] = embedder.embed_words(list(vocabulary))
        # One row of places after the other; a sentence without words has the place of none
        words = [[place[w] for w in s.words] or [0] for s in source]
        self._places = np.array([p for row in words for p in row], np.intp)
        self._starts = np.cumsum([0, *(len(row) for row in words[:-1])])

    def compare(self, claim: Sentence) -> list[float]:
        """The `FEATURES` of a claim."""
        near, there = self._nearest(claim)
        stems = _joined(s.stems for s in near)
        overlap = len(claim.stems & stems) / max(1, len(claim.stems))
        nearest = max(near, key=lambda s: len(claim.stems & s.stems))
        return [
            1 - overlap,
            1 - sum(there) / len(there) if there else 0.0,
            float(bool(claim.numbers - self._numbers)),
            float(bool(claim.names - self._stems)),
            overlap if claim.negated != nearest.negated else 0.0,
            float(opposed(claim, nearest)),
        ]

    def _nearest(self, claim: Sentence) -> tuple[list[Sentence], list[float]]:
        """The sentence, or two neighbours, that say most of what a claim says, and how much of
        the meaning of each of its words, 0..1, is there."""
        vectors: Vectors = self._embedder.embed_words(list(claim.words))
        likeness = np.clip((vectors @ self._vectors.T)[:, self._places], 0.0, 1.0)
        alone = np.zeros((len(claim.words), len(self._source)), np.float32)
        if len(claim.words):
            alone = np.maximum.reduceat(likeness, self._starts, axis=1)
        both = np.maximum(alone[:, :-1], alone[:, 1:])
        width = max(1, len(claim.stems))
        shared = [len(claim.stems & s.stems) / width for s in self._source]
        one = _means(alone) + np.array(shared, np.float32)
        pair = _means(both) + np.array(
            [len(claim.stems & (a.stems | b.stems)) / width for a, b in pairwise(self._source)],
            np.float32,
        )
        first = int(np.argmax(one))
        # Two sentences agree a little more easily with anything than one does
        if len(pair) and float(pair.max()) - _PAIR > one[first]:
            first = int(np.argmax(pair))
            return self._source[first : first + 2], both[:, first].tolist()
        return self._source[first : first + 1], alone[:, first].tolist()


def _means(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows.sum(axis=0) / max(1, len(rows)), np.float32)


def _joined(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
