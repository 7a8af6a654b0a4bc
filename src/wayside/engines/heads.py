"""What a transformer's numbers mean: labels, pieces of a text, or a vector.

Each head is given one text, its windows and the network's output for each window, and makes one
answer of them. Heads know no network and no tokenizer, so their arithmetic is tested by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wayside.engines.base import Vectors
from wayside.engines.tokenise import Piece
from wayside.engines.windows import Rows, mean, worst
from wayside.vocab.ask import Labels, Span, Spans
from wayside.vocab.errors import AskFailed

OUTSIDE = "O"
"""The label of a token that is part of nothing."""
NONE = "none"
"""The label of a text to which no label of a several-labels model applies."""
Word = Literal["first", "mean", "token"]
Pooling = Literal["mean", "cls", "last"]


class Head(Protocol):
    """Makes one answer of the outputs: an array a piece, special tokens included."""

    def answer(self, text: str, pieces: Sequence[Piece], outputs: Sequence[Rows]) -> object: ...


class Ranking:
    """Probabilities of labels for a whole text."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        several: bool = False,
        positive: Sequence[str] = (),
    ) -> None:
        """``names`` may repeat: their probabilities add up. ``several``: the labels do not
        exclude each other (one sigmoid each). With ``positive`` labels the window that has the
        most of them decides; without, the windows' mean."""
        self.labels = tuple(dict.fromkeys((*names, NONE) if several else names))
        self._several = several
        self._onto = onto(names, self.labels)
        unknown = [label for label in positive if label not in self.labels]
        if unknown:
            raise ValueError(f"the model has no label {unknown[0]!r}; it has {list(self.labels)}")
        self._positive = np.array([label in positive for label in self.labels])

    def answer(self, text: str, pieces: Sequence[Piece], outputs: Sequence[Rows]) -> Labels:
        logits = finite(np.stack([output.reshape(-1) for output in outputs]))
        if logits.shape[1] != len(self._onto):
            raise AskFailed(f"{logits.shape[1]} outputs for {len(self._onto)} labels")
        rows = self._probabilities(logits)
        if self._positive.any():
            row = worst(rows, self._positive)
        else:
            row = mean(rows, np.array([len(p.offsets) for p in pieces], np.float32))
        found = zip(self.labels, row.tolist(), strict=True)
        return tuple(sorted(found, key=lambda pair: -pair[1]))

    def _probabilities(self, logits: Rows) -> Rows:
        if not self._several:
            rows: Rows = softmax(logits) @ self._onto
            return rows
        # Labels that may apply together have no sum. That none applies has probability prod(1-p)
        # if they are independent; the rest is shared out in proportion, so the sum is one and
        # the probability of any label at all is exact.
        each = 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))
        nothing = np.prod(1.0 - each, axis=1, keepdims=True)
        shared = each / np.maximum(each.sum(axis=1, keepdims=True), 1e-12) * (1.0 - nothing)
        rows = (shared @ self._onto).astype(np.float32)
        rows[:, self.labels.index(NONE)] += nothing[:, 0].astype(np.float32)
        return rows


