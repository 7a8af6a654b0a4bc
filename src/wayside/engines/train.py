"""Trains a `StaticClassifier` from labelled texts: a softmax head over hashed features.

Numpy is all it needs, a minute is all it takes, and the same rows and seed always give the same
model. Features seen in fewer than `at_least` texts have no row. A feature's value is its inverse
document frequency, and a text's values are divided by their length, so long and short texts speak
equally loud. The head is trained with RMSprop on the rows a batch touches, dropping features at
random, then calibrated and quantised to int8. It never reads or writes a
file; `modelfile.write` keeps the result.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wayside.engines import features
from wayside.engines.modelfile import USUAL, LinearModel

Row = tuple[str, str]  # text, label
Floats = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; the defaults are what served the built-in domain model best."""

    epochs: int = 10
    batch: int = 256
    rate: float = 0.001  # falls linearly to nothing
    dropout: float = 0.3  # share of a text's features ignored each time it is shown
    smoothing: float = 0.05  # probability spread over the wrong labels
    at_least: int = 2  # texts a feature must occur in
    unseen: float = 0.0  # squared length a feature without a row adds to a text
    sharpness: float = 10.0  # what scores are multiplied by; larger learns faster
    seed: int = 20260


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained head before quantisation: one row of weights a known bucket."""

    labels: tuple[str, ...]
    known: NDArray[np.int64]
    idf: Floats
    weights: Floats  # known buckets x labels
    biases: Floats
    recipe: Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts as rows of known features, one after the other: row i is bounds[i]:bounds[i+1]."""

    columns: NDArray[np.int32]
    bounds: NDArray[np.int64]
    lengths: Floats  # of each text's feature vector


class Begin(Protocol):
    """What a head knows before it sees a row."""

    @property
    def buckets(self) -> NDArray[np.int64]:
        """Features that have a row although no text may have shown them; ascending."""

    def teach(self, head: Head, texts: Texts, answers: NDArray[np.int64]) -> None:
        """Sets the head's weights and biases to begin with."""


def train(
    rows: Sequence[Row],
    recipe: Recipe = Recipe(),
    say: Say = lambda line: None,
    begin: Begin | None = None,
) -> Head:
    """The head learnt from the rows; `say` is told of every epoch."""
    if not rows:
        raise ValueError("no rows to train from: give at least one text and label")
    labels = tuple(sorted({label for _, label in rows}))
    say(f"reading {len(rows)} texts")
    found = [features.buckets(text) for text, _ in rows]
    seen = np.bincount(np.concatenate(found), minlength=1 << features.BITS)
    known = np.flatnonzero(seen >= recipe.at_least)
    if begin is not None:
        known = np.union1d(known, begin.buckets)
    head = Head(
        labels=labels,
        known=known,
        idf=values(len(rows) / np.maximum(seen[known], recipe.at_least)),
        weights=np.zeros((len(known), len(labels)), np.float32),
        biases=np.zeros(len(labels), np.float32),
        recipe=recipe,
    )
    say(f"{len(known)} features, {len(labels)} labels")
    answers = np.array([labels.index(label) for _, label in rows])
    texts = known_features(found, head)
    if begin is not None:
        begin.teach(head, texts, answers)
    _fit(head, texts, answers, say)
    return head


def scores(head: Head, texts: Iterable[str]) -> Floats:
    """What the head says of each text, before the softmax: texts x labels."""
    read = known_features([features.buckets(text) for text in texts], head)
    parts = []
    for at in range(0, len(read.lengths), 512):
        chosen = np.arange(at, min(at + 512, len(read.lengths)))
        parts.append(_scores(head, *batch(head, read, chosen), len(chosen)))
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What scores are divided by before the softmax: `divisor` * (length / `USUAL`) ** `bend`.

    `length` is that of the text's feature vector. A bend above 0 says that long texts are more
    often wrong than their scores suggest; 0 is plain temperature scaling (Guo et al. 2017).
    """

    divisor: float = 1.0
    bend: float = 0.0


def lengths(head: Head, texts: Iterable[str]) -> Floats:
    """The length of each text's feature vector."""
    return known_features([features.buckets(text) for text in texts], head).lengths


def calibrate(
    scored: Floats, long: Floats, answers: NDArray[np.int64], weights: Floats
) -> Calibration:
    """The likeliest calibration for texts of these scores, lengths, answers and weights."""

    def cost(candidate: Calibration) -> float:
        divisors = candidate.divisor * (long / USUAL) ** candidate.bend
        shares = softmax(scored / divisors[:, None])[np.arange(len(answers)), answers]
        return float(-(weights * np.log(np.maximum(shares, 1e-12))).sum())

    divisors = [Calibration(float(one)) for one in np.exp(np.linspace(log(0.2), log(5), 200))]
    plain = min(divisors, key=cost)
    # The two hardly depend on each other, so a grid around the plain one finds both
    grid = [
        Calibration(plain.divisor * stretch, bend / 40)
        for stretch in np.linspace(0.7, 1.3, 25).tolist()
        for bend in range(-20, 41)
    ]
    return min([plain, *grid], key=cost)


def quantise(head: Head, how: Calibration, facts: dict[str, Any]) -> LinearModel:
    """The head as int8, one step size a label, its temperature folded into the steps."""
    folded = head.weights * head.idf[:, None] * head.recipe.sharpness
    # The few largest weights of a label are clipped: finer steps for all others are worth more
    steps = np.maximum(np.quantile(np.abs(folded), 0.9999, axis=0), 1e-9) / 127
    return LinearModel(
        labels=head.labels,
        bits=features.BITS,
        known=head.known,
        weights=np.clip(np.rint(folded / steps), -127, 127).astype(np.int8),
        spreads=_spreads(head.idf),
        scales=(steps / how.divisor).astype(np.float32),
        biases=(head.biases / how.divisor).astype(np.float32),
        unseen=head.recipe.unseen,
        bend=how.bend,
        facts=facts,
    )


