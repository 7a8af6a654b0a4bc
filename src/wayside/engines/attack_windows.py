"""Finds the stretch of a text that looks most like an attack, among stretches of every size.

A text is tokens; each token brings hashed features (the word, the two and three words that end
with it, its pieces of 3 to 5 characters, the shapes that begin at it). Every feature has a weight
for each kind of trouble. The score of a stretch is the sum of its weights over the root of its
size, so running sums give all stretches at once: what is appended or put in front adds stretches
and takes none away. That is why 200 harmless words do not dilute an attack.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wayside.engines.attack_structure import NAMES, Hit

BITS: Final = 19
SHAPES_AT: Final = 1 << BITS  # rows from here on are shapes
ROWS: Final = SHAPES_AT + 64
assert len(NAMES) <= 64
_PIECE: Final = 0.4  # what a piece counts against a word
_SHAPE: Final = 2.5
_BASE: Final = 12.0  # added to every stretch's size, so that one odd word proves little
_SIZES: Final = (6, 8, 10, 13, 16, 20, 25, 31, 39, 49, 61, 76, 95, 119)  # tokens of a stretch
WHOLE: Final = 128  # texts of so many tokens are also scored whole

Floats = NDArray[np.float32]


class Features(NamedTuple):
    """What a text has: feature ``rows[i]``, worth ``values[i]``, at token ``tokens[i]``."""

    rows: NDArray[np.int32]
    tokens: NDArray[np.int32]
    values: Floats
    starts: NDArray[np.int64]  # first character of each token
    ends: NDArray[np.int64]


class Stretch(NamedTuple):
    """Tokens ``first`` to ``last`` (exclusive) and their score."""

    score: float
    first: int
    last: int


def features(text: str, hits: list[Hit]) -> Features:
    """The features of ``text``, which is lower case and has single spaces between words."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _KIND.take(codes, mode="clip")
    size = len(codes)
    powers = _powers(size)
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(_CODE.take(codes, mode="clip") * powers[0], out=sums[1:])
    inverse = powers[1]

    edge = kinds[1:] != kinds[:-1]
    edge |= kinds[1:] == _IDEOGRAPH
    edges = np.flatnonzero(edge) + 1
    is_word = kinds[edges[:-1]] != _SPACE
    starts, ends = edges[:-1][is_word], edges[1:][is_word]
    count = len(starts)
    if not count:
        nothing = np.zeros(0, np.int32)
        return Features(nothing, nothing, np.zeros(0, np.float32), starts, ends)

    order = np.arange(count, dtype=np.int32)
    keys, places = [], []
    for reach in range(min(3, count)):
        first, last = starts[: count - reach], ends[reach:]
        keys.append((sums[last] - sums[first]) * (inverse[first] * _WORD_SALT))
        places.append(order[reach:])
    words = sum(map(len, places))

    is_start = np.zeros(size, np.int32)
    is_start[starts] = 1
    owner = is_start.cumsum(dtype=np.int32) - 1
    spaces = (kinds == _SPACE).cumsum()
    for length in (3, 4, 5):
        if size < length:
            break
        end = size - length + 1
        within = (spaces[length - 2 : size - 1] == spaces[:end]).nonzero()[0]
        keys.append((sums[within + length] - sums[within]) * (inverse[within] * _PIECE_SALT))
        places.append(owner[within + 1])

    rows = (np.concatenate(keys) >> _SHIFT).astype(np.int32)
    tokens = np.concatenate(places)
    values = np.empty(len(rows), np.float32)
    values[:words], values[words:] = 1.0, _PIECE
    if hits:
        at = np.array([hit.start + 1 for hit in hits])
        shapes = np.array([SHAPES_AT + hit.shape for hit in hits], np.int32)
        rows = np.concatenate((rows, shapes))
        tokens = np.concatenate((tokens, np.maximum(owner[np.minimum(at, size - 1)], 0)))
        values = np.concatenate((values, np.full(len(hits), _SHAPE, np.float32)))
    return Features(rows, tokens, values, starts - 1, ends - 1)


