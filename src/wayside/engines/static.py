"""Classifies a prompt with nothing but numpy, in tens of microseconds.

A text is its set of hashed features (`features.buckets`). Each known one adds its row of int8
weights; the sum is divided by the length of the feature vector. In a linear model that is a score
a label; a deep one puts it through two small layers first. The scores are calibrated by the
text's length once more, and a softmax makes probabilities of them. It never raises on any `str`:
a text of which nothing is known gets the model's `unknown` label, with no more confidence than a
guess.
"""

from collections.abc import Sequence
from math import exp, sqrt
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from wayside.engines import features, modelfile
from wayside.engines.base import Engine
from wayside.settings import Task

Ranking = tuple[tuple[str, float], ...]
DOMAIN_MODEL: Final = Path(__file__).with_name("weights") / "domain.model"
UNKNOWN: Final = "other"  # the label of a text that says nothing, in models that name none
TOGETHER: Final = 256  # texts that `classify_many` takes through numpy at a time


class StaticClassifier(Engine):
    """A classifier over hashed words and word parts, loaded from one file."""

    tasks: frozenset[Task] = frozenset(["classify"])

    def __init__(self, model: modelfile.LinearModel) -> None:
        if model.bits != features.BITS:
            raise ValueError(f"a model of {model.bits} bits; this version reads {features.BITS}")
        if len(model.labels) != len(set(model.labels)) or not model.labels:
            raise ValueError(f"labels must be distinct and at least one, got {model.labels}")
        self.labels = model.labels
        self._row_of = np.zeros(1 << model.bits, np.int32)  # 0: a bucket without a row
        self._row_of[model.known] = np.arange(1, len(model.known) + 1, dtype=np.int32)
        self._weights = model.weights
        # Of row 0, a bucket without one: weights of any other, which `_seen` multiplies by nothing
        self._spreads = np.concatenate(([model.unseen], model.spreads)).astype(np.float32)
        self._scales, self._biases = model.scales, model.biases
        self._layers, self._bend = model.layers, model.bend
        if model.layers:
            both = np.concatenate((model.layers.out, model.layers.inner), axis=1)
            self._first = np.ascontiguousarray(both, np.float32)
            self._shift = np.concatenate((model.biases, model.layers.inner_biases))
        first = model.unknown or (UNKNOWN if UNKNOWN in self.labels else self.labels[0])
        if first not in self.labels:
            raise ValueError(f"the label for unknown texts, {first!r}, is none of {self.labels}")
        rest = [label for label in self.labels if label != first]
        self._guess: Ranking = tuple((label, 1 / len(self.labels)) for label in (first, *rest))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """The classifier in a model file; `ValueError` if the file holds none."""
        return cls(modelfile.read(Path(path)))

    @classmethod
    def built_in(cls) -> Self:
        """The domain classifier in the wheel; see docs/reference/models/domain.md."""
        return cls.load(DOMAIN_MODEL)

    def classify(self, text: str) -> Ranking:
        """Every label with its calibrated probability, the likeliest first; they sum to 1."""
        sums, length = self._summed(text)
        if sums is None:
            return self._guess
        scores = self._scores(sums * (self._scales / np.float32(length)))
        scores *= (modelfile.USUAL / length) ** self._bend
        return self._ranking(scores.tolist())

    def classify_many(self, texts: Sequence[str]) -> list[Ranking]:
        """The ranking of every text, as `classify` gives it, at less than its price for each."""
        found: list[Ranking] = []
        for at in range(0, len(texts), TOGETHER):
            found += self._together(texts[at : at + TOGETHER])
        return found

    def _summed(self, text: str) -> tuple[NDArray[np.float32] | None, float]:
        """The text's columns before `scales`, none if nothing of it is known, and its length."""
        rows = self._row_of.take(features.buckets(text))
        seen = rows[rows > 0]
        if not len(seen):
            return None, 1.0
        ones = _ONES[: len(seen)] if len(seen) <= len(_ONES) else np.ones(len(seen), np.float32)
        sums = ones @ self._weights.take(seen - 1, axis=0).astype(np.float32)
        return sums, sqrt(max(float(self._spreads.take(rows).sum()), 1.0))

    def _together(self, texts: Sequence[str]) -> list[Ranking]:
        # One gather for all of them measured four times slower: it outgrows the cache
        parts = [self._summed(text) for text in texts]
        nothing = np.zeros(len(self._scales), np.float32)
        sums = np.stack([nothing if one is None else one for one, _ in parts])
        lengths = np.array([length for _, length in parts], np.float32)
        scores = self._scores(sums * self._scales / lengths[:, None])
        scores *= ((modelfile.USUAL / lengths) ** self._bend)[:, None].astype(np.float32)
        return [
            self._guess if one is None else self._ranking(row)
            for (one, _), row in zip(parts, scores.tolist(), strict=True)
        ]

    def _scores(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores before the softmax from columns, of one text or of several (texts x columns)."""
        if self._layers is None:
            return np.asarray(columns + self._biases, np.float32)
        first = columns @ self._first + self._shift
        count = len(self.labels)
        inner = np.maximum(first[..., count:], 0)
        return np.asarray(first[..., :count] + inner @ self._layers.top, np.float32)

    def _ranking(self, scores: list[float]) -> Ranking:
        top = max(scores)
        weights = [exp(score - top) for score in scores]
        whole = sum(weights)
        pairs = [
            (weight / whole, label) for weight, label in zip(weights, self.labels, strict=True)
        ]
        pairs.sort(key=_probability, reverse=True)
        return tuple([(label, probability) for probability, label in pairs])


def _probability(pair: tuple[float, str]) -> float:
    return pair[0]


_ONES: Final = np.ones(32_768, np.float32)
