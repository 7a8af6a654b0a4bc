"""What a small classifier knows of words its rows never showed: their vectors' share in a label.

A few thousand rows hold a few thousand words; people use more. The table of the built-in
embedder says which words mean alike. Before the words, pairs and pieces of the rows are learnt,
a softmax is fitted to each text's sum of word vectors (the same values and the same length as the
classifier's own features), and what it gives every word of the table becomes that word's weight
to begin with: for vectors V and the fitted slope D, weights = V D. Being linear, it costs nothing
at run time and needs no vectors there.

On held-out English prompts of the five small families this is worth 1 to 8 points of accuracy.
Words of other languages are in the table only as far as English borrowed them.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from wayside.engines import features, train
from wayside.engines.embedding import EMBEDDING_MODEL, Table, read

_STEPS: Final = 300
_RATE: Final = 0.02
_DECAY: Final = 0.02  # pull of the slope to zero; .001 overfits, .1 teaches little
_DIGITS: Final = 6  # of what is kept
_SHORTEST: Final = 2  # letters of a word worth knowing

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Words:
    """Words with vectors, by the bucket they fall into; a `train.Begin`."""

    def __init__(self, table: Table) -> None:
        places: dict[int, int] = {}
        for place, word in enumerate(table.words):
            if word.isalpha() and len(word) >= _SHORTEST:
                places.setdefault(features.word(word), place)
        self.buckets: NDArray[np.int64] = np.array(sorted(places), np.int64)
        chosen = [places[int(bucket)] for bucket in self.buckets]
        vectors = table.rows[chosen].astype(np.float32)
        vectors -= vectors.mean(axis=0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors: Floats = vectors / np.maximum(lengths, 1e-9)

    @classmethod
    def built_in(cls) -> Self | None:
        """The table in the wheel; none where it is missing."""
        return cls(read(EMBEDDING_MODEL)) if EMBEDDING_MODEL.exists() else None

    def teach(self, head: train.Head, texts: train.Texts, answers: NDArray[np.int64]) -> None:
        """Begins the head's weights with what the words' vectors say of the answers."""
        place = np.full(len(head.known), -1, np.int64)
        mine = np.searchsorted(head.known, self.buckets)
        place[mine] = np.arange(len(self.buckets))
        sums = self._sums(head, texts, place)
        slope, biases = _fitted(sums.astype(np.float64), answers, len(head.labels))
        head.weights[mine] = np.round(self._vectors.astype(np.float64) @ slope, _DIGITS)
        head.biases[:] = biases

    def _sums(self, head: train.Head, texts: train.Texts, place: NDArray[np.int64]) -> Floats:
        """Each text's sum of vectors, weighted as its features are."""
        found = np.zeros((len(texts.lengths), self._vectors.shape[1]), np.float32)
        for i, length in enumerate(texts.lengths):
            columns = texts.columns[texts.bounds[i] : texts.bounds[i + 1]]
            columns = columns[place[columns] >= 0]
            if len(columns):
                values = head.idf[columns] * np.float32(head.recipe.sharpness / length)
                found[i] = values @ self._vectors[place[columns]]
        return found


def _fitted(sums: Doubles, answers: NDArray[np.int64], count: int) -> tuple[Doubles, Doubles]:
    """The slope and biases of a softmax over the sums, by Adam on all rows at once.

    In double precision and rounded: how many threads multiply matrices must not show in a model.
    """
    slope = np.zeros((sums.shape[1], count))
    biases = np.zeros(count)
    wanted = np.eye(count)[answers]
    first, second = np.zeros_like(slope), np.zeros_like(slope)
    for step in range(1, _STEPS + 1):
        scored = sums @ slope + biases
        raised = np.exp(scored - scored.max(axis=1, keepdims=True))
        off = raised / raised.sum(axis=1, keepdims=True) - wanted
        pull = sums.T @ off / len(answers) + _DECAY * slope
        first = 0.9 * first + 0.1 * pull
        second = 0.999 * second + 0.001 * pull * pull
        slope -= _RATE * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        biases -= 0.1 * off.mean(axis=0)
    return np.round(slope, _DIGITS), np.round(biases, _DIGITS)
