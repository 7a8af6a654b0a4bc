"""Classifies a prompt with nothing but numpy, in tens of microseconds.

A text is its set of hashed features (`features.buckets`). Each known one adds its row of int8
weights; the sum is divided by the length of the feature vector, scaled and shifted per label,
calibrated by that length once more, and a softmax makes probabilities of it. It never raises
on any `str`: a text of which nothing is known is `other`, with no more confidence than a guess.
"""

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
UNKNOWN: Final = "other"  # the label of a text that says nothing


class StaticClassifier(Engine):
    """A linear classifier over hashed words and word parts, loaded from one file."""

    tasks: frozenset[Task] = frozenset(["classify"])

    def __init__(self, model: modelfile.LinearModel) -> None:
        if model.bits != features.BITS:
            raise ValueError(f"a model of {model.bits} bits; this version reads {features.BITS}")
        if len(model.labels) != len(set(model.labels)) or not model.labels:
            raise ValueError(f"labels must be distinct and at least one, got {model.labels}")
        self.labels = model.labels
        self._row_of = np.zeros(1 << model.bits, np.int32)  # 0: a bucket without a row
        self._row_of[model.known] = np.arange(1, len(model.known) + 1, dtype=np.int32)
        self._rows = _rows(model)
        self._scales: list[float] = [float(scale) for scale in model.scales]
        self._biases: list[float] = [float(bias) for bias in model.biases]
        self._unseen, self._bend = model.unseen, model.bend
        first = UNKNOWN if UNKNOWN in self.labels else self.labels[0]
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
        rows = self._row_of.take(features.buckets(text))
        known = int(np.count_nonzero(rows))
        if not known:
            return self._guess
        ones = _ONES[: len(rows)] if len(rows) <= len(_ONES) else np.ones(len(rows), np.float32)
        sums: list[float] = (ones @ self._rows.take(rows, axis=0).astype(np.float32)).tolist()
        spread = sums[-1] + 128.0 * known + self._unseen * (len(rows) - known)
        length = sqrt(max(spread, 1.0))
        sharpness = (modelfile.USUAL / length) ** self._bend
        scores = [
            (total / length * scale + bias) * sharpness
            for total, scale, bias in zip(sums, self._scales, self._biases, strict=False)
        ]
        return self._ranking(scores)

    def _ranking(self, scores: list[float]) -> Ranking:
        top = max(scores)
        weights = [exp(score - top) for score in scores]
        whole = sum(weights)
        pairs = [
            (weight / whole, label) for weight, label in zip(weights, self.labels, strict=True)
        ]
        pairs.sort(key=_probability, reverse=True)
        return tuple([(label, probability) for probability, label in pairs])


def _rows(model: modelfile.LinearModel) -> NDArray[np.int8]:
    """The weights with the spread (less 128, to fit) as last column, and row 0 all zero."""
    rows = np.zeros((len(model.known) + 1, len(model.labels) + 1), np.int8)
    rows[1:, :-1] = model.weights
    rows[1:, -1] = (model.spreads.astype(np.int16) - 128).astype(np.int8)
    return rows


def _probability(pair: tuple[float, str]) -> float:
    return pair[0]


_ONES: Final = np.ones(32_768, np.float32)
