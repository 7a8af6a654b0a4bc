"""Words, patterns, near-spellings and related words that an operator lists.

All literal keywords of all rules are looked for in one pass, and all patterns are one automaton:
a hundred patterns on 4 KB take 6 us together, and 645 us one by one. See the page for figures.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from rapidfuzz import fuzz, process

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading, WholeWords, fold
from wayside.vocab.lexical import BM25_READS, NGRAMS_READ, Bm25, Ngrams, terms
from wayside.vocab.patterns import compile_pattern, compile_set
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Scope = Literal["question", "conversation", "system"]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4096)]


class KeywordRule(Settings):
    """Example: ``{keywords: [derivative, integral, eigenvalue], operator: OR}``"""

    keywords: Annotated[tuple[Keyword, ...], Field(min_length=1)]
    """Words or phrases; RE2 patterns when ``method`` is ``regex``."""
    operator: Literal["AND", "OR", "NOR"] = "OR"
    """Whether all, any, or none of the keywords must occur."""
    case_sensitive: bool = False
    """Whether ``Rust`` and ``rust`` are different words."""
    method: Literal["literal", "regex", "fuzzy", "bm25", "ngram"] = "literal"
    """Whole words, patterns, words spelt nearly so, words by weight, or shared letters."""
    fuzzy_threshold: Annotated[float, Field(ge=0, le=100)] = 85.0
    """How alike (0 to 100) a spelling must be: twice the letters in common / all letters."""
    bm25_threshold: Annotated[float, Field(ge=0)] = 0.1
    """What a keyword must score under ``bm25``; 0 for any shared word, no upper end."""
    ngram_threshold: Annotated[float, Field(gt=0, le=1)] = 0.4
    """The share (0 to 1) of n-grams that keyword and text must have in common under ``ngram``."""
    ngram_arity: Annotated[int, Field(ge=2, le=8)] = 3
    """How many characters an n-gram has."""
    scope: Scope = "question"
    """What is read: the user's last message, every message, or system and developer messages."""


@catalog.register("signal", "keyword", settings=KeywordRule, stability="stable")
class KeywordSignal:
    """Matches prompts in which all, any or none of the given words occur."""

    def __init__(self, rules: Mapping[str, KeywordRule]) -> None:
        self._rules = {name: (_distinct(rule), rule.operator) for name, rule in rules.items()}
        self._patterns = {name for name, rule in rules.items() if rule.method == "regex"}
        self._nor = [name for name, rule in rules.items() if rule.operator == "NOR"]
        searches: dict[tuple[Scope, str, bool, Tuning], Owners] = {}
        for name, rule in rules.items():
            key = (rule.scope, rule.method, rule.case_sensitive, _tuning(name, rule))
            owners = searches.setdefault(key, {})
            for i, word in enumerate(self._rules[name][0]):
                if rule.method == "regex":
                    where = f"{name}.keywords[{rule.keywords.index(word)}]"
                    compile_pattern(word, case_sensitive=rule.case_sensitive, where=where)
                owners.setdefault(word, []).append((name, i))
        self._searches = [
            (scope, _search(method, owners, case_sensitive, tuning))
            for (scope, method, case_sensitive, tuning), owners in searches.items()
        ]

    def read(self, prompt: Prompt) -> Reading:
        hits: dict[str, set[int]] = {}
        for scope, search in self._searches:
            for name, i in search(_text(prompt, scope)):
                hits.setdefault(name, set()).add(i)
        reading = {name: self._judge(name, found) for name, found in hits.items()}
        for name in self._nor:
            if name not in hits:
                reading[name] = _NONE_FOUND
        return reading

    def _judge(self, name: str, found: set[int]) -> Verdict:
        words, operator = self._rules[name]
        share = len(found) / len(words)
        because = ", ".join([words[i] for i in sorted(found)[:_NAMED]])
        if len(found) > _NAMED:
            because += f" and {len(found) - _NAMED} more"
        if operator == "OR" or (operator == "AND" and len(found) == len(words)):
            # spec: vSR's 0.5 + 0.5 * matched / total. One pattern that matches is enough to be
            # sure: its recipes' probes hold only so (1 of 12 patterns must weigh above .58).
            confidence = 1.0 if name in self._patterns else 0.5 + 0.5 * share
            return Verdict(True, confidence, because, share)
        if operator == "AND":
            because = f"only {because}"
        return Verdict(False, 0.0, because, share)


_NAMED = 8  # hits that ``because`` names
_NONE_FOUND = Verdict(True, 1.0, "none found", 0.0)

