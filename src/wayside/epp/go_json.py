"""What Go's ``encoding/json`` says of a text that is no JSON object.

Clients and tests of llm-d's picker compare that message, so it is worked out again here, for
bodies that msgspec has refused. Its grammar is RFC 8259's; the words are Go 1.24's.
"""

from __future__ import annotations

import re
from typing import Final

READ: Final = 64 << 10
"""Bytes looked at. What is wrong later than that is described without naming the character."""

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = "0123456789abcdefABCDEF"
_LATER: Final = "invalid JSON"
_DEEP: Final = "exceeded max depth"
_DEEPEST: Final = 200
"""Go reads to 10,000. What is deeper than this is only looked at where msgspec, whose limit is
Python's, gave up before."""


class _Bad(Exception):
    pass


def complaint(body: bytes) -> str:
    """The message of ``json.Unmarshal`` into a ``map[string]any``; ``""`` if it has none."""
    text = body[:READ].decode("latin-1")  # Go's scanner reads, and quotes, byte by byte
    reader = _Reader(text, cut=len(body) > READ)
    try:
        kind = reader.whole()
    except (_Bad, RecursionError) as error:
        return str(error) or _LATER
    if kind in ("object", "null"):
        return ""
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


class _Reader:
    """Reads one value, and says what is wrong with it."""

    def __init__(self, text: str, *, cut: bool) -> None:
        self.text, self.at, self._cut = text, 0, cut

    def whole(self) -> str:
        kind = self._value("looking for beginning of value", 0)
        self._space()
        if self.at < len(self.text):
            self._wrong("after top-level value")
        return kind

    def _space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _peek(self) -> str:
        if self.at < len(self.text):
            return self.text[self.at]
        raise _Bad(_LATER if self._cut else "unexpected end of JSON input")

    def _wrong(self, where: str) -> None:
        raise _Bad(f"invalid character {_quoted(self._peek())} {where}")

    def _value(self, where: str, depth: int) -> str:
        self._space()
        first = self._peek()
        if depth > _DEEPEST:
            raise _Bad(_DEEP)
        if first == "{":
            self._object(depth)
            return "object"
        if first == "[":
            self._array(depth)
            return "array"
        if first == '"':
            self._string()
            return "string"
        if first in "-0123456789":
            self._number()
            return "number"
        for word in ("true", "false", "null"):
            if first == word[0]:
                self._word(word)
                return "null" if word == "null" else "bool"
        self._wrong(where)
        raise AssertionError("unreachable")

    def _word(self, word: str) -> None:
        for i, letter in enumerate(word):
            if i and self._peek() != letter:
                self._wrong(f"in literal {word} (expecting {_quoted(letter)})")
            self.at += 1

    def _object(self, depth: int) -> None:
        self.at += 1
        self._space()
        if self._peek() == "}":
            self.at += 1
            return
        while True:
            self._space()
            if self._peek() != '"':
                self._wrong("looking for beginning of object key string")
            self._string()
            self._space()
            if self._peek() != ":":
                self._wrong("after object key")
            self.at += 1
            self._value("looking for beginning of value", depth + 1)
            self._space()
            if self._peek() not in ",}":
                self._wrong("after object key:value pair")
            self.at += 1
            if self.text[self.at - 1] == "}":
                return

    def _array(self, depth: int) -> None:
        self.at += 1
        self._space()
        if self._peek() == "]":
            self.at += 1
            return
        while True:
            self._value("looking for beginning of value", depth + 1)
            self._space()
            if self._peek() not in ",]":
                self._wrong("after array element")
            self.at += 1
            if self.text[self.at - 1] == "]":
                return

    def _string(self) -> None:
        self.at += 1
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain is not None
            self.at = plain.end()
            letter = self._peek()
            if letter == '"':
                self.at += 1
                return
            if letter != "\\":
                self._wrong("in string literal")
            self.at += 1
            if self._peek() == "u":
                for _ in range(4):
                    self.at += 1
                    if self._peek() not in _HEX:
                        self._wrong("in \\u hexadecimal character escape")
            elif self._peek() not in '"\\/bfnrt':
                self._wrong("in string escape code")
            self.at += 1

    def _digits(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in "0123456789":
            self.at += 1

    def _one_digit(self, where: str) -> None:
        if self._peek() not in "0123456789":
            self._wrong(where)
        self._digits()

    def _number(self) -> None:
        if self._peek() == "-":
            self.at += 1
        if self._peek() == "0":
            self.at += 1
        else:
            self._one_digit("in numeric literal")
        if self.at < len(self.text) and self.text[self.at] == ".":
            self.at += 1
            self._one_digit("after decimal point in numeric literal")
        if self.at < len(self.text) and self.text[self.at] in "eE":
            self.at += 1
            if self._peek() in "+-":
                self.at += 1
            self._one_digit("in exponent of numeric literal")


def _quoted(letter: str) -> str:
    """As Go's scanner quotes a character."""
    if letter == "'":
        return r"'\''"
    if letter == '"':
        return "'\"'"
    named = {
        "\a": r"\a",
        "\v": r"\v",
        "\n": r"\n",
        "\t": r"\t",
        "\r": r"\r",
        "\b": r"\b",
        "\f": r"\f",
        "\\": r"\\",
    }
    if letter in named:
        return f"'{named[letter]}'"
    code = ord(letter)
    if letter.isprintable():
        return f"'{letter}'"
    return f"'\\x{code:02x}'" if code < 128 else f"'\\u{code:04x}'"
