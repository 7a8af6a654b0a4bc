"""Trains a jailbreak detector from labelled texts, by the stretches that give them away.

An attack in a long text is a few sentences; the rest is as innocent as any. So a text is a bag of
stretches (multiple-instance learning, Dietterich et al. 1997): of an attack at least one is an
attack, of a benign text none is. Training alternates: learn weights, then look which stretch of
each text scores highest under them: of an attack it becomes the example, of a benign text the
hardest counter-example. Numpy is all it needs; the same rows and seed give the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines import attack_windows
from wayside.engines.attack_structure import Shapes
from wayside.engines.attack_windows import ROWS, WHOLE, Features, inside
from wayside.engines.jailbreak import BENIGN, AttackModel, readings

Floats = NDArray[np.float32]
Say = Callable[[str], None]
_LEAST: Final = 0.002  # weights below this share of the largest are dropped


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text and where it comes from."""

    text: str
    label: str
    source: str = ""
    lang: str = "en"
    family: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; chosen on texts of sources left out of training."""

    rounds: int = 3  # of learning and looking again
    epochs: int = 4  # a round
    batch: int = 256
    rate: float = 0.25  # AdaGrad's; falls linearly to a tenth within a round
    decay: float = 2e-6  # of weights touched, a step
    dropout: float = 0.35  # share of a stretch's features ignored each time it is shown
    smoothing: float = 0.02  # probability spread over the wrong labels
    seed: int = 20261


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """Weights (`ROWS` x kinds) and biases of the kinds of trouble, in order of ``kinds``."""

    kinds: tuple[str, ...]
    weights: Floats
    biases: Floats


Bag = list[Features]
"""The readings of one text: as it stands, and decoded."""


def bag(text: str, shapes: Shapes) -> Bag:
    """The features of a text's readings, as the detector sees them."""
    return [attack_windows.features(r.text, shapes.find(r.text)) for r in readings(text)]


def train(
    bags: Sequence[Bag],
    rows: Sequence[Row],
    kinds: tuple[str, ...],
    recipe: Recipe = Recipe(),
    say: Say = lambda line: None,
) -> Learnt:
    """Weights learnt from ``rows``, whose features are ``bags``."""
    dice = np.random.default_rng(recipe.seed)
    learnt = Learnt(kinds, np.zeros((ROWS, len(kinds)), np.float32), np.zeros(len(kinds), "f4"))
    slope = _AdaGrad(learnt, recipe)
    for turn in range(recipe.rounds):
        examples = [
            example
            for bag_, row in zip(bags, rows, strict=True)
            for example in _examples(bag_, row, learnt, turn, dice)
        ]
        say(f"round {turn + 1} of {recipe.rounds}: {len(examples)} stretches")
        slope.run(examples, dice, say)
    return learnt


@dataclass(frozen=True, slots=True)
class _Example:
    rows: NDArray[np.int32]
    values: Floats
    answer: int  # index of the kind; len(kinds) for benign
    weight: float


def _examples(
    readings_: Bag, row: Row, learnt: Learnt, turn: int, dice: np.random.Generator
) -> list[_Example]:
    """The stretches of one text that this round learns from."""
    chosen: list[tuple[Features, int, int, float]] = []
    positive = row.label in learnt.kinds
    usable = [one for one in readings_ if len(one.starts)]
    if not usable:
        return []
    answer = learnt.kinds.index(row.label) if positive else len(learnt.kinds)
    if turn == 0:
        for found in usable[-1:] if positive else usable:
            count = len(found.starts)
            if count <= WHOLE:
                chosen.append((found, 0, count, 1.0))
            else:
                for _ in range(3):
                    first = int(dice.integers(0, count - WHOLE))
                    chosen.append((found, first, first + WHOLE, 1 / 3))
    else:
        scored = [attack_windows.score(one, learnt.weights, learnt.biases) for one in usable]
        for kind in [answer] if positive else range(len(learnt.kinds)):
            where = max(range(len(usable)), key=lambda i, kind=kind: scored[i][kind].score)  # type: ignore[misc]
            best = scored[where][kind]
            chosen.append((usable[where], best.first, best.last, 0.7))
        found = usable[-1]
        count = len(found.starts)
        if count <= WHOLE:
            chosen.append((found, 0, count, 0.3))
        elif not positive:
            first = int(dice.integers(0, count - WHOLE))
            chosen.append((found, first, first + WHOLE, 0.3))
    return [
        _Example(*inside(found, first, last), answer, weight * row.weight)
        for found, first, last, weight in chosen
    ]