Owner = tuple[str, int]  # a rule and the index of one of its keywords
Owners = dict[str, list[Owner]]
Search = Callable[[str], Iterator[Owner]]
Tuning = tuple[float, int, str]
"""What searches of one method must share to be one: threshold, arity, and the rule where keywords
are weighed against each other."""


def _tuning(name: str, rule: KeywordRule) -> Tuning:
    if rule.method == "fuzzy":
        return rule.fuzzy_threshold, 0, ""
    if rule.method == "bm25":
        return rule.bm25_threshold, 0, name
    if rule.method == "ngram":
        return rule.ngram_threshold, rule.ngram_arity, ""
    return 0.0, 0, ""


def _distinct(rule: KeywordRule) -> tuple[str, ...]:
    """The keywords as they are looked for: folded, each once."""
    if rule.method == "regex":
        return tuple(dict.fromkeys(rule.keywords))
    return tuple(dict.fromkeys(fold(word, rule.case_sensitive) for word in rule.keywords))


def _text(prompt: Prompt, scope: Scope) -> str:
    if scope == "question":
        return prompt.question
    if scope == "conversation":
        return "\n".join([m.text for m in prompt.messages])
    return "\n".join([m.text for m in prompt.messages if m.role in ("system", "developer")])


def _search(method: str, owners: Owners, case_sensitive: bool, tuning: Tuning) -> Search:
    """What to call with a text to learn which keywords it holds."""
    words, owned = list(owners), list(owners.values())
    threshold, arity, _ = tuning
    if method == "bm25":
        return partial(_find_weighty, Bm25(words), owned, case_sensitive, threshold)
    if method == "ngram":
        return partial(_find_similar, Ngrams(words, arity, threshold), owned, case_sensitive)
    if method == "regex":
        automaton = compile_set(words, case_sensitive=case_sensitive)
        return partial(_find_patterns, automaton, owned)
    if method == "fuzzy":
        return partial(_find_alike, _by_length(words, owned), case_sensitive, threshold)
    return partial(_find_literals, WholeWords(words), owned, case_sensitive)


def _find_literals(
    words: WholeWords, owned: Sequence[list[Owner]], case_sensitive: bool, text: str
) -> Iterator[Owner]:
    for i in words.which(fold(text, case_sensitive)):
        yield from owned[i]


def _find_patterns(automaton: Any, owned: Sequence[list[Owner]], text: str) -> Iterator[Owner]:
    # "replace": half surrogate pairs, which a broken JSON escape leaves, cannot be encoded.
    # Match returns None, not [], when nothing matched.
    for i in automaton.Match(text.encode("utf-8", "replace")) or ():
        yield from owned[i]


def _find_weighty(
    collection: Bm25,
    owned: Sequence[list[Owner]],
    case_sensitive: bool,
    threshold: float,
    text: str,
) -> Iterator[Owner]:
    said = terms(fold(text[:BM25_READS], case_sensitive))
    for i, score in collection.scores(said).items():
        if score >= threshold:
            yield from owned[i]


def _find_similar(
    phrases: Ngrams, owned: Sequence[list[Owner]], case_sensitive: bool, text: str
) -> Iterator[Owner]:
    for i in phrases.which(fold(text[:NGRAMS_READ], case_sensitive)):
        yield from owned[i]


_READ = 4_000  # characters in which near-spellings are looked for
_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")
ByLength = dict[int, list[tuple[str, list[Owner]]]]


def _by_length(words: Sequence[str], owned: Sequence[list[Owner]]) -> ByLength:
    """Keywords by how many words they have: they are compared with as many words of the text."""
    lengths: ByLength = {}
    for word, owners in zip(words, owned, strict=True):
        parts = _WORD.findall(word)
        lengths.setdefault(max(1, len(parts)), []).append((" ".join(parts) or word, owners))
    return lengths


def _find_alike(
    lengths: ByLength, case_sensitive: bool, threshold: float, text: str
) -> Iterator[Owner]:
    words = _WORD.findall(fold(text[:_READ], case_sensitive))
    for length, keywords in lengths.items():
        ends = range(length, len(words) + 1)
        windows = set(words) if length == 1 else {" ".join(words[e - length : e]) for e in ends}
        by_size = sorted(windows, key=len)
        sizes = [len(window) for window in by_size]
        for keyword, owners in keywords:
            # The ratio is at most 2 * shorter / (shorter + longer), so most words are out by size.
            low = bisect_left(sizes, len(keyword) * threshold / (200 - threshold))
            high = bisect_right(sizes, len(keyword) * (200 - threshold) / max(threshold, 1e-9))
            if process.extractOne(
                keyword, by_size[low:high], scorer=fuzz.ratio, score_cutoff=threshold
            ):
                yield from owners