def softmax(scored: Floats) -> Floats:
    """Probabilities along the last axis."""
    raised = np.exp(scored - scored.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def values(rarity: NDArray[Any]) -> Floats:
    """What features are worth of which one text in ``rarity`` has each."""
    return np.sqrt(_spreads((np.log(rarity) + 1).astype(np.float32)).astype(np.float32))


def _spreads(idf: Floats) -> NDArray[np.uint8]:
    """The squared values, rounded: what training and inference both divide by."""
    return np.clip(np.rint(idf**2), 1, 255).astype(np.uint8)


def known_features(found: Sequence[NDArray[np.int64]], head: Head) -> Texts:
    """Texts as the head sees them, from the buckets of each."""
    column = np.full(1 << features.BITS, -1, np.int32)
    column[head.known] = np.arange(len(head.known), dtype=np.int32)
    spread = np.append(head.idf**2, np.float32(head.recipe.unseen))
    columns, lengths = [], []
    for numbers in found:
        mine = column[numbers]
        lengths.append(np.sqrt(max(float(spread[mine].sum()), 1.0)))
        columns.append(mine[mine >= 0])
    bounds = np.concatenate(([0], np.cumsum([len(mine) for mine in columns])))
    return Texts(np.concatenate(columns), bounds, np.array(lengths, np.float32))


def batch(
    head: Head, texts: Texts, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], Floats]:
    """Columns, their text's place in the batch, and values, of the chosen texts."""
    starts, ends = texts.bounds[chosen], texts.bounds[chosen + 1]
    columns = np.concatenate([texts.columns[a:b] for a, b in zip(starts, ends, strict=True)])
    places = np.repeat(np.arange(len(chosen)), ends - starts)
    values = head.idf[columns] * (head.recipe.sharpness / texts.lengths[chosen])[places]
    return columns, places, values.astype(np.float32)


def _scores(
    head: Head, columns: NDArray[np.int32], places: NDArray[np.int64], values: Floats, count: int
) -> Floats:
    """Scores of `count` texts; one of which nothing is known scores the biases."""
    return sums_by(head.weights[columns] * values[:, None], places, count) + head.biases


def sums_by(values: Floats, places: NDArray[np.int64], count: int) -> Floats:
    """Rows of `values` summed by their place, places ascending: count x columns."""
    sums = np.zeros((count, values.shape[1]), np.float32)
    if len(places):
        first = np.flatnonzero(np.diff(places, prepend=-1))
        sums[places[first]] = np.add.reduceat(values, first, axis=0)
    return sums


def _fit(head: Head, texts: Texts, answers: NDArray[np.int64], say: Say) -> None:
    """Fills in the head's weights and biases."""
    recipe, count = head.recipe, len(head.labels)
    dice = np.random.default_rng(recipe.seed)
    wanted = np.full((len(answers), count), recipe.smoothing / count, np.float32)
    wanted[np.arange(len(answers)), answers] += 1 - recipe.smoothing
    weights, biases = Slope(head.weights), Slope(head.biases)
    steps = recipe.epochs * -(-len(answers) // recipe.batch)
    step = 0
    for epoch in range(recipe.epochs):
        order, right = dice.permutation(len(answers)), 0
        for at in range(0, len(order), recipe.batch):
            chosen = order[at : at + recipe.batch]
            columns, places, values = batch(head, texts, chosen)
            kept = dice.random(len(values), np.float32) >= recipe.dropout
            columns, places = columns[kept], places[kept]
            values = values[kept] / (1 - recipe.dropout)
            scored = np.zeros((len(chosen), count), np.float32) + head.biases
            partial = sums_by(head.weights[columns] * values[:, None], places, len(chosen))
            scored += partial
            right += int((scored.argmax(axis=1) == answers[chosen]).sum())
            slopes = (softmax(scored) - wanted[chosen]) / np.float32(len(chosen))
            rate = recipe.rate * (1 - step / steps) + 1e-5
            step += 1
            by_column = np.argsort(columns, kind="stable")
            ordered = columns[by_column]
            first = np.flatnonzero(np.diff(ordered, prepend=-1))
            pulls = (slopes[places] * values[:, None])[by_column]
            weights.descend(ordered[first], np.add.reduceat(pulls, first, axis=0), rate, step)
            biases.descend(np.arange(count), slopes.sum(axis=0), rate, step)
        say(f"epoch {epoch + 1} of {recipe.epochs}: {right / len(answers):.4f} right meanwhile")


class Slope:
    """RMSprop (Hinton 2012) on the rows a step touches, the others' memory fading meanwhile.

    A rare feature's memory has faded when it comes again, so it moves far each time; that is
    what Adam does to the same features in a dense table, at a tenth of the work.
    """

    _MEMORY: Final = 0.999

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._square = np.zeros_like(weights)
        self._last = np.zeros(len(weights), np.int32)

    def descend(self, rows: NDArray[Any], slopes: Floats, rate: float, step: int) -> None:
        """One step down the slopes of these rows, which are distinct."""
        faded = np.float32(self._MEMORY) ** (step - self._last[rows])
        faded = faded.reshape(-1, *([1] * (slopes.ndim - 1)))
        square = self._square[rows] * faded + (1 - self._MEMORY) * slopes * slopes
        self._square[rows], self._last[rows] = square, step
        size = np.sqrt(square / (1 - self._MEMORY**step)) + 1e-8
        self._weights[rows] -= np.float32(rate) * slopes / size
