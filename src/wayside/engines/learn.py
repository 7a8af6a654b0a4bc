"""From labelled rows to a finished small classifier: trained, pruned, calibrated, quantised.

The calibration is fitted to rows a model has not seen: the rows are split into `FOLDS` parts,
each part is scored by a head trained on the others, and one temperature is fitted to all those
scores. Rows of one ``group`` (or, without one, of one text) stay together, and together they
weigh in it as much as any other group: a sentence that was filled in 24 ways is easy 24 times,
and would make the model surer of everything than people's own sentences bear out. The same rows,
recipe and seed always give the same model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines import train
from wayside.engines.evaluate import calibration_error
from wayside.engines.features import BITS
from wayside.engines.modelfile import USUAL, LinearModel
from wayside.engines.rows import Example
from wayside.vocab.errors import ConfigError

FOLDS: Final = 8
FEW: Final = 20  # rows of a label below which a card warns
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A model, and how well its kind did on rows it had not seen."""

    model: LinearModel
    calibration: train.Calibration
    accuracy: float  # over the folds, 0..1
    ece: float  # over the folds, calibrated
    features: int
    pruned: int  # features left out for size


def learn(
    examples: Sequence[Example],
    recipe: train.Recipe,
    facts: dict[str, Any],
    max_bytes: int,
    say: Say = lambda line: None,
    begin: train.Begin | None = None,
) -> Learnt:
    """The classifier the rows teach; :class:`ConfigError` for rows that teach nothing."""
    labels = _labels(examples)
    pairs = [(one.text, one.label) for one in examples]
    rows = _room(max_bytes, len(labels))
    parts = _folds(examples)
    scored = np.zeros((len(pairs), len(labels)), np.float32)
    long = np.zeros(len(pairs), np.float32)
    for fold in range(FOLDS):
        inside = np.flatnonzero(parts != fold)
        outside = np.flatnonzero(parts == fold)
        if not len(outside):
            continue
        say(f"part {fold + 1} of {FOLDS}, for the calibration")
        head = pruned(train.train([pairs[i] for i in inside], recipe, say, begin), rows)
        texts = [pairs[i][0] for i in outside]
        scored[outside] = train.scores(head, texts)
        long[outside] = train.lengths(head, texts)
    answers = np.array([labels.index(label) for _, label in pairs])
    how = train.calibrate(scored, long, answers, _weights(examples))
    say("the model itself")
    whole = train.train(pairs, recipe, say, begin)
    head = pruned(whole, rows)
    sharpness = (how.divisor * (long / USUAL) ** how.bend).astype(np.float32)
    shares = train.softmax(np.asarray(scored / sharpness[:, None], np.float32))
    right = shares.argmax(axis=1) == answers
    return Learnt(
        model=train.quantise(head, how, facts),
        calibration=how,
        accuracy=float(right.mean()),
        ece=calibration_error(shares.max(axis=1).tolist(), right.tolist()),
        features=len(head.known),
        pruned=len(whole.known) - len(head.known),
    )


def pruned(head: train.Head, rows: int) -> train.Head:
    """The head with at most so many features: those that can move a score furthest."""
    if len(head.known) <= rows:
        return head
    reach = np.abs(head.weights).max(axis=1) * head.idf
    kept = np.sort(np.argsort(-reach, kind="stable")[:rows])
    return replace(head, known=head.known[kept], idf=head.idf[kept], weights=head.weights[kept])


def _room(max_bytes: int, labels: int) -> int:
    """How many features a file of so many bytes holds: a row is a byte a label and one more."""
    return max(1, (max_bytes - (1 << BITS) // 8 - 8_192) // (labels + 1))


def _labels(examples: Sequence[Example]) -> tuple[str, ...]:
    texts: dict[str, set[str]] = defaultdict(set)
    for one in examples:
        texts[one.label].add(one.text)
    if len(texts) < 2:
        raise ConfigError.one(
            f"{len(examples)} rows with {len(texts)} label(s): nothing to tell apart",
            where="rows",
            fix="give rows of at least two labels",
        )
    for label, some in sorted(texts.items()):
        if len(some) < 2:
            raise ConfigError.one(
                f"only one text has the label {label!r}",
                where="rows",
                fix=f"give at least 2, better {FEW} or more, or leave the label out",
            )
    return tuple(sorted(texts))


def _folds(examples: Iterable[Example]) -> NDArray[np.int64]:
    """The part each row belongs to. A label's groups are dealt out in turn, ordered by hash."""
    keys = [_key(one) for one in examples]
    dealt: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = defaultdict(int)
    for key in sorted(set(keys), key=_order):
        dealt[key] = counts[key[0]] % FOLDS
        counts[key[0]] += 1
    return np.array([dealt[key] for key in keys])


def _weights(examples: Sequence[Example]) -> NDArray[np.float32]:
    """What each row counts in the calibration: its share of its group."""
    sizes = Counter(_key(one) for one in examples)
    return np.array([1 / sizes[_key(one)] for one in examples], np.float32)


def _key(one: Example) -> tuple[str, str]:
    return one.label, one.group or one.text


def _order(key: tuple[str, str]) -> tuple[str, bytes]:
    return key[0], sha256(key[1].encode("utf-8", "surrogatepass")).digest()
