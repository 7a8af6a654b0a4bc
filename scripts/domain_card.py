"""What the built-in domain model is trained and measured on, and the card that says how it did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from wayside.engines import deep, distil, train
from wayside.engines.evaluate import Evaluation, calibration_error, evaluate
from wayside.engines.static import StaticClassifier

Rows = list[train.Row]
LAST = 4  # the round of held-out prompts written when the training prompts were final
SHARES = (0.0, 0.1, 0.2, 0.4)  # of prompts escalated in the cascade's table
MIXED = 0.5  # what the second's probabilities weigh there


@dataclass(frozen=True)
class Labelled:
    """A line of a file: a text, its label, and what else is known of it."""

    text: str
    label: str
    lang: str = "en"
    source: str = ""
    round: int = 0

    @property
    def pair(self) -> train.Row:
        return self.text, self.label


@dataclass(frozen=True)
class Sets:
    """All rows, by what they are for."""

    exam: Rows
    extra: Rows
    handwritten: list[Labelled]
    everyday: list[Labelled]
    templated: list[Labelled]
    dev: list[Labelled]
    held: list[Labelled]
    talk: list[str]

    @classmethod
    def read(cls, corpora: Path, data: Path) -> Sets:
        extra = [row.pair for row in read(data / "domain_extra.jsonl")]
        # A third of the assistants' requests (`other`): with all, every short prompt is `other`
        requests = [row for row in extra if row[1] == "other"]
        talk = [row.text for row in read(data / "jailbreak.jsonl") if row.source == "halueval"]
        return cls(
            exam=[row.pair for row in read(data / "domain_train.jsonl")],
            extra=[row for row in extra if row[1] != "other"] + requests[::3],
            handwritten=read(corpora / "handwritten.jsonl"),
            everyday=read(corpora / "everyday.jsonl"),
            templated=read(corpora / "templated.jsonl"),
            dev=read(data / "domain_dev.jsonl"),
            held=read(corpora / "heldout.jsonl"),
            talk=[text[:500] for text in talk],
        )

    def learnt(
        self, languages: Collection[str] | None = None, without: Rows | None = None
    ) -> Rows:
        """The rows to train on, as often as they count: exam questions and prompts written one by
        one count more than composed ones."""

        def of(rows: list[Labelled]) -> Rows:
            return [r.pair for r in rows if languages is None or r.lang in languages]

        left = set(without or ())
        rows = 2 * self.exam + self.extra + of(self.templated)
        rows += 2 * of(self.handwritten) + 3 * of(self.everyday)
        return [row for row in rows if row not in left]

    def spared(self, rows: list[Labelled]) -> Rows:
        """Rows of these left out of the training that the calibration is fitted with."""
        return [row.pair for row in rows if sha256(row.text.encode()).digest()[1] % 5 == 0]

    @property
    def tuning(self) -> Rows:
        """The half of the exam questions not trained on that chose the settings."""
        return [row.pair for row in self.dev if not second_half(row.text)]

    def measured(self) -> Rows:
        """Everything that is measured."""
        return [row.pair for row in self.dev + self.held]

    def named(self) -> dict[str, list[Labelled]]:
        """What is measured, set by set."""
        found = {
            "exam, tuned on": [row for row in self.dev if not second_half(row.text)],
            "exam, test": [row for row in self.dev if second_half(row.text)],
            "everyday, English": [row for row in self.held if row.lang == "en"],
            "everyday, other languages": [row for row in self.held if row.lang != "en"],
            "everyday, all": self.held,
            "of these, written last": [row for row in self.held if row.round == LAST],
        }
        return {name: rows for name, rows in found.items() if rows}


def read(path: Path) -> list[Labelled]:
    """Every line of a file; none, with a remark, without it."""
    if not path.exists():
        print(f"without {path}: no such file")
        return []
    rows = map(json.loads, filter(None, path.read_text(encoding="utf-8").split("\n")))
    keys = ("text", "label", "lang", "source", "round")
    return [Labelled(**{key: row[key] for key in keys if key in row}) for row in rows]


def second_half(text: str) -> bool:
    """Every second text, always the same ones."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 1


