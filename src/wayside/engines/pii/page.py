"""One text as the recognisers read it: its bytes, its numbers, and what stands around a place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_DIGIT = re.compile(r"\d")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
_SAMPLE = 4_000  # characters looked at to guess where a text comes from


class Page:
    """A text with offsets in characters, scanned as UTF-8 because RE2 reads that fastest.

    ``text`` has ASCII digits for digits of any script, one for one, and half surrogates as
    ``?``; both keep every offset where it was.
    """

    def __init__(self, text: str) -> None:
        if not text.isascii():
            if _FOREIGN_DIGIT.search(text):
                text = _FOREIGN_DIGIT.sub(lambda digit: str(int(digit[0])), text)
            self.raw = text.encode("utf-8", "replace")
            text = self.raw.decode()
        else:
            self.raw = text.encode()
        self.text = text
        self.has_digits = _DIGIT.search(text) is not None
        self._same = len(self.raw) == len(text)
        self._at_byte = self._at_char = 0

    @property
    def sample(self) -> str:
        """The beginning of the text in lower case."""
        return self.text[:_SAMPLE].lower()

    def before(self, start: int, reach: int = 48) -> str:
        """Up to ``reach`` characters before ``start``, in lower case."""
        return self.text[max(0, start - reach) : start].lower()

    def after(self, end: int, reach: int = 24) -> str:
        """Up to ``reach`` characters after ``end``, in lower case."""
        return self.text[end : end + reach].lower()

    def char(self, byte: int) -> int:
        """The character at a byte offset. Offsets asked in rising order cost linear time."""
        if self._same:
            return byte
        if byte < self._at_byte:
            if self._at_byte - byte < byte:  # a little way back: the next match of another form
                self._at_char -= len(self.raw[byte : self._at_byte].decode("utf-8", "ignore"))
            else:
                self._at_char = len(self.raw[:byte].decode("utf-8", "ignore"))
        else:
            self._at_char += len(self.raw[self._at_byte : byte].decode("utf-8", "ignore"))
        self._at_byte = byte
        return self._at_char

    def matches(self, pattern: Any) -> Iterator[Any]:
        """Matches of a compiled RE2 pattern in ``raw``; a caller may ``send`` where to go on."""
        at = 0
        while (match := pattern.search(self.raw, at)) is not None:
            onward = yield match
            at = onward if onward is not None else max(match.end(), at + 1)
            if at > len(self.raw):
                return