class Marking:
    """Pieces of a text from the labels of its tokens, written as BIO or plainly."""

    def __init__(
        self, names: Sequence[str], rename: Mapping[str, str] | None = None, word: Word = "mean"
    ) -> None:
        """``names`` are the model's own; ``rename`` knows them whole or without ``B-`` or ``I-``.
        ``word`` says which of a word's tokens decide about it."""
        rename = rename or {}
        kinds = [_kind(rename.get(name, name), rename) for name in names]
        if OUTSIDE not in kinds:
            raise ValueError(
                f"no label of {list(names)} is {OUTSIDE!r}, the one for a token that is part of "
                f"nothing; name it with `labels: {{{names[0]}: O}}`"
            )
        self.labels = tuple(kind for kind in dict.fromkeys(kinds) if kind != OUTSIDE)
        self._kinds = (OUTSIDE, *self.labels)
        self._onto = onto(kinds, self._kinds)
        begins = [name.startswith(("B-", "S-", "U-")) for name in names]
        self._begins = self._onto * np.array(begins, np.float32)[:, None]
        self._word = word

    def answer(self, text: str, pieces: Sequence[Piece], outputs: Sequence[Rows]) -> Spans:
        found: list[tuple[int, int, Rows]] = []
        paired = zip(pieces, outputs, strict=True)
        for _, same in groupby(paired, key=lambda pair: id(pair[0].offsets)):
            found += self._tokens(list(same))
        return self._spans(text, self._words(text, found))

    def _tokens(self, same: list[tuple[Piece, Rows]]) -> list[tuple[int, int, Rows]]:
        """The tokens one window of the text answers for: characters, probabilities of labels.

        Read behind several windows of a context, a token is outside if any of them says so.
        """
        piece = same[0][0]
        count = len(piece.offsets)
        read = [softmax(finite(rows[each.first : each.first + count])) for each, rows in same]
        if count and read[0].shape[-1] != len(self._onto):
            raise AskFailed(f"{read[0].shape[-1]} outputs for {len(self._onto)} labels")
        stacked = np.stack(read)
        outside = (stacked @ self._onto)[:, :, 0] if count else np.zeros((len(read), 0))
        best = outside.argmax(axis=0)
        first, last = piece.share
        return [
            (*piece.offsets[i], stacked[best[i], i])
            for i in range(first, last)
            if piece.offsets[i][0] < piece.offsets[i][1]
        ]

    def _words(
        self, text: str, tokens: list[tuple[int, int, Rows]]
    ) -> list[tuple[int, int, Rows]]:
        """Tokens joined to words: a letter or digit that follows another directly goes on."""
        if self._word == "token":
            return tokens
        words: list[tuple[int, int, list[Rows]]] = []
        for start, end, row in tokens:
            if words and words[-1][1] == start and _inside(text, start):
                words[-1] = (words[-1][0], end, [*words[-1][2], row])
            elif words and start < words[-1][1]:  # several tokens of one character
                words[-1] = (words[-1][0], max(end, words[-1][1]), [*words[-1][2], row])
            else:
                words.append((start, end, [row]))
        first = self._word == "first"
        return [
            (start, end, rows[0] if first else np.mean(rows, axis=0)) for start, end, rows in words
        ]

    def _spans(self, text: str, words: list[tuple[int, int, Rows]]) -> Spans:
        spans: list[tuple[int, int, int, list[float]]] = []
        for start, end, row in words:
            of_kind = row @ self._onto
            kind = int(of_kind.argmax())
            score = float(of_kind[kind])
            if kind == 0:
                spans.append((start, end, 0, []))
                continue
            begins = float((row @ self._begins)[kind]) > score / 2
            last = spans[-1] if spans else None
            if last and last[2] == kind and not begins and not text[last[1] : start].strip():
                spans[-1] = (last[0], end, kind, [*last[3], score])
            else:
                spans.append((start, end, kind, [score]))
        found = []
        for start, end, kind, scores in spans:
            start += len(text[start:end]) - len(text[start:end].lstrip())
            end -= len(text[start:end]) - len(text[start:end].rstrip())
            if kind and start < end:
                score = min(1.0, sum(scores) / len(scores))
                found.append(Span(start, end, self._kinds[kind], score))
        return tuple(found)


class Pooled:
    """One vector of length one for a whole text."""

    def __init__(self, pooling: Pooling = "mean", dimension: int | None = None) -> None:
        """``dimension`` keeps that many of the first numbers, for models trained so (Matryoshka
        representation learning, arXiv:2205.13147)."""
        self._pooling, self._dimension = pooling, dimension

    def answer(self, text: str, pieces: Sequence[Piece], outputs: Sequence[Rows]) -> Vectors:
        rows = unit(np.stack([self._pool(output)[: self._dimension] for output in outputs]))
        if self._dimension is not None and rows.shape[1] < self._dimension:
            raise AskFailed(f"the model's vectors have {rows.shape[1]} numbers, fewer than asked")
        if len(rows) == 1:
            one: Vectors = rows[0]
            return one
        lengths = np.array([len(p.offsets) for p in pieces], np.float32)
        whole: Vectors = unit(mean(rows, lengths)[None, :])[0]
        return whole

    def _pool(self, output: Rows) -> Rows:
        if output.ndim == 1:  # the network pools itself
            return output
        pooled: Rows = output.mean(axis=0)
        if self._pooling == "cls":
            pooled = output[0]
        elif self._pooling == "last":
            pooled = output[-1]
        return pooled


def onto(names: Sequence[str], labels: Sequence[str]) -> Rows:
    """The matrix that adds the probabilities of ``names`` up to those of ``labels``."""
    matrix = np.zeros((len(names), len(labels)), np.float32)
    for i, name in enumerate(names):
        matrix[i, labels.index(name)] = 1.0
    return matrix


def softmax(logits: Rows) -> Rows:
    """Along the last axis."""
    if not logits.size:
        return logits
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    rows: Rows = weights / weights.sum(axis=-1, keepdims=True)
    return rows


def unit(rows: NDArray[np.float32]) -> Vectors:
    """Rows scaled to length one; a row without direction is no answer."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < 1e-12).any():
        raise AskFailed("the model gave a vector without a direction")
    scaled: Vectors = (rows / lengths).astype(np.float32)
    return scaled


def finite(rows: Rows) -> Rows:
    """The same rows; what is not a number is no answer."""
    if not np.isfinite(rows).all():
        raise AskFailed("the model gave something that is not a number")
    return rows


def _kind(name: str, rename: Mapping[str, str]) -> str:
    bare = name[2:] if name[:2] in ("B-", "I-", "E-", "L-", "S-", "U-") else name
    return rename.get(bare, bare)


def _inside(text: str, at: int) -> bool:
    """Whether the characters before and at ``at`` belong to one word."""
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()
