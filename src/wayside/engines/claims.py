"""Answers and sources cut into what can be compared: sentences, words, numbers, names.

Everything here is bounded by the length of what it is handed, and works on any `str`. Words of
function, negations and opposites are those of English, with the negations of some neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_END: Final = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+|\n+")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|fig|approx|etc|e\.g|i\.e|z\.b|ca|bzw)|\b[a-z]|(?<![^\n])\s{0,4}\d{1,2})\.$",
    re.I,
)
"""What a full stop after does not end a sentence: also the number of a point of a list."""
_BULLET: Final = re.compile(r"\s*(?:[-*•·>#]+|\d{1,2}[.)])\s+")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LONGEST: Final = 4_000
"""Characters of one sentence that are looked at; what follows is a sentence of its own."""

_SMALL: Final = (
    "zero - two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"  # not "one", as in "the one that"
)
_TENS: Final = "thirty forty fifty sixty seventy eighty ninety"
_DIGITS: Final = (
    {word: str(number) for number, word in enumerate(_SMALL.split())}
    | {word: str(10 * number) for number, word in enumerate(_TENS.split(), 3)}
    | {"twice": "2", "dozen": "12"}
)
_SCALES: Final = {"thousand": 3, "million": 6, "millions": 6, "billion": 9, "billions": 9}

_NEGATIONS: Final = (
    "not no never none nor neither without cannot nobody nothing nowhere "
    "nicht kein keine keinen nie ne pas jamais sin nunca não non mai"
)
NEGATIONS: Final = frozenset(_NEGATIONS.split())
_FUNCTION: Final = """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each either even ever every few
    for from further had has have having he her here hers him his how i if in into is it its just
    let like made make makes many may me might more most much must my need now of off on once one
    only or other our out over own per rather really same shall she should so some such than that
    the their theirs them then there these they this those through to too under until up upon us
    very was we well were what when where which while who whom whose why will with within would
    yet you your yours it's that's there's i'm you're they're we're
"""
FUNCTION_WORDS: Final = frozenset(_FUNCTION.split()) | NEGATIONS
_OPPOSITES: Final = """
    rise rises rose risen increase increases increased grow grows grew grown gain gained higher up
    / fall falls fell fallen decrease decreases decreased shrink shrinks shrank lost lower down
    | more longer larger bigger / less fewer shorter smaller | most maximum / least minimum
    | highest largest biggest longest / lowest smallest shortest | first / last | before / after
    | open opens opened / closed closes close | always / never | safe / dangerous unsafe
    | allowed allow permitted / forbidden forbid prohibited banned | near nearer / far farther
    | faster fast / slower slow slowly | included include / excluded exclude | full / empty
    | hot warm / cold | wet moist / dry | early earlier / late later | day / night | left / right
    | summer / winter | north northern / south southern | east eastern / west western
    | rich / poor | true / false | enable enables enabled / disable disables disabled
    | add adds added / remove removes removed | front / back rear | top / bottom
    | accept accepts accepted / reject rejects rejected refuse refused
    | success succeed succeeded / failure fail failed fails | absorb absorbs / reflect reflects
"""

_CLOSED: Final = """
    black white red green blue yellow orange brown purple pink grey gray violet silver golden
    spring summer autumn winter
"""
CLOSED_CLASSES: Final = frozenset(_CLOSED.split())
"""Words of short lists, where another word of the list is another fact, as with names."""


def _sides() -> dict[str, tuple[int, int]]:
    """Words with an opposite: the number of the pair, and which side of it."""
    sides: dict[str, tuple[int, int]] = {}
    for number, pair in enumerate(_OPPOSITES.split("|")):
        for side, listed in enumerate(pair.split("/")):
            sides |= {word: (number, side) for word in listed.split()}
    return sides


_SIDES: Final = _sides()
_SUFFIXES: Final = "ations ation ingly ments ment ings ing edly ies ed es ly er s e y"
_ENDINGS: Final = tuple(_SUFFIXES.split())


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, where it stands in its text, and what there is to compare in it."""

    start: int
    end: int
    words: tuple[str, ...]  # of content, in lower case, each once
    stems: frozenset[str]  # of words of content, and numbers in digits
    numbers: frozenset[str]
    names: frozenset[str]  # stems of words that look like names
    sides: frozenset[tuple[int, int]]  # of pairs of opposites
    negated: bool


