"""The model card a training writes: what was learnt, how well, at what cost, with what limits.

After "Model Cards for Model Reporting" (Mitchell et al., arXiv:1810.03993). Every figure comes
from the run that writes it; nothing is filled in by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from wayside.engines.learn import FEW, FOLDS, Learnt
from wayside.engines.report import Report, chance_error, counted
from wayside.engines.rows import Example
from wayside.engines.train import Recipe
from wayside.vocab.ask import Labels

CLEAN = "clean"  # what the set is called from which nothing was learnt at all
_CHANCE = "`chance` is the calibration error that a wholly honest model would show on so few rows."
_CLEAN = (
    "The `clean` set was written before the last training rows, and nobody looked at single "
    "mistakes on it; those on the earlier set led to rows, and settings were chosen by it."
)
SIZES = (60, 250, 1_000, 4_000, 1_000_000)  # characters a prompt's cost is measured at


@dataclass(frozen=True, slots=True)
class Training:
    """What a card tells about: one training, from its rows to its file."""

    name: str
    title: str
    summary: str
    command: str
    examples: Sequence[Example]
    recipe: Recipe
    learnt: Learnt
    bytes: int
    limits: Sequence[str]
    costs: Sequence[tuple[int, float]]  # characters, microseconds


def costs(
    classify: Callable[[str], Labels],
    examples: Sequence[Example],
    clock: Callable[[], float] = perf_counter,
) -> list[tuple[int, float]]:
    """Median microseconds for a prompt of so many characters, prompts all different."""
    whole = " ".join(one.text for one in examples[:2_000]) or "words "
    whole *= max(SIZES[:-1]) // len(whole) + 2
    found = []
    for size in SIZES:
        count = 100 if size < 10_000 else 3
        texts = [(whole[i * 61 % len(whole) :] + whole)[:size] for i in range(count)]
        texts = [text * (size // len(text) + 1) for text in texts] if count == 3 else texts
        taken = []
        for text in texts:
            began = clock()
            classify(text)
            taken.append((clock() - began) * 1e6)
        found.append((size, median(taken)))
    return found


def as_markdown(told: Training, held_out: Sequence[tuple[str, Report]]) -> str:
    """The card. ``held_out`` are reports on rows not learnt from, the main one first."""
    parts = [
        f"# {told.title}",
        f"Written by `{told.command}`; do not edit.",
        f"It tells {told.summary}, with a calibrated probability for each label: "
        + ", ".join(f"`{label}`" for label in told.learnt.model.labels)
        + f".\nIts file takes {told.bytes:,} bytes, needs only numpy, and answers in microseconds "
        "on one core.",
        "## How good it is",
        *_figures(told, held_out),
        "## What it learnt from",
        *_data(told.examples),
        "## How it was made",
        _recipe(told),
        "## What it costs",
        "Median on one core of the machine it was trained on, prompts all different:",
        _table(("characters", "µs"), [(f"{size:,}", f"{us:.0f}") for size, us in told.costs]),
        "## Limits",
        "\n".join(f"- {one}" for one in _limits(told)),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(told: Training, held_out: Sequence[tuple[str, Report]]) -> list[str]:
    learnt = told.learnt
    across = (
        f"Cross-validated over {FOLDS} parts of its training rows, rows made from one sentence "
        f"kept together: accuracy {learnt.accuracy:.3f}, calibration error {learnt.ece:.3f}."
    )
    if not held_out:
        return [across]
    rows = [
        (name, str(r.rows), f"{r.accuracy:.3f}", f"{r.macro_f1:.3f}", f"{r.ece:.3f}",
         f"{chance_error(r):.3f}")
        for name, r in held_out
    ]  # fmt: skip
    main = held_out[0][1]
    sections = [
        "On rows it never saw:",
        _table(("set", "rows", "accuracy", "macro F1", "calibration error", "chance"), rows),
        _CHANCE if held_out[0][0] != CLEAN else f"{_CHANCE} {_CLEAN} What follows is about it.",
        across,
        _table(
            ("label", "precision", "recall", "F1", "rows"),
            [
                (
                    f"`{o.label}`",
                    f"{o.precision:.2f}",
                    f"{o.recall:.2f}",
                    f"{o.f1:.2f}",
                    str(o.rows),
                )
                for o in main.labels
            ],
        ),
        "Which labels are mistaken for which (rows are the true ones):",
        _table(
            ("", *(f"`{o.label}`" for o in main.labels)),
            [
                (f"`{o.label}`", *(str(n or "") for n in row))
                for o, row in zip(main.labels, main.confusion, strict=True)
            ],
        ),
    ]
    for what, some in main.parts:
        if what != "source" or len(some) > 1:
            cells = [(p.name, str(p.rows), f"{p.accuracy:.2f}") for p in some]
            sections += [f"By {what}:", _table((what, "rows", "accuracy"), cells)]
    sections += [
        "### How far its confidence can be believed",
        _table(
            ("confidence", "rows", "said", "right"),
            [
                (f"{b.low:.1f} to {b.low + 0.1:.1f}", str(b.rows), f"{b.confidence:.2f}",
                 f"{b.accuracy:.2f}")
                for b in main.reliability
                if b.rows
            ],
        ),
        "What a threshold leaves:",
        _table(
            ("threshold", "answered", "right of these"),
            [(f"{t.threshold:.2f}", f"{t.coverage:.2f}", f"{t.precision:.3f}")
             for t in main.thresholds],
        ),
    ]  # fmt: skip
    if main.roc is not None:
        recalls = ", ".join(f"{r:.2f} at {rate:.1%}" for rate, r in main.roc.recall_at)
        sections.append(
            f"As a detector of `{main.roc.positive}`: AUC {main.roc.auc:.3f}; recall {recalls} "
            "false positives."
        )
    return sections


def _data(examples: Sequence[Example]) -> list[str]:
    sections = [f"{len(examples):,} rows, counted as often as they are learnt from."]
    for what in ("source", "label", "lang"):
        cells = [(name, f"{count:,}") for name, count in counted(examples, what)]
        sections.append(_table((what, "rows"), cells))
    return sections


def _recipe(told: Training) -> str:
    recipe, learnt = told.recipe, told.learnt
    pruned = f" ({learnt.pruned:,} more were pruned)" if learnt.pruned else ""
    return (
        f"A linear softmax over {learnt.features:,} hashed features{pruned}: words, pairs of "
        "neighbouring words and pieces of 3 to 5 characters inside words, weighted by inverse "
        f"document frequency, int8 weights with one scale a label. Words of the embedder's table "
        "begin with what their vectors say (`wayside.engines.meaning`). "
        f"{recipe.epochs} epochs of RMSprop, {recipe.dropout:.0%} feature dropout, label "
        f"smoothing {recipe.smoothing}, seed {recipe.seed}; temperature "
        f"{learnt.calibration.divisor:.2f}, times the length of the "
        f"feature vector (in hundreds) to the power of {learnt.calibration.bend:.2f}. The same "
        "rows and seed give the same bytes."
    )


def _limits(told: Training) -> list[str]:
    few = [
        f"`{label}` was learnt from {count} rows only; at least {FEW} are advisable."
        for label, count in counted(told.examples, "label")
        if count < FEW
    ]
    return [*few, *told.limits] or [
        "It knows the words of its rows, not meaning; measure it on rows of your own."
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
