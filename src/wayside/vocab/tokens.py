"""How many tokens a text is, without a tokenizer: characters counted by kind, times constants.

A token is four bytes of English prose, but two and a half of a table of numbers and eight of
Hindi. So bytes are counted by what they begin (a letter, a digit, a Chinese character...), in a
few passes of C over the text, and each kind has a constant of its own.

The constants are fitted to OpenAI's o200k_base by `scripts/fit_tokens.py`; the page of the signal
``context`` says how far off they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

_KINDS: Final[tuple[tuple[str, Iterable[int], float], ...]] = (
    ("space", b" ", 0.03),
    ("control", [*range(32), 127], 0.55),
    ("letter", _LETTERS, 0.225),
    ("digit", b"0123456789", 0.61),
    ("mark", [b for b in range(33, 127) if not chr(b).isalnum()], 0.67),
    ("latin", range(0xC2, 0xCE), 1.14),
    ("cyrillic", range(0xD0, 0xD4), 0.375),
    ("near_east", [0xCE, 0xCF, *range(0xD4, 0xE0)], 0.375),
    ("south_asia", [0xE0, 0xE1], 0.405),
    ("symbol", [0xE2], 1.49),
    ("han", range(0xE3, 0xEA), 0.73),
    ("hangul", range(0xEA, 0xEE), 0.81),
    ("picture", range(0xEE, 0x100), 1.9),
)
"""What a byte begins (the first byte of a UTF-8 sequence tells the script), and tokens for each.

``mark`` is punctuation; ``latin`` letters with accents; ``near_east`` also Greek and Armenian;
``south_asia`` from Devanagari to Thai and Khmer; ``symbol`` dashes, quotes and mathematics;
``han`` also kana; ``picture`` emoji and full-width forms.
"""

WORD: Final = 0.15
"""Tokens for each letter that follows a space: what a word costs beside its letters."""
VIETNAMESE: Final = 0.0
"""Tokens for each of the Vietnamese letters that are encoded among South Asia's; the letters
around them carry the cost."""

NAMES: Final = (*(name for name, _, _ in _KINDS), "word", "vietnamese")
_CONSTANTS: Final = (*(constant for _, _, constant in _KINDS), WORD, VIETNAMESE)
_ASCII: Final = 5  # of the kinds
_SOUTH_ASIA: Final = NAMES.index("south_asia")
_TABLE: Final = bytes(
    next((i + 1 for i, (_, begins, _) in enumerate(_KINDS) if byte in set(begins)), 0)
    for byte in range(256)
)
_WORD_STARTS: Final = bytes([NAMES.index("space") + 1, NAMES.index("letter") + 1])

_WHOLE: Final = 8_192
_SAMPLES, _SAMPLE = 8, 1_024
"""A longer text is judged by samples of it, evenly spread."""


def counts(text: str) -> list[int]:
    """How many characters of each kind in :data:`NAMES` the text has."""
    raw = text.encode("utf-8", "replace")
    kinds = raw.translate(_TABLE)
    ascii_only = len(raw) == len(text)
    found = [kinds.count(i + 1) for i in range(_ASCII if ascii_only else len(_KINDS))]
    found += [0] * (len(_KINDS) - len(found))
    found.append(kinds.count(_WORD_STARTS))
    vietnamese = 0
    if found[_SOUTH_ASIA]:
        vietnamese = raw.count(b"\xe1\xba") + raw.count(b"\xe1\xbb")
        found[_SOUTH_ASIA] -= vietnamese
    found.append(vietnamese)
    return found


def estimate_tokens(texts: Sequence[str]) -> int:
    """Tokens in ``texts``, rounded up."""
    total = 0.0
    for text in texts:
        if len(text) <= _WHOLE:
            total += _tokens(text)
        else:
            total += _tokens(_sampled(text)) * len(text) / (_SAMPLES * _SAMPLE)
    return -int(-total // 1)


def _tokens(text: str) -> float:
    return sum([n * c for n, c in zip(counts(text), _CONSTANTS, strict=True) if n])


def _sampled(text: str) -> str:
    step = (len(text) - _SAMPLE) / (_SAMPLES - 1)
    starts = [int(i * step) for i in range(_SAMPLES)]
    return "".join([text[start : start + _SAMPLE] for start in starts])
