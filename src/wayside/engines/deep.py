"""Trains a deep `StaticClassifier`: features share a few columns, and two layers read them.

The features and their values are those of `train`. Each known feature has a row of `width`
numbers instead of one a label; a text's rows are summed, and what the layers make of the sum is
the text's scores: x out + max(0, x inner + b) top. Sharing columns lets rare features learn from
frequent ones, and the inner layer can tell two subjects in company from each alone. Rows can be
answered with probabilities (a larger model's, see `distil`) instead of one label.

Numpy is all it needs; the same rows and seed always give the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines import features, train
from wayside.engines.modelfile import Layers, LinearModel
from wayside.engines.train import Floats, Row, Say

_RATE_FLOOR: Final = 1e-5
_DENSE: Final = 1.0  # rate of the layers, as a multiple of the table's


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; the defaults are what served the built-in domain model best."""

    epochs: int = 8
    batch: int = 256
    rate: float = 0.0015  # falls linearly to nothing
    dropout: float = 0.85  # share of a text's features ignored each time it is shown
    smoothing: float = 0.05  # probability spread over the wrong labels
    at_least: int = 2  # texts a feature must occur in
    width: int = 32  # columns of a feature
    hidden: int = 128  # of the inner layer
    rows: int = 236_000  # features kept at most: those in the most texts
    sharpness: float = 10.0  # what columns are multiplied by; larger learns faster
    seed: int = 20260


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained model before quantisation; the table's weights are its features' columns."""

    table: train.Head
    layers: Layers
    recipe: Recipe

    @property
    def labels(self) -> tuple[str, ...]:
        return self.table.labels


def learn(
    rows: Sequence[Row],
    recipe: Recipe = Recipe(),
    say: Say = lambda line: None,
    wanted: Floats | None = None,
    check: Callable[[Head], str] | None = None,
) -> Head:
    """The model learnt from the rows; `say` is told of every epoch, with what `check` finds.

    ``wanted`` are the probabilities each row should get (rows x labels, labels in order of name);
    without it, a row's own label gets all but the smoothing.
    """
    if not rows:
        raise ValueError("no rows to train from: give at least one text and label")
    labels = tuple(sorted({label for _, label in rows}))
    answers = np.array([labels.index(label) for _, label in rows])
    if wanted is None:
        wanted = np.full((len(rows), len(labels)), recipe.smoothing / len(labels), np.float32)
        wanted[np.arange(len(rows)), answers] += 1 - recipe.smoothing
    say(f"reading {len(rows)} texts")
    number: dict[str, int] = {}
    place = np.array([number.setdefault(text, len(number)) for text, _ in rows])
    found = [features.buckets(text) for text in number]
    head = _begun(found, labels, recipe)
    say(f"{len(head.table.known)} features, {len(labels)} labels")
    _fit(head, train.known_features(found, head.table), place, wanted, say, check)
    return head


def scores(head: Head, texts: Iterable[str]) -> Floats:
    """What the model says of each text, before the softmax: texts x labels."""
    read = train.known_features([features.buckets(text) for text in texts], head.table)
    parts = []
    for at in range(0, len(read.lengths), 512):
        chosen = np.arange(at, min(at + 512, len(read.lengths)))
        columns, places, values = train.batch(head.table, read, chosen)
        parts.append(_forward(head, columns, places, values, len(chosen))[2])
    return np.concatenate(parts)


def lengths(head: Head, texts: Iterable[str]) -> Floats:
    """The length of each text's feature vector."""
    return train.lengths(head.table, texts)


def quantise(
    head: Head, how: train.Calibration, facts: dict[str, Any], unknown: str = ""
) -> LinearModel:
    """The model with an int8 table, one step size a column, its temperature in the last layers."""
    small = train.quantise(head.table, train.Calibration(1.0, how.bend), facts)
    one = np.float32(1 / how.divisor)
    layers = replace(head.layers, out=head.layers.out * one, top=head.layers.top * one)
    return replace(small, biases=head.table.biases * one, layers=layers, unknown=unknown)


