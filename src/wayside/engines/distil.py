"""Teaches a small classifier what a large one thinks of texts nobody labelled.

A fine-tuned transformer knows words that no labelled row contains. `fresh` makes texts of them:
words of its vocabulary in the frames people type, and pieces of longer texts. What the transformer
says of those texts and of the labelled ones is kept in a file, and `lesson` turns rows and that
file into what `deep.learn` should answer. Nothing here needs PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from wayside.engines.modelfile import Floats
from wayside.engines.train import Row


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """Texts and what a teacher says of each: texts x labels, rows add up to one."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    shares: Floats

    def write(self, path: Path) -> None:
        """Keeps it as ``path``, probabilities as half floats."""
        texts = np.frombuffer(json.dumps([self.labels, self.texts]).encode(), np.uint8)
        with path.open("wb") as out:
            np.savez_compressed(out, texts=texts, shares=self.shares.astype(np.float16))

    @classmethod
    def read(cls, path: Path) -> Taught:
        """What `write` kept; ``OSError`` or ``ValueError`` where that is not in the file."""
        with np.load(path) as kept:
            labels, texts = json.loads(kept["texts"].tobytes())
            shares = kept["shares"].astype(np.float32)
        whole = np.maximum(shares.sum(axis=1, keepdims=True), 1e-6)
        return cls(tuple(labels), tuple(texts), np.asarray(shares / whole, np.float32))


def fresh(
    words: Sequence[str], frames: Sequence[str], long: Iterable[str], dice: Random
) -> Iterator[str]:
    """Texts to ask a teacher about: each word in a frame (``{t}``, ``{u}``), a piece of each
    longer text."""
    for word in words:
        yield dice.choice(frames).replace("{t}", word).replace("{u}", dice.choice(words))
    for text in long:
        parts = text[:2000].split()
        if len(parts) > 6:
            length = dice.randint(3, 14)
            at = dice.randint(0, max(0, len(parts) - length))
            yield " ".join(parts[at : at + length])


def lesson(
    rows: Sequence[Row],
    taught: Taught | None,
    *,
    trust: Mapping[bool, float],
    smoothing: float,
    without: Iterable[str] = (),
) -> tuple[list[Row], Floats]:
    """Rows and the probabilities they should get, labels in order of name.

    A labelled row gets ``trust[True]`` of what the teacher says and the rest of its own label; a
    text that only the teacher knows gets ``trust[False]`` of it and the rest of no label at all.
    Texts in ``without`` are left out (those that will be measured on).
    """
    labels = tuple(sorted({label for _, label in rows}))
    if taught is not None and set(taught.labels) != set(labels):
        odd = ", ".join(sorted(set(taught.labels) ^ set(labels)))
        raise ValueError(f"the teacher's labels are others than the rows': {odd}")
    place = {label: i for i, label in enumerate(labels)}
    count = len(labels)
    wanted = np.full((len(rows), count), smoothing / count, np.float32)
    wanted[np.arange(len(rows)), [place[label] for _, label in rows]] += 1 - smoothing
    if taught is None:
        return list(rows), wanted
    order = [taught.labels.index(label) for label in labels]
    shares, at = taught.shares[:, order], {text: i for i, text in enumerate(taught.texts)}
    for i, (text, _) in enumerate(rows):
        if text in at:
            wanted[i] += trust[True] * (shares[at[text]] - wanted[i])
    known = {text for text, _ in rows} | set(without)
    extra = [i for i, text in enumerate(taught.texts) if text not in known]
    said = shares[extra]
    more = [
        (taught.texts[i], labels[int(one.argmax())]) for i, one in zip(extra, said, strict=True)
    ]
    unsure = np.float32((1 - trust[False]) / count)
    return [*rows, *more], np.concatenate((wanted, trust[False] * said + unsure))