class _AdaGrad:
    """Gradient steps on the softmax loss of kinds and benign, whose score is 0."""

    def __init__(self, learnt: Learnt, recipe: Recipe) -> None:
        self._learnt, self._recipe = learnt, recipe
        self._square = np.full_like(learnt.weights, 1e-6)
        self._square_bias = np.full_like(learnt.biases, 1e-6)

    def run(self, examples: list[_Example], dice: np.random.Generator, say: Say) -> None:
        recipe = self._recipe
        steps = recipe.epochs * -(-len(examples) // recipe.batch)
        step = 0
        for epoch in range(recipe.epochs):
            order = dice.permutation(len(examples))
            loss = 0.0
            for at in range(0, len(order), recipe.batch):
                rate = recipe.rate * (1 - 0.9 * step / steps)
                batch = [examples[i] for i in order[at : at + recipe.batch]]
                loss += self._step(batch, rate, dice)
                step += 1
            say(f"  epoch {epoch + 1}: loss {loss / len(examples):.4f}")

    def _step(self, batch: list[_Example], rate: float, dice: np.random.Generator) -> float:
        recipe, weights, biases = self._recipe, self._learnt.weights, self._learnt.biases
        kinds = len(biases)
        columns = np.concatenate([one.rows for one in batch])
        values = np.concatenate([one.values for one in batch])
        places = np.repeat(np.arange(len(batch)), [len(one.rows) for one in batch])
        kept = dice.random(len(values), np.float32) >= recipe.dropout
        columns, places = columns[kept], places[kept]
        values = values[kept] / np.float32(1 - recipe.dropout)

        scores = np.zeros((len(batch), kinds + 1), np.float32)
        for kind in range(kinds):
            worth = weights[columns, kind] * values
            scores[:, kind] = np.bincount(places, worth, len(batch)) + biases[kind]
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = raised / raised.sum(axis=1, keepdims=True)
        answers = np.array([one.answer for one in batch])
        weight = np.array([one.weight for one in batch], np.float32)
        wanted = np.full_like(shares, recipe.smoothing / (kinds + 1))
        wanted[np.arange(len(batch)), answers] += 1 - recipe.smoothing
        slopes = ((shares - wanted) * weight[:, None])[:, :kinds]

        by_column = np.argsort(columns, kind="stable")
        ordered = columns[by_column]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        pulls = (slopes[places] * values[:, None])[by_column]
        touched = ordered[first]
        pull = np.add.reduceat(pulls, first, axis=0)
        self._square[touched] += pull * pull
        weights[touched] *= np.float32(1 - rate * recipe.decay * len(batch))
        weights[touched] -= rate * pull / np.sqrt(self._square[touched])
        bias_pull = slopes.sum(axis=0)
        self._square_bias += bias_pull * bias_pull
        biases -= 0.1 * rate * bias_pull / np.sqrt(self._square_bias)
        right = shares[np.arange(len(batch)), answers]
        return float(-(weight * np.log(np.maximum(right, 1e-9))).sum())


def scores(learnt: Learnt, texts: Sequence[Bag]) -> Floats:
    """The best score of any stretch, before calibration: texts x kinds."""
    result = np.full((len(texts), len(learnt.kinds)), -99.0, np.float32)
    for i, found in enumerate(texts):
        for features in found:
            best = attack_windows.score(features, learnt.weights, learnt.biases)
            for kind, stretch in enumerate(best):
                result[i, kind] = max(result[i, kind], stretch.score)
    return result


def calibrate(
    scored: Floats, answers: NDArray[np.int64], weights: Floats
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Slope and offset of each kind that make the likeliest probabilities of unseen texts' scores.

    ``answers`` are indexes of kinds, or their number for benign. Plain gradient descent on a
    problem of a few numbers.
    """
    kinds = scored.shape[1]
    slopes, offsets = np.ones(kinds), np.zeros(kinds)
    clipped = np.clip(scored.astype(np.float64), -6, 6)
    wanted = np.eye(kinds + 1)[answers]
    share = (weights / weights.sum()).astype(np.float64)
    for _ in range(4_000):
        logits = np.concatenate([clipped * slopes + offsets, np.zeros((len(clipped), 1))], axis=1)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        pull = (raised / raised.sum(axis=1, keepdims=True) - wanted)[:, :kinds] * share[:, None]
        slopes -= 0.5 * (pull * clipped).sum(axis=0)
        offsets -= 0.5 * pull.sum(axis=0)
    return tuple(slopes.tolist()), tuple(offsets.tolist())


def probabilities(scored: Floats, slopes: Sequence[float], offsets: Sequence[float]) -> Floats:
    """Calibrated probabilities: texts x (kinds and benign)."""
    logits = np.concatenate(
        [scored * np.array(slopes) + np.array(offsets), np.zeros((len(scored), 1))], axis=1
    )
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def quantise(
    learnt: Learnt, slopes: Sequence[float], offsets: Sequence[float], facts: Mapping[str, Any]
) -> AttackModel:
    """The weights as int8, one step size a kind."""
    largest = np.quantile(np.abs(learnt.weights), 1 - 40 / ROWS, axis=0)
    steps = np.maximum(largest, 1e-9) / 127
    small = np.abs(learnt.weights) < _LEAST * largest
    weights = np.where(small, 0, np.clip(np.rint(learnt.weights / steps), -127, 127))
    return AttackModel(
        kinds=learnt.kinds,
        weights=weights.astype(np.int8),
        scales=tuple(steps.tolist()),
        biases=tuple(learnt.biases.tolist()),
        slopes=tuple(slopes),
        offsets=tuple(offsets),
        facts=dict(facts),
    )


def left_out(
    bags: Sequence[Bag],
    rows: Sequence[Row],
    kinds: tuple[str, ...],
    fold: frozenset[str],
    recipe: Recipe = Recipe(),
    say: Say = lambda line: None,
) -> tuple[Learnt, dict[str, Floats]]:
    """A model that saw no row of these sources, and its scores of their rows, by source."""
    kept = [i for i, row in enumerate(rows) if row.source not in fold]
    learnt = train([bags[i] for i in kept], [rows[i] for i in kept], kinds, recipe, say)
    found = {
        source: scores(learnt, [bags[i] for i, row in enumerate(rows) if row.source == source])
        for source in sorted(fold)
    }
    return learnt, found


def answer_of(row: Row, kinds: tuple[str, ...]) -> int:
    """The index of the row's label; the number of kinds for benign."""
    return len(kinds) if row.label == BENIGN else kinds.index(row.label)