def _begun(found: Sequence[NDArray[np.int64]], labels: tuple[str, ...], recipe: Recipe) -> Head:
    """A model that has learnt nothing, with a row for every feature that occurs often enough."""
    dice = np.random.default_rng(recipe.seed)
    seen = np.bincount(np.concatenate(found), minlength=1 << features.BITS)
    known = np.flatnonzero(seen >= recipe.at_least)
    if len(known) > recipe.rows:
        # Before learning: leaving out what was learnt, however small, cost 3 to 10 points
        often = np.argsort(-seen[known], kind="stable")[: recipe.rows]
        known = np.sort(known[often])
    idf = train.values(len(found) / seen[known])
    width, hidden, count = recipe.width, recipe.hidden, len(labels)
    spread = 1 / np.sqrt(width)

    def drawn(*shape: int) -> Floats:
        return dice.uniform(-spread, spread, shape).astype(np.float32)

    table = train.Head(
        labels=labels,
        known=known,
        idf=idf,
        weights=dice.normal(0, 0.01, (len(known), width)).astype(np.float32),
        biases=np.zeros(count, np.float32),
        recipe=train.Recipe(sharpness=recipe.sharpness, seed=recipe.seed),
    )
    layers = Layers(
        out=drawn(width, count),
        inner=drawn(width, hidden),
        inner_biases=drawn(hidden),
        top=np.zeros((hidden, count), np.float32),
    )
    return Head(table, layers, recipe)


def _forward(
    head: Head, columns: NDArray[np.int32], places: NDArray[np.int64], values: Floats, count: int
) -> tuple[Floats, Floats, Floats]:
    """Columns, inner layer and scores of `count` texts."""
    layers = head.layers
    x = train.sums_by(head.table.weights[columns] * values[:, None], places, count)
    inner = np.maximum(x @ layers.inner + layers.inner_biases, 0)
    return x, inner, x @ layers.out + inner @ layers.top + head.table.biases


def _fit(
    head: Head,
    texts: train.Texts,
    place: NDArray[np.int64],
    wanted: Floats,
    say: Say,
    check: Callable[[Head], str] | None,
) -> None:
    """Fills in the table and the layers, by gradient descent on the cross-entropy."""
    recipe, layers = head.recipe, head.layers
    dice = np.random.default_rng(recipe.seed)
    table = train.Slope(head.table.weights)
    dense = [head.table.biases, layers.out, layers.inner, layers.inner_biases, layers.top]
    slopes = [train.Slope(one) for one in dense]
    every = [np.arange(len(one)) for one in dense]
    steps = recipe.epochs * -(-len(place) // recipe.batch)
    step = 0
    for epoch in range(recipe.epochs):
        order, right = dice.permutation(len(place)), 0
        for at in range(0, len(order), recipe.batch):
            chosen = order[at : at + recipe.batch]
            columns, places, values = train.batch(head.table, texts, place[chosen])
            kept = dice.random(len(values), np.float32) >= recipe.dropout
            columns, places = columns[kept], places[kept]
            values = values[kept] / np.float32(1 - recipe.dropout)
            x, inner, scored = _forward(head, columns, places, values, len(chosen))
            right += int((scored.argmax(axis=1) == wanted[chosen].argmax(axis=1)).sum())
            off = (train.softmax(scored) - wanted[chosen]) / np.float32(len(chosen))
            inner_off = (off @ layers.top.T) * (inner > 0)
            x_off = off @ layers.out.T + inner_off @ layers.inner.T
            rate = recipe.rate * (1 - step / steps) + _RATE_FLOOR
            step += 1
            pulls = (off.sum(axis=0), x.T @ off, x.T @ inner_off, inner_off.sum(axis=0))
            for slope, numbers, pull in zip(slopes, every, (*pulls, inner.T @ off), strict=True):
                slope.descend(numbers, pull, rate * _DENSE, step)
            by_column = np.argsort(columns, kind="stable")
            ordered = columns[by_column]
            first = np.flatnonzero(np.diff(ordered, prepend=-1))
            pulled = (x_off[places] * values[:, None])[by_column]
            table.descend(ordered[first], np.add.reduceat(pulled, first, axis=0), rate, step)
        told = f"; {check(head)}" if check else ""
        say(
            f"epoch {epoch + 1} of {recipe.epochs}: {right / len(place):.4f} right meanwhile{told}"
        )
