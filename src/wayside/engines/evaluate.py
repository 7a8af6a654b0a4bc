"""How good a classifier is on labelled texts: accuracy, per label, calibration, cost.

`evaluate` measures, `to_text` and `to_dict` render. It knows nothing of files: rows come in as
(text, label), and any object with `labels` and `classify` can be measured.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

BINS: Final = 10  # equally wide bins of confidence, as in Guo et al. 2017 (with 15 there)


class Classifier(Protocol):
    """Whatever ranks labels for a text, the likeliest first."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def classify(self, text: str) -> tuple[tuple[str, float], ...]: ...


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label fared; a figure without anything to divide by is 0."""

    precision: float
    recall: float
    f1: float
    support: int  # rows that carry the label


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found."""

    rows: int
    accuracy: float  # 0..1
    per_label: tuple[tuple[str, LabelScore], ...]
    confusion: tuple[tuple[int, ...], ...]  # [true][given], both in the order of `per_label`
    ece: float  # expected calibration error: mean |confidence - accuracy| over `BINS` bins, 0..1
    confidence: float  # mean probability of the label given
    us_per_prompt: float  # mean wall-clock microseconds

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that have rows."""
        scores = [score.f1 for _, score in self.per_label if score.support]
        return sum(scores) / len(scores) if scores else 0.0


def evaluate(
    classifier: Classifier,
    rows: Iterable[tuple[str, str]],
    clock: Callable[[], float] = perf_counter,
) -> Evaluation:
    """Classifies every row; `ValueError` for none, or for a label the classifier never gives."""
    wanted = list(rows)
    if not wanted:
        raise ValueError("nothing to evaluate: give at least one row of text and label")
    place = {label: i for i, label in enumerate(classifier.labels)}
    for number, (_, label) in enumerate(wanted, 1):
        if label not in place:
            raise ValueError(f"row {number}: no label {label!r}; use one of: {', '.join(place)}")
    classifier.classify(wanted[0][0])  # the first call warms caches, and is not what is measured
    began = clock()
    given = [classifier.classify(text)[0] for text, _ in wanted]
    took_s = clock() - began

    counts = [[0] * len(place) for _ in place]
    for (_, label), (answer, _) in zip(wanted, given, strict=True):
        counts[place[label]][place[answer]] += 1
    sure = [probability for _, probability in given]
    right = [label == answer for (_, label), (answer, _) in zip(wanted, given, strict=True)]
    return Evaluation(
        rows=len(wanted),
        accuracy=sum(right) / len(wanted),
        per_label=tuple((label, _score(counts, i)) for label, i in place.items()),
        confusion=tuple(tuple(row) for row in counts),
        ece=calibration_error(sure, right),
        confidence=sum(sure) / len(sure),
        us_per_prompt=took_s / len(wanted) * 1e6,
    )


def calibration_error(confidences: list[float], right: list[bool]) -> float:
    """The mean gap between confidence and accuracy over `BINS` bins, weighted by their rows."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, correct in zip(confidences, right, strict=True):
        bins[min(int(confidence * BINS), BINS - 1)].append((confidence, correct))
    gaps = (abs(sum(c for c, _ in held) - sum(r for _, r in held)) for held in bins)
    return sum(gaps) / len(confidences) if confidences else 0.0


def to_dict(found: Evaluation) -> dict[str, Any]:
    """The evaluation as plain data, ready for JSON."""
    return {
        "rows": found.rows,
        "accuracy": round(found.accuracy, 4),
        "macro_f1": round(found.macro_f1, 4),
        "ece": round(found.ece, 4),
        "confidence": round(found.confidence, 4),
        "us_per_prompt": round(found.us_per_prompt, 1),
        "labels": {
            label: {
                "precision": round(score.precision, 4),
                "recall": round(score.recall, 4),
                "f1": round(score.f1, 4),
                "support": score.support,
            }
            for label, score in found.per_label
        },
        "confusion": {
            "labels": [label for label, _ in found.per_label],
            "counts": [list(row) for row in found.confusion],
        },
    }


def to_text(found: Evaluation) -> str:
    """The evaluation as a page for a terminal."""
    width = max(5, *(len(label) for label, _ in found.per_label))
    lines = [
        f"{found.rows} rows, accuracy {found.accuracy:.3f}, macro F1 {found.macro_f1:.3f}",
        f"calibration error {found.ece:.3f} (mean confidence {found.confidence:.3f}), "
        f"{found.us_per_prompt:.0f} µs per prompt",
        "",
        f"{'label':<{width}}  precision  recall     f1  rows",
    ]
    lines += [
        f"{label:<{width}}  {s.precision:9.3f}  {s.recall:6.3f}  {s.f1:5.3f}  {s.support:4d}"
        for label, s in found.per_label
    ]
    return "\n".join([*lines, "", *_confusion_lines(found, width)])


def _confusion_lines(found: Evaluation, width: int) -> list[str]:
    """Rows are the true labels, columns the given ones, abbreviated to four letters."""
    cell = max(4, *(len(str(count)) for row in found.confusion for count in row))
    heads = " ".join(f"{label[:4]:>{cell}}" for label, _ in found.per_label)
    lines = [f"{'true, given':<{width}}  {heads}"]
    for (label, _), row in zip(found.per_label, found.confusion, strict=True):
        cells = " ".join(f"{count or '.':>{cell}}" for count in row)
        lines.append(f"{label:<{width}}  {cells}")
    return lines


def _score(counts: list[list[int]], i: int) -> LabelScore:
    hits, support = counts[i][i], sum(counts[i])
    claimed = sum(row[i] for row in counts)
    precision = hits / claimed if claimed else 0.0
    recall = hits / support if support else 0.0
    both = precision + recall
    return LabelScore(precision, recall, 2 * precision * recall / both if both else 0.0, support)