def score(found: Features, weights: Floats, biases: Floats) -> list[Stretch]:
    """The best stretch for each column of ``weights`` (rows x kinds); none for an empty text."""
    count = len(found.starts)
    if not count:
        return []
    firsts, lasts = stretches(count)
    kinds = weights.shape[1]
    worth = weights.take(found.rows, axis=0) * found.values[:, None]
    sums = np.zeros((count + 1, kinds + 1))  # of each kind, and of the squared values
    for kind in range(kinds):
        sums[1:, kind] = np.bincount(found.tokens, worth[:, kind], count)
    sums[1:, kinds] = np.bincount(found.tokens, found.values * found.values, count)
    np.cumsum(sums, axis=0, out=sums)
    between = sums.take(lasts, axis=0) - sums.take(firsts, axis=0)
    scores = between[:, :kinds] / np.sqrt(between[:, kinds:] + _BASE)
    tops = scores.argmax(axis=0).tolist()
    return [
        Stretch(float(scores[top, kind] + biases[kind]), int(firsts[top]), int(lasts[top]))
        for kind, top in enumerate(tops)
    ]


def inside(found: Features, first: int, last: int) -> tuple[NDArray[np.int32], Floats]:
    """The rows and normalised values of one stretch: what training sees of it."""
    mine = (found.tokens >= first) & (found.tokens < last)
    values = found.values[mine]
    return found.rows[mine], values / np.sqrt(float((values * values).sum()) + _BASE)


def stretches(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last token of every stretch of a text of ``count`` tokens."""
    return _stretches(count) if count <= 512 else _all_stretches(count)


@lru_cache(512)
def _stretches(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return _all_stretches(count)


def _all_stretches(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    firsts, lasts = [], []
    if count <= WHOLE:
        firsts.append(np.zeros(1, np.int64))
        lasts.append(np.full(1, count, np.int64))
    for size in _SIZES:
        if size >= count:
            break
        first = np.arange(0, count - size, max(1, size // 6))
        first = np.append(first, count - size)  # the tail, whatever stands before it
        firsts.append(first)
        lasts.append(first + size)
    return np.concatenate(firsts), np.concatenate(lasts)


_SPACE, _LETTER, _DIGIT, _IDEOGRAPH, _SIGN = range(5)


def _kinds() -> NDArray[np.uint8]:
    """The kind of each character of the basic plane; what lies beyond counts as a sign."""
    kinds = np.full(0x10000, _LETTER, np.uint8)
    for low, high, kind in (
        (0x00, 0x20, _SPACE), (0x21, 0x2F, _SIGN), (0x30, 0x39, _DIGIT), (0x3A, 0x40, _SIGN),
        (0x5B, 0x5E, _SIGN), (0x60, 0x60, _SIGN), (0x7B, 0x7F, _SIGN), (0xA0, 0xA0, _SPACE),
        (0xA1, 0xBF, _SIGN), (0x2000, 0x2BFF, _SIGN), (0x3000, 0x303F, _SIGN),
        (0x3040, 0x30FF, _IDEOGRAPH), (0x3400, 0x9FFF, _IDEOGRAPH), (0xD800, 0xF8FF, _SIGN),
        (0xFE00, 0xFE0F, _SIGN), (0xFFF0, 0xFFFF, _SIGN),
    ):  # fmt: skip
        kinds[low : high + 1] = kind
    kinds[0x27] = kinds[0x2019] = _LETTER  # don't is one word
    return kinds


def _codes() -> NDArray[np.uint64]:
    codes = np.arange(1, 0x10001, dtype=np.uint64)
    codes[0x30:0x3A] = codes[0x30]  # all digits are alike
    codes[0x2019] = codes[0x27]
    return codes


_FACTOR: Final = 0x9E3779B97F4A7C15  # odd, hence invertible modulo 2**64


@lru_cache(4)
def _power_table(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    factors = (_FACTOR, pow(_FACTOR, -1, 1 << 64))
    powers = [np.cumprod(np.full(size, one, np.uint64), dtype=np.uint64) for one in factors]
    return powers[0], powers[1]


def _powers(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the hash's base and of its inverse, at least ``size`` of them."""
    power, inverse = _power_table(max(8_192, 1 << (size - 1).bit_length()))
    return power[:size], inverse


_KIND: Final = _kinds()
_CODE: Final = _codes()
_WORD_SALT: Final = np.uint64(0xD6E8FEB86659FD93)  # a word and an equal piece differ
_PIECE_SALT: Final = np.uint64(0xA0761D6478BD642F)
_SHIFT: Final = np.uint64(64 - BITS)  # the high bits of a product are its best mixed ones
