"""Undoes what hides words from a reader of text: look-alikes, gaps, digits for letters, encodings.

``plain`` gives the text as it reads to a person; ``hidden`` gives what else is in it once decoded.
Nothing here raises on any ``str``, and no result is longer than `LIMIT` characters.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64decode
from binascii import Error as Undecodable
from codecs import encode
from typing import Final, NamedTuple
from urllib.parse import unquote

LIMIT: Final = 1_000_000
"""Characters of a text that are looked at: the first and the last half million of a longer one."""
_DECODED: Final = 8_000  # characters of each decoded view
_VIEWS: Final = 8  # decoded views of one text
_SHORTEST: Final = 16  # characters of encoded text worth decoding
_LOOK: Final = 20_000  # characters in which encodings are looked for, at each end of the text


class View(NamedTuple):
    """A reading of a text: how it was found (``base64``, ``leetspeak``...), and what it says."""

    how: str
    text: str


def plain(text: str) -> str:
    """The text without invisible characters, stacked marks, look-alikes and spaced-out letters."""
    if len(text) > LIMIT:
        text = text[: LIMIT // 2] + " " + text[-LIMIT // 2 :]
    if not text.isascii():
        text = _MARKS.sub("", _INVISIBLE.sub("", _composed(text)))
        if _TWO_SCRIPTS.search(text):
            text = _WORD.sub(_one_script, text)
    return _closed_up(text)


def hidden(text: str) -> list[View]:
    """What ``text``, which is `plain`, says when decoded; empty for nearly every text."""
    ends = text if len(text) <= 2 * _LOOK else text[:_LOOK] + " " + text[-_LOOK:]
    words = ends.split()
    longest = max(map(len, words), default=0)
    digits = sum(map(ends.count, "0123456789"))
    views: list[View] = []
    if longest >= _SHORTEST:
        for match in _BASE64.finditer(ends):
            _add(views, "base64", _from_base64(match[0]))
            if len(views) >= _VIEWS:
                return views
    if digits >= _SHORTEST // 2:  # text in hexadecimal is mostly digits
        for match in _HEX.finditer(ends):
            _add(views, "hex", _from_hex(match[0]))
            if len(views) >= _VIEWS:
                return views
    head = ends[:_DECODED]
    if ends.count("%") >= 3 and len(_PERCENT.findall(head)) >= 3:
        _add(views, "URL encoding", unquote(head, errors="replace"))
    if ("\\" in ends or "&#" in ends) and _ESCAPE.search(head):
        _add(views, "escapes", _ESCAPE.sub(_unescaped, head))
    if digits + sum(map(ends.count, "@$!")) >= 2 and len(_LEET.findall(head)) >= 2:
        _add(views, "leetspeak", _LEET_WORD.sub(_letters, head))
    lower = set(map(str.lower, words))
    if len(lower & _ROTATED) >= 2:
        _add(views, "rot13", encode(head, "rot13"))
    if len(lower & _BACKWARDS) >= 2:
        _add(views, "reversed", head[::-1])
    return views


def _add(views: list[View], how: str, text: str) -> None:
    if len(text) >= 6:
        views.append(View(how, plain(text[:_DECODED])))


_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]+"
)
# One mark on a letter is spelling; more are decoration, and none belongs on an ASCII letter
# after NFKC has composed what can be composed
_MARKS: Final = re.compile(
    "(?<=[\\x00-\\x7f])[\u0300-\u036f\u0489]+|(?<=[\u0300-\u036f])[\u0300-\u036f]+"
)
_LOOKALIKE: Final = str.maketrans(
    "абвгеикмнорстухьѕіјԁһԛԝґАВЕЗІЈКМНОРСТУХЅԌԚԜαβγεικνορτυχϲΑΒΕΖΗΙΚΜΝΟΡΤΥΧıłøđ",
    "a6brenkmhopctyxbsijdhqwrABE3IJKMHOPCTYXSGQWaßyeikvoptuxcABEZHIKMNOPTYXilod".replace("ß", "b"),
)
_TWO_SCRIPTS: Final = re.compile(r"[a-zA-Z][\u0370-\u052f]|[\u0370-\u052f][a-zA-Z]")
_WORD: Final = re.compile(r"\w{1,60}")
_SLICE: Final = 50_000


def _composed(text: str) -> str:
    """NFKC, in slices, because a character may become 18 (U+FDFA) and the result is bounded."""
    parts, size = [], 0
    for at in range(0, len(text), _SLICE):
        parts.append(unicodedata.normalize("NFKC", text[at : at + _SLICE]))
        size += len(parts[-1])
        if size >= LIMIT:
            break
    return "".join(parts)[:LIMIT]


def _one_script(match: re.Match[str]) -> str:
    """A word of Latin and of Greek or Cyrillic letters, all made Latin."""
    word = match[0]
    return word.translate(_LOOKALIKE) if _TWO_SCRIPTS.search(word) else word


_GAPS: Final = re.compile(
    r"(?<![^\W_])(?:[^\W\d_](?: {1,4}|[-._*|/+~]| [-._*|/] )){4,}[^\W\d_](?![^\W_])"
)


def _closed_up(text: str) -> str:
    """``i g n o r e   t h i s`` as ``ignore this``; words not parted are parted where known."""
    return _GAPS.sub(_joined, text)


def _joined(match: re.Match[str]) -> str:
    words = re.split(r" {2,}", match[0])
    letters = [re.sub(r"[^\w]|_", "", word) for word in words]
    return " ".join(_parted(word) if len(word) > 11 else word for word in letters)


def _parted(word: str) -> str:
    """Letters without spaces, cut before and after words that attacks are made of."""
    return " ".join(_KNOWN_WORD.sub(r" \g<0> ", word.lower()).split())


_KNOWN_WORD: Final = re.compile(
    "instructions?|guidelines?|restrictions?|directions|unrestricted|assistant|developer|password|"
    "previous|pretend|disregard|original|respond|explain|without|override|answer|system|prompt|"
    "filters?|secret|reveal|ignore|forget|earlier|prior|rules|limits|reply|print|from|tell|show|"
    "your|you|are|all|any|the|and|now|how|act|me|my|to|as|do|is|an?(?=[b-df-hj-np-tv-z]{2})|no|of"
)


_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?i)\b(?:(?:0x|\\x)?[0-9a-f]{2}[ ,:]{0,2}){8,}\b")
_PERCENT: Final = re.compile(r"%[0-9a-fA-F]{2}")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|&#(\d{2,5});")
_LEET: Final = re.compile(
    r"(?i)[a-z][013457@$!]{1,3}[a-z]|\b[1345@$][a-z]{2}|(?<![a-z0-9])[a-z]{2,9}[0134579$]\b"
)
_LEET_WORD: Final = re.compile(r"[\w@$!|]{2,40}")
_LEET_LETTERS: Final = str.maketrans("0134579@$!|", "oieastgasil")


def _letters(match: re.Match[str]) -> str:
    word = match[0]
    mixed = any(map(str.isalpha, word)) and not word.isalpha()
    return word.translate(_LEET_LETTERS) if mixed else word


def _from_base64(found: str) -> str:
    body = found.rstrip("=").replace("-", "+").replace("_", "/")[: 4 * _DECODED // 3]
    # A word or a path is no base64: that has digits or capitals inside
    if body.isalpha() and (body.islower() or body.isupper() or body.istitle()):
        return ""
    try:
        raw = b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (Undecodable, ValueError):
        return ""
    return _readable(raw)


def _from_hex(found: str) -> str:
    digits = re.sub(r"(?i)0x|\\x|[^0-9a-f]", "", found)[: 2 * _DECODED]
    return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _readable(raw: bytes) -> str:
    """The bytes as text, or nothing if they are no text."""
    text = raw.decode("utf-8", "replace")
    good = sum(character.isprintable() or character in "\n\t\r" for character in text)
    bad = text.count("\ufffd")
    letters = sum(character.isalpha() or character == " " for character in text)
    return text if good >= 0.97 * len(text) and not bad and letters > 0.6 * len(text) else ""


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16) if match[3] is None else int(match[3])
    return chr(code) if code < 0x110000 else match[0]


_TELLTALE: Final = [
    "the",
    "and",
    "you",
    "your",
    "all",
    "are",
    "with",
    "this",
    "that",
    "ignore",
    "previous",
    "instructions",
    "rules",
    "tell",
    "how",
    "from",
    "forget",
    "password",
    "system",
    "prompt",
    "print",
    "reveal",
    "act",
    "answer",
    "any",
    "pretend",
    "not",
    "never",
    "now",
    "disregard",
    "without",
    "restrictions",
    "obey",
    "free",
    "free",
    "do",
    "say",
    "me",
    "to",
    "what",
    "is",
    "of",
    "write",
    "about",
    "explain",
]
"""Words one of which nearly every text has, searched for in their rotated or reversed spelling."""


_ROTATED: Final = frozenset(encode(word, "rot13") for word in _TELLTALE if len(word) > 2)
_BACKWARDS: Final = frozenset(word[::-1] for word in _TELLTALE if len(word) > 2) - {"won", "ton"}
