"""From benchmark rows to a trained selector and its report.

The report asks: what would it have chosen for questions that it never saw, and was that worth it?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines import selection_rows
from wayside.engines.base import Vectors
from wayside.engines.selection_file import PROBE, UNMEASURED, Floats, Learnt
from wayside.engines.selection_fit import FITS, Choices
from wayside.engines.selection_rows import Question
from wayside.engines.selection_run import Model
from wayside.selection.kmeans import weighed
from wayside.selection.knn import speeds, votes
from wayside.vocab.ask import Labels
from wayside.vocab.errors import ConfigError
from wayside.vocab.taught import Algorithm, best

Embed = Callable[[tuple[str, ...]], Vectors]
Classify = Callable[[str], Labels]
Say = Callable[[str], None]
TOGETHER: Final = 256
FEW: Final = 50
"""Questions below which a training is refused as too small to say anything."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """The engines through which a question is seen, in training as in serving."""

    embedder: str
    embed: Embed
    classify: Classify
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a way of choosing gave on the questions kept apart, a mean each."""

    name: str
    quality: float
    regret: float
    """How far below the best choice for each question, 0..1."""
    right: float
    """The share of questions that got a model none did better than."""
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """How a selector did beside what one could do without it."""

    algorithm: Algorithm
    models: tuple[str, ...]
    learnt: int
    held_out: int
    incomplete: int
    """Questions kept apart that some model was not tried with; they are not measured."""
    rows: tuple[Measured, ...]
    gain: float
    """Quality of the selector less that of the best single model."""
    gain_error: float
    """The standard error of ``gain``: twice it is about the 95 % interval."""
    chosen: dict[str, float]
    """The share of questions each model got."""


def learn(
    questions: Sequence[Question],
    algorithm: Algorithm,
    eyes: Eyes,
    how: Choices,
    *,
    held_out: float = 0.2,
    k: int = 5,
    efficiency: float = 0.1,
    say: Say = lambda line: None,
) -> tuple[Learnt, Report]:
    """A selector of all questions, and the report on one that lacked ``held_out`` of them.

    :class:`ConfigError` for questions that teach nothing.
    """
    models = selection_rows.models(questions)
    if len(models) < 2:
        raise ConfigError.one(
            f"only {len(models)} model(s) in the rows: nothing to choose between",
            where="rows",
            fix="measure at least two models with the same questions",
        )
    if len(questions) < FEW:
        raise ConfigError.one(
            f"only {len(questions)} questions", where="rows", fix=f"give {FEW}, better thousands"
        )
    say(f"embedding {len(questions):,} questions")
    vectors = embedded([q.text for q in questions], eyes.embed)
    seen = [ranked[0][0] if (ranked := eyes.classify(q.text)) else "" for q in questions]
    known = set(eyes.categories)
    taught = [
        q.category if q.category in known else c for q, c in zip(questions, seen, strict=True)
    ]
    probe = embedded([PROBE], eyes.embed)[0]

    def fitted(some: slice) -> Learnt:
        points = joined(vectors[some], taught[some], eyes.categories)
        quality, seconds = tables(questions[some], models)
        return Learnt(
            algorithm=algorithm,
            models=models,
            categories=eyes.categories,
            embedder=eyes.embedder,
            probe=probe,
            arrays=FITS[algorithm](points, quality, seconds, how),
            facts={"questions": len(questions[some]), "seed": how.seed},
        )

    count = round(held_out * len(questions))
    say(f"learning from {len(questions) - count:,} questions, to measure with {count:,}")
    trial = fitted(slice(count, None))
    apart = list(zip(questions[:count], vectors[:count], seen[:count], strict=True))
    found = report(trial, apart, questions[count:], k=k, efficiency=efficiency)
    say(f"learning from all {len(questions):,}")
    return fitted(slice(None)), found


def report(
    learnt: Learnt,
    apart: Sequence[tuple[Question, NDArray[np.float32], str]],
    before: Sequence[Question],
    *,
    k: int = 5,
    efficiency: float = 0.1,
) -> Report:
    """How a selector does on questions kept apart, each with its vector and its category.

    ``before`` are the questions that the best single model is chosen by.
    """
    models = learnt.models
    complete = [one for one in apart if len(one[0].quality) == len(models)]
    model = Model(learnt)
    picks = [
        models[pick(model, vector, category, k=k, efficiency=efficiency)]
        for _, vector, category in complete
    ]
    asked = [q for q, _, _ in complete]
    single = best_single(before or asked, models)
    ways: list[tuple[str, list[str]]] = [
        ("oracle", [q.best(models) for q in asked]),
        (learnt.algorithm, picks),
        (f"always {single}", [single] * len(asked)),
    ]
    ways += [(f"always {name}", [name] * len(asked)) for name in models if name != single]
    gains = [q.quality[p] - q.quality[single] for q, p in zip(asked, picks, strict=True)]
    mean = _mean(gains)
    spread = sqrt(_mean([(g - mean) ** 2 for g in gains]) / max(len(gains) - 1, 1))
    return Report(
        algorithm=learnt.algorithm,
        models=models,
        learnt=len(before),
        held_out=len(asked),
        incomplete=len(apart) - len(complete),
        rows=tuple(_measured(name, asked, chosen) for name, chosen in ways),
        gain=mean,
        gain_error=spread,
        chosen={name: picks.count(name) / max(len(picks), 1) for name in models},
    )


