"""Fits the four selectors that learn from measurements, with nothing but numpy.

Each takes the features of n questions (n x d), the quality of m models on them (n x m, 0..1) and
their seconds (n x m), where :data:`~wayside.engines.selection_file.UNMEASURED` stands for a model
that was not tried, and gives the arrays of its file. The same input and seed give the same bytes
on one machine; another build of BLAS may round the last digit differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines.selection_file import UNMEASURED, Floats
from wayside.vocab.taught import Algorithm

Doubles = NDArray[np.float64]
MAX_POINTS: Final = 20_000
"""Questions that knn keeps: each costs a request a dot product."""
MAX_VECTORS: Final = 4_000
"""Questions that svm learns from: its training takes the square of that in memory and time."""
SWEEPS: Final = 200
"""Passes over the rows after which svm and kmeans stop, settled or not."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen about a training; each algorithm reads its own."""

    seed: int = 0
    clusters: int = 8
    """kmeans: groups of questions (vSR's default)."""
    c: float = 1.0
    """svm: what a question on the wrong side costs."""
    gamma: float | None = None
    """svm: the width of its kernel; None: 1 / (d x variance of the features)."""
    hidden: int = 64
    """mlp: units of its hidden layer."""
    epochs: int = 60
    """mlp: how often every question is shown."""


def knn(points: Floats, quality: Floats, seconds: Floats, how: Choices) -> dict[str, Floats]:
    """Keeps the questions as they are, up to :data:`MAX_POINTS`."""
    kept = slice(0, MAX_POINTS)
    return {"points": points[kept], "quality": quality[kept], "seconds": seconds[kept]}


def kmeans(points: Floats, quality: Floats, seconds: Floats, how: Choices) -> dict[str, Floats]:
    """Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii 2007); what each model did
    in each group on average, or everywhere where it was not tried in that group."""
    rows = points.astype(np.float64)
    count = min(how.clusters, len(np.unique(rows, axis=0)))
    dice = np.random.default_rng(how.seed)
    centres = _spread(rows, count, dice)
    groups = np.full(len(rows), -1)
    for _ in range(SWEEPS):
        nearest = _distances(rows, centres).argmin(axis=1)
        if (nearest == groups).all():
            break
        groups = nearest
        for i in range(count):
            inside = rows[groups == i]
            if len(inside):  # an empty group keeps its centre
                centres[i] = inside.mean(axis=0)
    return {
        "points": centres.astype(np.float32),
        "quality": _means(quality, groups, count),
        "seconds": _means(seconds, groups, count),
    }


def svm(points: Floats, quality: Floats, seconds: Floats, how: Choices) -> dict[str, Floats]:
    """One support vector machine a model, "it did best here" against the rest.

    Kernel exp(-gamma |x - y|^2) + 1; the 1 takes the place of a bias and is added up into
    ``biases``. Solved in the dual by coordinate descent (Hsieh et al. 2008, algorithm 1, with a
    kernel). A row of the rarer side costs more, as much as both sides' costs come out equal.
    """
    rows = points[:MAX_VECTORS].astype(np.float64)
    best = winners(quality[:MAX_VECTORS], seconds[:MAX_VECTORS])
    variance = float(rows.var())
    gamma = how.gamma or 1.0 / (rows.shape[1] * variance if variance else 1.0)
    kernel = np.exp(-gamma * _distances(rows, rows)) + 1.0
    count = quality.shape[1]
    weights = np.zeros((len(rows), count))
    for model in range(count):
        sides = np.where(best == model, 1.0, -1.0)
        if (sides > 0).any() and (sides < 0).any():
            weights[:, model] = _dual(kernel, sides, how.c) * sides
        else:  # it was best everywhere, or nowhere: no rows to tell apart
            weights[:, model] = sides[0] / len(rows)
    used = np.abs(weights).max(axis=1) > 0
    return {
        "points": points[:MAX_VECTORS][used],
        "weights": weights[used].astype(np.float32),
        "biases": weights.sum(axis=0).astype(np.float32),
        "gamma": np.array([gamma], np.float32),
    }


