"""Whether one answer serves two questions: the second look at what an embedder finds alike.

Cosines cannot tell "20 mg" from "200 mg", or "to Paris" from "from Paris". So two questions are
brought into a *canonical form*, and only equal forms share an answer. The form keeps every word,
number and sign in its place, but for what is known to change nothing in the language at hand:
greetings and politeness, articles, contractions, ways to begin a question ("how do I", "how can
one"), turns of phrase ("when was X born", "date of birth of X") and synonyms without another
sense. What no table knows counts as a difference, so a language without a table loses hits, not
safety.

The tables are read by :mod:`wayside.vocab.near_miss_words`. Nothing here depends on the embedder.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from wayside.vocab.near_miss_kinds import kind_of
from wayside.vocab.near_miss_words import LANGUAGES, Words

Unfit = Literal["", "code", "numbers", "long"]

READ: Final = 2_000
"""Characters of a question; a longer one is answered only by itself."""
_FRAMED: Final = 400
"""Characters up to which turns of phrase are looked for; what is longer is compared word by
word."""
_MANY_NUMBERS: Final = 4

# A number with its sign, separators and exponents; a word with what stands inside it, and the
# signs of C++ and C#; one letter of a script without spaces; any other sign.
_TOKEN = re.compile(
    r"(?<![\w.])[-+]?\d+(?:[.,:/]\d+)*"
    "|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    r"|[^\W\d_](?:[\w\u0300-\u036f\u0900-\u0dff]|[.'_-](?=\w))*(?:\+\+|#)?"
    r"|\d\w*|\S"
)
_NUMBER = re.compile(r"[-+]?\d")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_PLAIN = str.maketrans("\u2018\u2019\u02bc`\u00b4\u2013\u2014\u2212", "'''''---")
"""Apostrophes and dashes as keyboards have them."""
_MARKS = frozenset(
    "?!.,;:'\"-\u00bf\u00a1\u2026\u201c\u201d\u201e\u00ab\u00bb\u3002\u3001\u061f\u060c\u0964"
)
"""Signs that only punctuate, where no number or other sign stands before or after them."""
_PRONOUNS = frozenset({"us", "it", "who", "am", "in", "or", "is", "can", "may", "all", "no"})
"""English words that are something else in capitals: US, IT, WHO."""
NO_WORDS: Final = Words()
_LETTERS = frozenset("AEO")
"""Letters that are also articles and such: hepatitis A, blood of type O."""
_CODE = re.compile(
    r"```|[{};]\s*$|^\s*(?:def |class |import |#include|SELECT\b)|=>|->|::|\(\)|[=!<>]=",
    re.MULTILINE,
)


class _Read(NamedTuple):
    """A text taken apart: its tokens in lower case, and the languages it may be in."""

    tokens: tuple[str, ...]
    scripts: frozenset[str]
    guesses: dict[str, int]


def differs(asked: str, kept: str) -> str:
    """What of ``asked`` another answer than that to ``kept`` is needed for, in a word; ``""``
    where nothing is.

    The words are number, unit, time, negation, polarity, comparison, quantifier, direction,
    question, language, case, order, words and length: for people who wonder. Symmetric.
    """
    if asked == kept:
        return ""
    if max(len(asked), len(kept)) > READ:
        return "length"
    a, b = _read(asked), _read(kept)
    if a.tokens == b.tokens and a.tokens:
        return ""
    if a.scripts != b.scripts:
        return "language"
    language = _language(a, b)
    if language is None:
        return "language"
    first, second = _canonical(asked, language), _canonical(kept, language)
    if first == second and first:
        return ""
    return kind_of(first, second)


def form(question: str) -> str:
    """A question as embedders should see it: without what changes nothing, so that two which may
    share an answer are as near as can be. Never empty unless the question is."""
    if len(question) > READ:
        return question
    read = _read(question)
    language = _language(read, read) or ""
    return " ".join(_canonical(question, language)) or question


def unfit(question: str) -> Unfit:
    """Why only the same question can be answered alike: it is full of code or of numbers, or too
    long for two of its kind to be the same by chance."""
    if len(question) > READ:
        return "long"
    if _CODE.search(question):
        return "code"
    if len(re.findall(r"\d+", question)) > _MANY_NUMBERS:
        return "numbers"
    return ""


def forget() -> None:
    """Read every text anew: for those who measure."""
    _remembered.cache_clear()
    _formed.cache_clear()


def _read(text: str) -> _Read:
    return _remembered(text) if len(text) <= _FRAMED else _taken_apart(text)


def _taken_apart(text: str) -> _Read:
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    found = _TOKEN.findall(plain)
    shouted = plain.isupper()
    tokens: list[str] = []
    for i, token in enumerate(found):
        before, after = found[i - 1] if i else "", found[i + 1] if i + 1 < len(found) else ""
        if token in _MARKS and not _means_something(token, before, after):
            continue
        tokens.append(_lower(token, before, shouted))
    scripts = frozenset(_script(token) for token in tokens) - {""}
    guesses = {
        name: n
        for name, words in LANGUAGES.items()
        if (n := sum(token in words.telling for token in tokens))
    }
    return _Read(tuple(tokens), scripts, guesses)


def _means_something(mark: str, before: str, after: str) -> bool:
    """Whether a mark is more than punctuation: ``5!``, ``!=``, ``.5``."""
    if mark == "!" and _NUMBER.match(before):
        return True
    if mark == "-":
        return any(_NUMBER.match(one) or len(one) == 1 for one in (before, after))
    sign = len(after) == 1 and not after.isalnum() and after not in _MARKS
    return (sign and mark in "!:.") or (mark == "." and bool(_NUMBER.match(after)) and not before)


def _lower(token: str, before: str, shouted: bool) -> str:
    """A token in lower case, unless its capitals tell it from another: ``MB`` after a number,
    ``US``."""
    low = token.lower()
    if low.isdecimal():
        return str(int(low)) if not low.startswith("0") else low
    if len(token) <= 3 and _NUMBER.match(before) and not token.islower():
        return token
    if before and not shouted and token in _LETTERS:
        return token
    if not shouted and len(token) > 1 and token.isupper() and low in _PRONOUNS:
        return token
    return low


def _script(token: str) -> str:
    """The script of a token, from the name of its first letter; ``""`` for numbers and signs."""
    letter = token[0]
    if letter.isascii():
        return "LATIN" if letter.isalpha() else ""
    if not letter.isalpha():
        return ""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "HAN" if name in ("CJK", "HIRAGANA", "KATAKANA") else name


def _language(a: _Read, b: _Read) -> str | None:
    """The language of both, ``""`` where no table is known; ``None`` where they differ."""
    likely = [
        {name for name, n in read.guesses.items() if n == max(read.guesses.values())}
        for read in (a, b)
    ]
    if not all(likely):  # one of them has too few words to tell
        common = likely[0] | likely[1]
    else:
        common = likely[0] & likely[1] or a.guesses.keys() & b.guesses.keys()
    if not common:
        return None if all(likely) else ""
    return max(
        (name for name in LANGUAGES if name in common),  # of equals, the first
        key=lambda name: a.guesses.get(name, 0) + b.guesses.get(name, 0),
    )


def _canonical(text: str, language: str) -> tuple[str, ...]:
    """What is left of a text when all is gone that changes nothing in ``language``."""
    return (_formed if len(text) <= _FRAMED else _form)(text, language)


def _form(text: str, language: str) -> tuple[str, ...]:
    words, tokens = LANGUAGES.get(language, NO_WORDS), _read(text).tokens
    if len(text) <= _FRAMED:
        said = f" {' '.join(tokens)} "
        if words.unspaced and _UNSPACED.search(said):
            said = re.sub(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])", "", said)
        about_words = not words.saying.isdisjoint(tokens)
        for pattern, replacement, polite in words.frames:
            if not (polite and about_words):
                said = pattern.sub(replacement, said)
        tokens = tuple(said.split())
    same = words.same
    return tuple([same.get(t, t) for t in tokens if t not in words.empty])


# Short texts alone: 1,024 of 400 letters that are words of their own take 30 MB at most.
_remembered = lru_cache(maxsize=1_024)(_taken_apart)
_formed = lru_cache(maxsize=1_024)(_form)