def sentences(text: str, most: int) -> list[Sentence]:
    """At most ``most`` sentences of a text, in order; bullets and blanks are not part of them."""
    found: list[Sentence] = []
    start = 0
    for end in _ends(text):
        lead = _BULLET.match(text, start, end)
        at = lead.end() if lead else start
        piece = text[at:end]
        if piece.strip():
            at += len(piece) - len(piece.lstrip())
            found.append(_sentence(text, at, at + len(piece.strip())))
            if len(found) == most:
                break
        start = end
    return found


def _ends(text: str) -> list[int]:
    ends: list[int] = []
    last = 0
    for hit in _END.finditer(text):
        if _ABBREVIATION.search(text, max(last, hit.start() - 8), hit.start() + 1):
            continue
        ends += range(last + _LONGEST, hit.end(), _LONGEST)
        ends.append(hit.end())
        last = hit.end()
    return [*ends, *range(last + _LONGEST, len(text), _LONGEST), len(text)]


def _sentence(text: str, start: int, end: int) -> Sentence:
    piece = text[start:end].replace("’", "'")
    written = _WORD.findall(piece)
    words = [word.lower() for word in written]
    content = [w for w in words if w not in FUNCTION_WORDS and not w.endswith("n't")]
    return Sentence(
        start,
        end,
        tuple(dict.fromkeys(w for w in content if not w.isdecimal() and w not in _DIGITS)),
        frozenset(_DIGITS.get(w) or stem(w) for w in content),
        _numbers(piece, words),
        frozenset(_names(written)),
        frozenset(_SIDES[w] for w in words if w in _SIDES),
        any(w in NEGATIONS or w.endswith("n't") for w in words),
    )


def stem(word: str) -> str:
    """A crude stem: enough to see that "leaves", "leaving" and "leave" are one word."""
    word = word.removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _numbers(piece: str, words: list[str]) -> frozenset[str]:
    """Numbers in digits: 1,642 and 1642, four and 4, 4.8 million and 4,800,000 are the same."""
    found = {_DIGITS[word] for word in words if word in _DIGITS}
    for hit in _NUMBER.finditer(piece):
        number = hit[0]
        if _THOUSANDS.fullmatch(number):
            number = number.replace(",", "")
        after = _WORD.search(piece, hit.end(), hit.end() + 12)
        places = _SCALES.get(after[0].lower(), 0) if after else 0
        whole, _, part = number.partition(".")
        if places and whole.isdecimal() and len(part) <= places:
            number = whole + part.ljust(places, "0")
        elif part and not part.strip("0"):
            number = whole
        found.add(number)
    return frozenset(found)


def _names(words: list[str]) -> list[str]:
    """Words that begin with a capital inside a sentence, or at its head before another one; and
    colours and seasons, which are as easily exchanged."""
    found = [stem(word.lower()) for word in words if word.lower() in CLOSED_CLASSES]
    for i, word in enumerate(words):
        if not word[0].isupper() or word.lower() in FUNCTION_WORDS:
            continue
        before_name = i + 1 < len(words) and words[i + 1][0].isupper()
        if i or before_name or (len(word) > 1 and word.isupper()):
            found.append(stem(word.lower()))
    return found


def opposed(claim: Sentence, source: Sentence) -> bool:
    """Whether one says "rose" where the other says "fell", and not "rose" as well."""
    return any(
        (number, 1 - side) in source.sides and (number, side) not in source.sides
        for number, side in claim.sides
    )
