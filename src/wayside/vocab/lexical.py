"""How near a text comes to a word or phrase without a model: BM25 and shared n-grams.

Both are built once from the phrases an operator lists and then asked about many texts. They read
the beginning of a text only, so that no text costs more than about ten milliseconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

BM25_READS = 16_384
NGRAMS_READ = 4_000
"""Characters of a text that are looked at; what follows is not."""

_K1, _B = 1.2, 0.75
"""As usual: Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), 3.2."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff]+")
"""Runs of scripts written without spaces, or (Hangul) with particles attached."""
_VOWEL = re.compile("[aeiouy]")
_SHORT = re.compile("[^aeiou]*[aeiouy][^aeiouwxy]")
"""Porter's *o of measure 1: ``cod`` and ``fil`` were ``code`` and ``file``."""


def terms(text: str) -> set[str]:
    """The distinct words of ``text``, stemmed; see :func:`_terms`."""
    return set(_terms(set(_WORD.findall(text))))


def word_counts(text: str) -> Counter[str]:
    """How often each word of ``text``, stemmed and in lower case, stands in it."""
    return Counter(_terms(_WORD.findall(text.lower())))


def _terms(words: Iterable[str]) -> list[str]:
    """``words``, stemmed; runs of unspaced scripts as overlapping pairs of letters.

    Pairs are how search engines read Chinese, Japanese and Korean without a dictionary.
    """
    found: list[str] = []
    for word in words:
        if word.isascii():
            found.append(stem(word))
            continue
        rest = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > rest:
                found.append(stem(word[rest : run.start()]))
            rest = run.end()
            letters = run[0]
            found += [letters[i : i + 2] for i in range(len(letters) - 1)] or [letters]
        if rest < len(word):
            found.append(stem(word[rest:]))
    return found


def stem(word: str) -> str:
    """English endings off: step 1 of Porter's algorithm (Program 14(3), 1980), which is what
    plurals, ``-ed`` and ``-ing`` need. ``debugging`` and ``debugged`` become ``debug``."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("s") and not word.endswith("ss"):
        word = word[:-2] if word.endswith(("sses", "ies")) else word[:-1]
    if word.endswith("eed"):
        return word[:-1]
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and _VOWEL.search(rest):
            if rest.endswith(("at", "bl", "iz")):
                return rest + "e"
            if len(rest) > 1 and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                return rest[:-1]
            if _SHORT.fullmatch(rest):
                return rest + "e"
            word = rest
            break
    if word.endswith("y") and _VOWEL.search(word[:-1]):
        word = word[:-1] + "i"
    return word


class Bm25:
    """Scores phrases, taken as the documents of a small collection, against a text.

    score(phrase) = sum over the distinct terms t that text and phrase share of
    ``idf(t) * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean length))``, where f is how often
    t stands in the phrase and ``idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5))`` for a term that n of
    the N phrases have: Okapi BM25 (see :data:`_K1`) with the idf of Lucene, never negative.
    One word among five one-word phrases scores ln 4 = 1.386, a phrase that stands alone 0.288.
    """

    __slots__ = ("_weights",)

    def __init__(self, phrases: Sequence[str]) -> None:
        documents = [Counter(_terms(_WORD.findall(phrase))) for phrase in phrases]
        lengths = [sum(document.values()) for document in documents]
        mean = sum(lengths) / max(1, len(lengths)) or 1.0
        having = Counter(term for document in documents for term in document)
        self._weights: dict[str, list[tuple[int, float]]] = {}
        for i, (document, length) in enumerate(zip(documents, lengths, strict=True)):
            for term, f in document.items():
                n = having[term]
                idf = log(1 + (len(documents) - n + 0.5) / (n + 0.5))
                norm = _K1 * (1 - _B + _B * length / mean)
                weight = idf * f * (_K1 + 1) / (f + norm)
                self._weights.setdefault(term, []).append((i, weight))

    def scores(self, said: Iterable[str]) -> dict[int, float]:
        """The score of every phrase that shares a term with ``said``, by its index."""
        found: dict[int, float] = {}
        for term in said:
            for i, weight in self._weights.get(term, ()):
                found[i] = found.get(i, 0.0) + weight
        return found


def ngrams(phrase: str, arity: int) -> frozenset[str]:
    """The distinct runs of ``arity`` characters of a phrase, with ``arity - 1`` spaces before it
    and one after, so that beginnings weigh more than endings (as in PostgreSQL's pg_trgm)."""
    padded = f"{' ' * (arity - 1)}{phrase} "
    return frozenset(padded[i : i + arity] for i in range(len(padded) - arity + 1))


class Ngrams:
    """Finds phrases whose n-grams are largely those of as many words of a text.

    similarity = shared / all distinct n-grams of both, from 0 to 1: the formula of PostgreSQL's
    pg_trgm (documentation, F.35). ``words`` and ``word`` share 4 of 7: 0.571.
    """

    __slots__ = ("_arity", "_by_length", "_threshold")

    def __init__(self, phrases: Sequence[str], arity: int, threshold: float) -> None:
        self._arity, self._threshold = arity, threshold
        self._by_length: dict[int, tuple[dict[str, list[int]], dict[int, int]]] = {}
        for i, phrase in enumerate(phrases):
            words = _WORD.findall(phrase)
            having, sizes = self._by_length.setdefault(max(1, len(words)), ({}, {}))
            grams = ngrams(" ".join(words) or phrase, arity)
            sizes[i] = len(grams)
            for gram in grams:
                having.setdefault(gram, []).append(i)

    def which(self, text: str) -> set[int]:
        """The indexes of the phrases that are near enough."""
        words = _WORD.findall(text[:NGRAMS_READ])
        found: set[int] = set()
        for length, (having, sizes) in self._by_length.items():
            ends = range(length, len(words) + 1)
            for window in {" ".join(words[end - length : end]) for end in ends}:
                grams = ngrams(window, self._arity)
                shared: dict[int, int] = {}
                for gram in grams:
                    for i in having.get(gram, ()):
                        shared[i] = shared.get(i, 0) + 1
                for i, number in shared.items():
                    if number >= self._threshold * (len(grams) + sizes[i] - number):
                        found.add(i)
        return found