def mlp(points: Floats, quality: Floats, seconds: Floats, how: Choices) -> dict[str, Floats]:
    """One hidden layer of rectified units; a sigmoid a model says how well it will do.

    Cross-entropy with the measured quality, models not tried left out; Adam (Kingma and Ba 2015)
    with its usual constants, steps of 0.003, weight decay 0.0001, 32 questions at a time.
    """
    dice = np.random.default_rng(how.seed)
    rows, wanted = points.astype(np.float64), quality.astype(np.float64)
    tried = wanted != UNMEASURED
    width, count = rows.shape[1], wanted.shape[1]
    layers = [
        dice.normal(0, np.sqrt(2 / width), (width, how.hidden)),
        np.zeros(how.hidden),
        dice.normal(0, np.sqrt(1 / how.hidden), (how.hidden, count)),
        np.zeros(count),
    ]
    adam = _Adam(layers)
    for _ in range(how.epochs):
        order = dice.permutation(len(rows))
        for at in range(0, len(order), 32):
            some = order[at : at + 32]
            x = rows[some]
            hidden = np.maximum(x @ layers[0] + layers[1], 0)
            said = 1 / (1 + np.exp(-(hidden @ layers[2] + layers[3])))
            slope = np.where(tried[some], said - wanted[some], 0.0) / len(some)
            back = (slope @ layers[2].T) * (hidden > 0)
            adam.step([x.T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)])
    names = ("inner", "inner_biases", "outer", "outer_biases")
    return {n: layer.astype(np.float32) for n, layer in zip(names, layers, strict=True)}


Fit = Callable[[Floats, Floats, Floats, Choices], dict[str, Floats]]
FITS: Final[dict[Algorithm, Fit]] = {"knn": knn, "kmeans": kmeans, "svm": svm, "mlp": mlp}


def winners(quality: Floats, seconds: Floats) -> NDArray[np.int64]:
    """The model that did best on each question: the faster of equals, then the first."""
    top = quality.max(axis=1, keepdims=True)
    slow = np.where(seconds == UNMEASURED, np.inf, seconds)
    return np.asarray(np.where(quality == top, slow, np.nan), np.float64).argsort(
        axis=1, kind="stable"
    )[:, 0]


def _distances(rows: Doubles, others: Doubles) -> Doubles:
    """Squared distances, rows x others."""
    lengths = (rows * rows).sum(axis=1)[:, None] + (others * others).sum(axis=1)[None, :]
    return np.asarray(np.maximum(lengths - 2 * (rows @ others.T), 0.0), np.float64)


def _spread(rows: Doubles, count: int, dice: np.random.Generator) -> Doubles:
    """k-means++: each seed is drawn in proportion to its squared distance to those before."""
    chosen = [int(dice.integers(len(rows)))]
    while len(chosen) < count:
        far = _distances(rows, rows[chosen]).min(axis=1)
        far[chosen] = 0.0
        chosen.append(int(dice.choice(len(rows), p=far / far.sum())))
    return rows[chosen].copy()


def _means(values: Floats, groups: NDArray[np.int64], count: int) -> Floats:
    """The mean of each model in each group (groups x models), unmeasured ones left out."""
    told = np.where(values == UNMEASURED, np.nan, values).astype(np.float64)
    found = np.full((count, values.shape[1]), UNMEASURED, np.float32)
    for model in range(values.shape[1]):
        known = ~np.isnan(told[:, model])
        if not known.any():
            continue
        found[:, model] = told[known, model].mean()
        for i in range(count):
            inside = known & (groups == i)
            if inside.any():
                found[i, model] = told[inside, model].mean()
    return found


def _dual(kernel: Doubles, sides: Doubles, c: float) -> Doubles:
    """The support of each row, 0 at least: max sum(a) - a Q a / 2 under 0 <= a <= its cost."""
    n = len(sides)
    above = (sides > 0).sum()
    cost = np.where(sides > 0, c * n / (2 * above), c * n / (2 * (n - above)))
    support = np.zeros(n)
    slopes = np.full(n, -1.0)  # of the dual at each row
    for _ in range(SWEEPS):
        worst = 0.0
        for i in range(n):
            fresh = min(max(support[i] - slopes[i] / kernel[i, i], 0.0), cost[i])
            moved = fresh - support[i]
            if moved:
                support[i] = fresh
                slopes += moved * sides[i] * sides * kernel[i]
                worst = max(worst, abs(moved))
        if worst < 1e-3 * c:
            break
    return support


class _Adam:
    """Adam with decoupled weight decay, in place."""

    def __init__(self, layers: list[Doubles], rate: float = 0.003, decay: float = 1e-4) -> None:
        self._layers, self._rate, self._decay = layers, rate, decay
        self._means = [np.zeros_like(layer) for layer in layers]
        self._squares = [np.zeros_like(layer) for layer in layers]
        self._steps = 0

    def step(self, slopes: list[Doubles]) -> None:
        self._steps += 1
        one, two = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        for layer, slope, mean, square in zip(
            self._layers, slopes, self._means, self._squares, strict=True
        ):
            mean += 0.1 * (slope - mean)
            square += 0.001 * (slope * slope - square)
            layer -= self._rate * (mean / one / (np.sqrt(square / two) + 1e-8))
            layer *= 1 - self._rate * self._decay