def pick(
    model: Model,
    vector: NDArray[np.float32],
    category: str,
    *,
    k: int = 5,
    efficiency: float = 0.1,
) -> int:
    """Which model the selector takes: what :mod:`wayside.selection` does with one request."""
    columns = tuple(range(len(model.learnt.models)))
    if model.learnt.algorithm == "knn":
        near = model.nearest(model.features(vector, category), k, columns)
        return best(votes(near), speeds(near))
    return best(scored(model, vector, category, columns, efficiency=efficiency))


def scored(
    model: Model,
    vector: NDArray[np.float32],
    category: str,
    columns: tuple[int, ...],
    *,
    k: int = 5,
    efficiency: float = 0.1,
) -> Sequence[float | None]:
    """What the selector gives each of the models of ``columns``."""
    x = model.features(vector, category)
    if model.learnt.algorithm == "knn":
        return votes(model.nearest(x, k, columns))
    if model.learnt.algorithm == "kmeans":
        return weighed(model.nearest(x, 1, columns)[0], efficiency)
    return model.scores(x, columns)


def as_text(found: Report) -> str:
    """The report for people."""
    lines = [
        f"{found.algorithm}: "
        + (f"learnt from {found.learnt:,} questions, " * bool(found.learnt))
        + f"measured with {found.held_out:,} others"
        + (
            f" ({found.incomplete:,} left out: not every model was tried)" * bool(found.incomplete)
        ),
        "",
        f"{'choice':<28} quality  regret   right  seconds",
    ]
    for row in found.rows:
        seconds = "-" if row.seconds is None else f"{row.seconds:.2f}"
        figures = f"{row.quality:7.3f} {row.regret:7.3f} {row.right:7.1%} {seconds:>8}"
        lines.append(f"{row.name[:28]:<28} {figures}")
    low, high = found.gain - 2 * found.gain_error, found.gain + 2 * found.gain_error
    verdict = (
        "better than any single model" if low > 0
        else "worse than the best single model: do not use it" if high < 0
        else "no clear difference from the best single model"
    )  # fmt: skip
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.chosen.items())
    lines += [
        "",
        f"against the best single model: {found.gain:+.3f} "
        f"(95 %: {low:+.3f} to {high:+.3f}): {verdict}",
        f"who gets the questions: {shares}",
    ]
    return "\n".join(lines)


def embedded(texts: Sequence[str], embed: Embed) -> Floats:
    """One row a text."""
    parts = [embed(tuple(texts[i : i + TOGETHER])) for i in range(0, len(texts), TOGETHER)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def joined(vectors: Floats, categories: Sequence[str], names: Sequence[str]) -> Floats:
    """Embeddings with the one-hot category behind them."""
    places = {name: i for i, name in enumerate(names)}
    hot = np.zeros((len(vectors), len(names)), np.float32)
    for row, category in enumerate(categories):
        if category in places:
            hot[row, places[category]] = 1.0
    return np.concatenate((vectors, hot), axis=1)


def tables(questions: Sequence[Question], models: Sequence[str]) -> tuple[Floats, Floats]:
    """Quality and seconds, questions x models."""
    quality = [[q.quality.get(m, UNMEASURED) for m in models] for q in questions]
    seconds = [[q.seconds.get(m, UNMEASURED) for m in models] for q in questions]
    return np.array(quality, np.float32), np.array(seconds, np.float32)


def best_single(questions: Sequence[Question], models: Sequence[str]) -> str:
    """The model of the best mean quality; the first of equals."""
    return max(models, key=lambda m: _mean([q.quality[m] for q in questions if m in q.quality]))


def as_dict(found: Report) -> dict[str, Any]:
    """The report for scripts."""
    return asdict(found)


def _measured(name: str, asked: Sequence[Question], chosen: Sequence[str]) -> Measured:
    pairs = list(zip(asked, chosen, strict=True))
    top = [max(q.quality.values()) for q in asked]
    got = [q.quality[m] for q, m in pairs]
    timed = [q.seconds[m] for q, m in pairs if m in q.seconds]
    return Measured(
        name=name,
        quality=_mean(got),
        regret=_mean([t - g for t, g in zip(top, got, strict=True)]),
        right=_mean([float(g >= t) for t, g in zip(top, got, strict=True)]),
        seconds=_mean(timed) if timed and len(timed) == len(pairs) else None,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