def card(
    classifier: StaticClassifier,
    sets: Sets,
    taught: distil.Taught | None,
    head: deep.Head,
    how: train.Calibration,
    file: Path,
) -> str:
    """The page about the model, all figures measured now."""
    found = {
        name: evaluate(classifier, [row.pair for row in rows])
        for name, rows in sets.named().items()
    }
    return TEXT.format(
        summary=table(
            ("set", "rows", "accuracy", "macro F1", "calibration error (10 bins)"),
            [
                (name, one.rows, f"{one.accuracy:.3f}", f"{one.macro_f1:.3f}", f"{one.ece:.3f}")
                for name, one in found.items()
            ],
        ),
        labels=per_label(found, head.labels),
        languages=per_group(classifier, sets.held, lambda row: row.lang),
        sources=per_group(classifier, sets.dev, lambda row: row.source.partition(":")[2][:24]),
        cascade=cascade(classifier, sets, taught),
        spent=table(
            ("characters", "µs"),
            [(f"{size:,}", f"{us:.0f}") for size, us in costs(classifier, sets).items()],
        ),
        features=len(head.table.known),
        megabytes=file.stat().st_size / 1e6,
        divisor=how.divisor,
        bend=how.bend,
        **{
            name: getattr(head.recipe, name)
            for name in ("width", "hidden", "epochs", "dropout", "smoothing", "seed")
        },
    )


def table(heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def per_label(found: dict[str, Evaluation], labels: tuple[str, ...]) -> str:
    names = [name for name in found if name != "of these, written last"]
    rows: list[tuple[object, ...]] = []
    for label in labels:
        scores = [dict(found[name].per_label)[label] for name in names]
        told = [f"{s.precision:.2f} / {s.recall:.2f} / {s.f1:.2f} ({s.support})" for s in scores]
        rows.append((label, *told))
    return table(("label", *names), rows)


def per_group(
    classifier: StaticClassifier, rows: list[Labelled], key: Callable[[Labelled], str]
) -> str:
    """Accuracy by language or source, the most rows first; small groups together."""
    groups: dict[str, list[Labelled]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    small = [name for name, some in groups.items() if len(some) < 10]
    if small:
        groups["all smaller ones"] = [row for name in small for row in groups.pop(name)]
    told = []
    for name, some in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        found = classifier.classify_many([row.text for row in some])
        right = sum(one[0][0] == row.label for one, row in zip(found, some, strict=True))
        told.append(f"{name} {right / len(some):.2f} ({len(some)})")
    return ", ".join(told)


def cascade(classifier: StaticClassifier, sets: Sets, taught: distil.Taught | None) -> str:
    """Accuracy (and calibration error) with the least sure share of the tuning set's prompts, and
    all as unsure, asked of the teacher too."""
    if taught is None:
        return "Not measured: no teacher was there."
    at = {text: i for i, text in enumerate(taught.texts)}
    order = [taught.labels.index(label) for label in classifier.labels]
    first: dict[str, NDArray[np.float64]] = {}
    for name, rows in sets.named().items():
        ranked = classifier.classify_many([row.text for row in rows])
        first[name] = np.array(
            [[dict(one)[label] for label in classifier.labels] for one in ranked]
        )
    both = np.concatenate([first["exam, tuned on"].max(1), first["everyday, all"].max(1)])
    lines: list[tuple[object, ...]] = []
    for share in (*SHARES, 1.0):
        below = float(np.quantile(both, share)) if share < 1 else 1.01
        for weight in (1.0, MIXED) if share else (0.0,):
            told = []
            for name, rows in sets.named().items():
                second = taught.shares[[at[row.text] for row in rows]][:, order]
                asked = first[name].max(1) < below
                mixed = weight * second + (1 - weight) * first[name]
                shares = np.where(asked[:, None], mixed, first[name])
                right = shares.argmax(1) == [classifier.labels.index(r.label) for r in rows]
                ece = calibration_error(shares.max(1).tolist(), right.tolist())
                told.append(f"{right.mean():.3f} ({ece:.3f}), {asked.mean():.0%}")
            how = "the second alone" if weight == 1 else f"both, {weight}" if weight else ""
            lines.append((f"{share:.0%}", f"{below:.2f}" if share < 1 else "", how, *told))
    return table(("escalated", "`below`", "who answers then", *sets.named()), lines)


def costs(classifier: StaticClassifier, sets: Sets) -> dict[int, float]:
    """Median microseconds a prompt of so many characters takes, prompts all different."""
    words = [row.text for row in sets.templated if row.lang == "en"][::7]
    result = {}
    for size in (60, 250, 1000, 4000, 1_000_000):
        whole = " ".join(words)
        texts = [(whole[i * 61 :] + whole)[:size] for i in range(300 if size < 10_000 else 5)]
        if size == 1_000_000:
            texts = [text * (size // len(text) + 1) for text in texts]
        result[size] = median(_taken(classifier, texts)) * 1e6
    return result


def _taken(classifier: StaticClassifier, texts: list[str]) -> Iterator[float]:
    for text in texts:
        began = perf_counter()
        classifier.classify(text)
        yield perf_counter() - began


TEXT = (Path(__file__).with_name("domain_card.md")).read_text("utf-8")
