"""What a text looks like to the built-in classifiers: a set of hashed words and word parts.

Training and inference both read texts through `buckets`, so they cannot drift apart. A text is
bounded, folded to lower case and plain digits, cut into words, and every word, pair of
neighbouring words and piece of 3 to 5 characters inside a word becomes a bucket number. It never
raises on any `str` and never looks at more than about `LIMIT` characters.

All pieces are spans of one string, so one running sum hashes them all: with s the prefix sums of
code[i] * P**(i+1) modulo 2**64, the span [a, b) hashes to (s[b] - s[a]) * P**-(a+1), wherever in
the text it lies. That is a handful of numpy calls a text and no Python loop over words.
"""

import unicodedata
from typing import Final

import numpy as np
from numpy.typing import NDArray

BITS: Final = 20
LIMIT: Final = 1_500  # dev set: .788 at 4,000, 2,000 and 1,500 characters, at half the cost
_LONGEST: Final = 8_192  # folding may lengthen a text (U+FDFA becomes 18 characters)
_SIZES: Final = (3, 4, 5)
_SPACE, _LETTER, _DIGIT, _IDEOGRAPH, _SIGN = range(5)


def buckets(text: str) -> NDArray[np.int64]:
    """The sorted, distinct bucket numbers, 0..2**BITS-1, of everything the text contains.

    The numbers of the last text are kept, because several classifiers read one prompt one after
    another; they are read-only. Only the very same object counts: comparing costs too much.
    """
    last, found = _LAST[0]  # one load: another thread may change it meanwhile
    if last is not text:
        found = _buckets(text)
        found.flags.writeable = False
        _LAST[0] = (text, found)
    return found


def word(text: str) -> int:
    """The bucket of one whole word, whatever stands around it; the text is the word alone."""
    codes = np.frombuffer(fold(text).encode("utf-32-le", "surrogatepass"), np.uint32)
    values = _CODE.take(codes, mode="clip") * _POWER[: len(codes)]
    number = values[1:-1].sum(dtype=np.uint64, keepdims=True) * (_INVERSE[1:2] * _WORD_SALT)
    return int((number >> _SHIFT)[0])


def _buckets(text: str) -> NDArray[np.int64]:
    codes = np.frombuffer(fold(text).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _KIND.take(codes, mode="clip")
    size = len(codes)
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(_CODE.take(codes, mode="clip") * _POWER[:size], out=sums[1:])

    edge = kinds[1:] != kinds[:-1]
    edge |= kinds[1:] == _IDEOGRAPH  # scripts without spaces: every character is a word
    edges = np.flatnonzero(edge) + 1
    is_word = kinds[edges[:-1]] != _SPACE
    starts, ends = edges[:-1][is_word], edges[1:][is_word]
    first, second = starts[:-1], ends[1:]
    found = [
        (sums[ends] - sums[starts]) * (_INVERSE[starts] * _WORD_SALT),
        (sums[second] - sums[first]) * (_INVERSE[first] * _WORD_SALT),
    ]

    spaces = np.cumsum(kinds == _SPACE)
    for length in _SIZES:
        if size < length:
            break
        last = size - length + 1
        # A piece may begin or end with a space but not reach across one
        within = spaces[length - 2 : size - 1] == spaces[:last]
        pieces = (sums[length:] - sums[:last]) * _PIECE_KEY[:last]
        found.append(pieces[within])

    numbers = (np.concatenate(found) >> _SHIFT).astype(np.int64)
    numbers.sort()
    fresh = np.empty(len(numbers), np.bool_)
    fresh[:1] = True
    np.not_equal(numbers[1:], numbers[:-1], out=fresh[1:])
    return numbers[fresh]


def fold(text: str) -> str:
    """The text as it is hashed: bounded, NFKC, lower case, single spaces, one at each end."""
    if len(text) > LIMIT:
        text = excerpt(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return f" {' '.join(text.lower().split())} "[:_LONGEST]


def excerpt(text: str) -> str:
    """About `LIMIT` characters of a longer text: its head, its tail, four cuts in between."""
    head, tail, cut = LIMIT // 2, LIMIT // 4, LIMIT // 16
    step = (len(text) - head - tail) // 4
    middle = [text[at : at + cut] for at in range(head, head + 4 * step, step)] if step else []
    return " ".join((text[:head], *middle[:4], text[-tail:]))


def _kinds() -> NDArray[np.uint8]:
    """The kind of each character of the basic plane; what lies beyond counts as a sign."""
    kinds = np.full(0x10000, _LETTER, np.uint8)
    for low, high, kind in (
        (0x00, 0x20, _SPACE), (0x21, 0x2F, _SIGN), (0x30, 0x39, _DIGIT), (0x3A, 0x40, _SIGN),
        (0x5B, 0x5E, _SIGN), (0x60, 0x60, _SIGN), (0x7B, 0x7F, _SIGN), (0xA0, 0xA0, _SPACE),
        (0xA1, 0xBF, _SIGN), (0x2000, 0x2BFF, _SIGN), (0x3000, 0x303F, _SIGN),
        (0x3040, 0x30FF, _IDEOGRAPH), (0x3400, 0x9FFF, _IDEOGRAPH), (0xD800, 0xF8FF, _SIGN),
        (0xFE00, 0xFE0F, _SIGN), (0xFF00, 0xFF0F, _SIGN), (0xFFF0, 0xFFFF, _SIGN),
    ):  # fmt: skip
        kinds[low : high + 1] = kind
    return kinds


def _codes() -> NDArray[np.uint64]:
    """What each character counts as: itself plus one, all digits alike."""
    codes = np.arange(1, 0x10001, dtype=np.uint64)
    codes[0x30:0x3A] = codes[0x30]
    return codes


def _powers(base: int) -> NDArray[np.uint64]:
    return np.cumprod(np.full(_LONGEST, base, np.uint64), dtype=np.uint64)


_BASE: Final = 0x9E3779B97F4A7C15  # odd, hence invertible modulo 2**64
_LAST: Final[list[tuple[str, NDArray[np.int64]]]] = [("", np.zeros(0, np.int64))]
_KIND: Final = _kinds()
_CODE: Final = _codes()
_POWER: Final = _powers(_BASE)
_INVERSE: Final = _powers(pow(_BASE, -1, 1 << 64))
_WORD_SALT: Final = np.uint64(0xD6E8FEB86659FD93)  # a word and an equal piece differ
_PIECE_KEY: Final = _INVERSE * np.uint64(0xA0761D6478BD642F)
_SHIFT: Final = np.uint64(64 - BITS)  # the high bits of a product are its best mixed ones
