"""How good a classifier is: every figure an evaluation prints, from its answers to labelled texts.

`answers` asks, `report` counts; rendering is `as_text`, `as_dict` and `page.as_html`. The measured
thing is any function from a text to ranked labels, so built-in models, engines of a configuration
and the language detector are measured alike. A label it gives that no row carries counts as wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, floor, lgamma, log
from time import perf_counter
from typing import Any, Final

from wayside.engines.rows import Example
from wayside.vocab.ask import Labels

BINS: Final = 10  # equally wide bins of confidence (Guo et al. 2017 has 15)
THRESHOLDS: Final = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
FALSE_POSITIVES: Final = (0.01, 0.001)  # rates at which a two-class head's recall is told
NOTHING: Final = "(none)"  # what stands for an answer without any label


@dataclass(frozen=True, slots=True)
class Answer:
    """One labelled text, the ranking given for it (best first), and the microseconds it took."""

    example: Example
    ranking: Labels
    us: float = 0.0

    @property
    def given(self) -> str:
        return self.ranking[0][0] if self.ranking else NOTHING

    @property
    def confidence(self) -> float:
        return self.ranking[0][1] if self.ranking else 0.0

    @property
    def right(self) -> bool:
        return self.given == self.example.label

    def probability(self, label: str) -> float:
        return dict(self.ranking).get(label, 0.0)


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How one label fared; a share of nothing is 0."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence is in one tenth: how sure they were, how often right."""

    low: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold leaves: the share of answers at or above it, and how many are right."""

    threshold: float
    coverage: float
    precision: float


@dataclass(frozen=True, slots=True)
class Roc:
    """A two-class head as a detector of ``positive``."""

    positive: str
    auc: float
    curve: tuple[tuple[float, float], ...]  # false positive rate, true positive rate; ascending
    recall_at: tuple[tuple[float, float], ...]  # (false positive rate allowed, recall)
    by_threshold: tuple[tuple[float, float, float], ...]  # threshold, TPR, FPR


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one source, language or kind."""

    name: str
    rows: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything an evaluation found."""

    name: str
    rows: int
    accuracy: float
    macro_f1: float
    ece: float  # mean |confidence - accuracy| over the bins, weighted by their rows; 0..1
    confidence: float
    us_median: float
    us_mean: float
    labels: tuple[LabelFigures, ...]
    confusion: tuple[tuple[int, ...], ...]  # [true][given], in the order of `labels`
    reliability: tuple[Bin, ...]
    thresholds: tuple[AtThreshold, ...]
    roc: Roc | None
    parts: tuple[tuple[str, tuple[Part, ...]], ...]  # (by what, its parts)
    worst: tuple[Answer, ...]  # the surest mistakes


def chance_error(found: Report) -> float:
    """The calibration error that honest answers would show on so few rows, 0..1.

    In a bin of n rows, each right with the probability p it was given, the number right is
    binomial; its mean distance from np is 2 m C(n, m) p^m (1 - p)^(n - m + 1) with
    m = floor(np) + 1 (De Moivre 1730). What is measured beyond this is the model's fault.
    """
    return sum(_distance(b.rows, b.confidence) for b in found.reliability) / found.rows


def _distance(n: int, p: float) -> float:
    """The mean of |X - np| for X binomial."""
    m = floor(n * p) + 1
    if not n or not 0 < p < 1 or m > n:
        return 0.0
    logs = lgamma(n + 1) - lgamma(m + 1) - lgamma(n - m + 1)
    return 2 * m * exp(logs + m * log(p) + (n - m + 1) * log(1 - p))


def answers(
    classify: Callable[[str], Labels],
    examples: Iterable[Example],
    clock: Callable[[], float] = perf_counter,
) -> list[Answer]:
    """What it says of every text, each timed."""
    wanted = list(examples)
    if wanted:
        classify(wanted[0].text)  # the first call warms caches
    found = []
    for one in wanted:
        began = clock()
        ranking = classify(one.text)
        found.append(Answer(one, tuple(ranking), (clock() - began) * 1e6))
    return found


def report(name: str, found: Sequence[Answer], positive: str | None = None) -> Report:
    """The figures of these answers; ``ValueError`` for none.

    ``positive`` is the label a two-class head detects; without it, the alphabetically first.
    """
    if not found:
        raise ValueError("nothing to evaluate: give at least one row of text and label")
    labels = sorted({a.example.label for a in found} | {a.given for a in found})
    place = {label: i for i, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for a in found:
        counts[place[a.example.label]][place[a.given]] += 1
    figures = label_figures(labels, counts)
    bins = _reliability(found)
    times = sorted(a.us for a in found)
    heads = {label for a in found for label, _ in a.ranking}
    chosen = positive if positive in heads else min(heads, default="")
    return Report(
        name=name,
        rows=len(found),
        accuracy=_share(found),
        macro_f1=macro_f1(figures),
        ece=sum(abs(b.confidence - b.accuracy) * b.rows for b in bins) / len(found),
        confidence=sum(a.confidence for a in found) / len(found),
        us_median=times[len(times) // 2],
        us_mean=sum(times) / len(times),
        labels=figures,
        confusion=tuple(tuple(row) for row in counts),
        reliability=bins,
        thresholds=tuple(_at(found, t) for t in THRESHOLDS),
        roc=_roc(found, chosen) if len(heads) == 2 else None,
        parts=tuple(_parts(found)),
        worst=tuple(sorted((a for a in found if not a.right), key=lambda a: -a.confidence)[:10]),
    )


def _share(some: Sequence[Answer]) -> float:
    return sum(a.right for a in some) / len(some) if some else 0.0


def label_figures(
    labels: Sequence[str], counts: Sequence[Sequence[int]]
) -> tuple[LabelFigures, ...]:
    """How each label fared, from the confusion matrix ``counts`` ([true][given])."""
    return tuple(_figures(label, i, counts) for i, label in enumerate(labels))


def macro_f1(figures: Iterable[LabelFigures]) -> float:
    """The mean over the labels that rows carry; 0 where there are none."""
    scored = [one.f1 for one in figures if one.rows]
    return sum(scored) / len(scored) if scored else 0.0


def _figures(label: str, i: int, counts: Sequence[Sequence[int]]) -> LabelFigures:
    hits, rows = counts[i][i], sum(counts[i])
    claimed = sum(row[i] for row in counts)
    precision = hits / claimed if claimed else 0.0
    recall = hits / rows if rows else 0.0
    both = precision + recall
    return LabelFigures(
        label, rows, precision, recall, 2 * precision * recall / both if both else 0
    )


def _reliability(found: Sequence[Answer]) -> tuple[Bin, ...]:
    bins: list[list[Answer]] = [[] for _ in range(BINS)]
    for a in found:
        bins[min(int(a.confidence * BINS), BINS - 1)].append(a)
    return tuple(
        Bin(i / BINS, len(some), sum(a.confidence for a in some) / len(some), _share(some))
        if some
        else Bin(i / BINS, 0, 0.0, 0.0)
        for i, some in enumerate(bins)
    )


def _at(found: Sequence[Answer], threshold: float) -> AtThreshold:
    kept = [a for a in found if a.confidence >= threshold]
    return AtThreshold(threshold, len(kept) / len(found), _share(kept))


def _roc(found: Sequence[Answer], positive: str) -> Roc | None:
    """The curve by descending score; answers with equal scores are one step."""
    yes = sum(a.example.label == positive for a in found)
    no = len(found) - yes
    if not yes or not no:
        return None
    steps: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for a in found:
        steps[a.probability(positive)][a.example.label == positive] += 1
    curve, area, seen = [(0.0, 0.0)], 0.0, [0, 0]
    for _, (negatives, positives) in sorted(steps.items(), reverse=True):
        last = curve[-1]
        seen = [seen[0] + negatives, seen[1] + positives]
        point = (seen[0] / no, seen[1] / yes)
        area += (point[0] - last[0]) * (point[1] + last[1]) / 2
        curve.append(point)
    rates = []
    for threshold in THRESHOLDS[1:]:
        above = [a for a in found if a.probability(positive) >= threshold]
        true = sum(a.example.label == positive for a in above)
        rates.append((threshold, true / yes, (len(above) - true) / no))
    recalls = tuple((rate, max(t for f, t in curve if f <= rate)) for rate in FALSE_POSITIVES)
    return Roc(positive, area, tuple(curve), recalls, tuple(rates))


def _parts(found: Sequence[Answer]) -> Iterable[tuple[str, tuple[Part, ...]]]:
    for what in ("source", "lang", "kind"):
        groups: dict[str, list[Answer]] = defaultdict(list)
        for a in found:
            groups[getattr(a.example, what)].append(a)
        if set(groups) != {""} and (len(groups) > 1 or what == "source"):
            order = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
            yield what, tuple(Part(n or "(not told)", len(g), _share(g)) for n, g in order)


def as_dict(found: Report) -> dict[str, Any]:
    """The report as plain data, ready for JSON."""
    result: dict[str, Any] = {
        "name": found.name,
        "rows": found.rows,
        "accuracy": round(found.accuracy, 4),
        "macro_f1": round(found.macro_f1, 4),
        "ece": round(found.ece, 4),
        "confidence": round(found.confidence, 4),
        "us_per_prompt": {"median": round(found.us_median, 1), "mean": round(found.us_mean, 1)},
        "labels": {
            one.label: {
                "precision": round(one.precision, 4),
                "recall": round(one.recall, 4),
                "f1": round(one.f1, 4),
                "support": one.rows,
            }
            for one in found.labels
        },
        "confusion": {
            "labels": [one.label for one in found.labels],
            "counts": [list(row) for row in found.confusion],
        },
        "reliability": [
            {
                "from": b.low,
                "rows": b.rows,
                "confidence": round(b.confidence, 4),
                "accuracy": round(b.accuracy, 4),
            }
            for b in found.reliability
        ],
        "thresholds": [
            {
                "threshold": t.threshold,
                "coverage": round(t.coverage, 4),
                "precision": round(t.precision, 4),
            }
            for t in found.thresholds
        ],
        "parts": {
            what: {p.name: {"rows": p.rows, "accuracy": round(p.accuracy, 4)} for p in parts}
            for what, parts in found.parts
        },
        "surest_mistakes": [
            {
                "text": a.example.text[:500],
                "label": a.example.label,
                "given": a.given,
                "confidence": round(a.confidence, 4),
            }
            for a in found.worst
        ],
    }
    if found.roc is not None:
        result["detector"] = {
            "positive": found.roc.positive,
            "auc": round(found.roc.auc, 4),
            "recall_at_false_positives": {
                str(rate): round(recall, 4) for rate, recall in found.roc.recall_at
            },
            "by_threshold": [
                {"threshold": t, "recall": round(tpr, 4), "false_positives": round(fpr, 4)}
                for t, tpr, fpr in found.roc.by_threshold
            ],
        }
    return result


def as_text(found: Report) -> str:
    """The report as a page for a terminal."""
    width = max(12, *(len(one.label) for one in found.labels))
    lines = [
        f"{found.name}: {found.rows} rows, accuracy {found.accuracy:.3f}, "
        f"macro F1 {found.macro_f1:.3f}",
        f"calibration error {found.ece:.3f} (mean confidence {found.confidence:.3f}), "
        f"{found.us_median:.0f} µs per prompt (median)",
        "",
        f"{'label':<{width}}  precision  recall     f1   rows",
    ]
    lines += [
        f"{one.label:<{width}}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}  "
        f"{one.rows:5d}"
        for one in found.labels
    ]
    lines += ["", *_confusion_lines(found, width)]
    lines += ["", "confidence  rows  right   said    reliability"]
    lines += [
        f"{b.low:.1f} to {b.low + 1 / BINS:.1f}  {b.rows:4d}  {b.accuracy:5.3f}  "
        f"{b.confidence:5.3f}   {'#' * round(b.accuracy * 20):<20}|"
        for b in found.reliability
        if b.rows
    ]
    lines += ["", "threshold  answered  right of these"]
    lines += [
        f"{t.threshold:9.2f}  {t.coverage:8.3f}  {t.precision:.3f}" for t in found.thresholds
    ]
    if found.roc is not None:
        lines += ["", *_detector_lines(found.roc)]
    for what, parts in found.parts:
        lines += ["", f"{'by ' + what:<{width}}  accuracy   rows"]
        lines += [f"{p.name:<{width}}  {p.accuracy:8.3f}  {p.rows:5d}" for p in parts]
    return "\n".join(lines)


def _detector_lines(roc: Roc) -> list[str]:
    recalls = ", ".join(f"{recall:.3f} at {rate:.1%}" for rate, recall in roc.recall_at)
    lines = [
        f"as a detector of {roc.positive}: AUC {roc.auc:.3f}; recall {recalls} false positives",
        "threshold  recall  false positives",
    ]
    return lines + [f"{t:9.2f}  {tpr:6.3f}  {fpr:15.4f}" for t, tpr, fpr in roc.by_threshold]


def _confusion_lines(found: Report, width: int) -> list[str]:
    """Rows are the true labels, columns the given ones, numbered in the same order."""
    cell = max(4, *(len(str(count)) for row in found.confusion for count in row))
    heads = " ".join(f"{i:>{cell}}" for i in range(1, len(found.labels) + 1))
    lines = [f"{'true, given':<{width + 4}}{heads}"]
    for i, (one, row) in enumerate(zip(found.labels, found.confusion, strict=True), 1):
        cells = " ".join(f"{count or '.':>{cell}}" for count in row)
        lines.append(f"{i:2d} {one.label:<{width + 1}}{cells}")
    return lines


def counted(examples: Iterable[Example], what: str) -> list[tuple[str, int]]:
    """How many examples each value of a field has, the commonest first."""
    found = Counter(getattr(one, what) or "(not told)" for one in examples)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))
