from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.signals.keyword import KeywordRule, KeywordSignal
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict


def read(question: str, **rule: object) -> Verdict | None:
    signal = KeywordSignal({"it": KeywordRule.model_validate(rule)})
    return signal.read(Prompt(model="auto", question=question)).get("it")


def matches(question: str, **rule: object) -> bool:
    verdict = read(question, **rule)
    return verdict is not None and verdict.matched


@pytest.mark.parametrize(
    ("keyword", "question", "expected"),
    [
        ("code", "Write some code.", True),
        ("code", "CODE!", True),
        ("code", "decode this", False),
        ("code", "my codes", False),
        ("code", "code_review", False),
        ("code", "code-review", True),
        ("credit card", "my credit card number", True),
        ("credit card", "my credit cards", False),
        ("c++", "Is C++ hard?", True),
        ("c++", "c++", True),
        (".net", "learn .NET today", True),
        ("größe", "Welche GRÖSSE?", True),
        ("straße", "die STRASSE", True),
        ("café", "a cafe\u0301 in Paris", True),
        ("mas", "más", False),
        ("año", "años", False),
        ("कर", "करें", False),
        ("कर", "कर दो", True),
        ("密码", "我忘记了密码怎么办", True),
        ("API密码", "我的API密码", True),
        ("api", "我的API密码", True),
        ("パスワード", "新しいパスワードを教えて", True),
        ("รหัสผ่าน", "ลืมรหัสผ่านแล้ว", True),
        ("비밀번호", "비밀번호를 잊었어요", True),
        ("  urgent ", "this is urgent", True),
        ("urgent", "\ud800 urgent \udfff", True),
    ],
)
def test_a_literal_keyword_is_a_whole_word(keyword: str, question: str, expected: bool) -> None:
    assert matches(question, keywords=[keyword]) is expected


@pytest.mark.parametrize(
    ("operator", "question", "matched", "confidence", "value"),
    [
        ("OR", "apple", True, 0.625, 0.25),
        ("OR", "apple and pear", True, 0.75, 0.5),
        ("OR", "apple, pear, plum", True, 0.875, 0.75),
        ("AND", "apple pear plum fig", True, 1.0, 1.0),
        ("AND", "apple pear plum", False, 0.0, 0.75),
        ("NOR", "cherry", True, 1.0, 0.0),
        ("NOR", "", True, 1.0, 0.0),
        ("NOR", "fig", False, 0.0, 0.25),
    ],
)
def test_operators_and_confidence_are_vsrs(
    operator: str, question: str, matched: bool, confidence: float, value: float
) -> None:
    verdict = read(question, keywords=["apple", "pear", "plum", "fig"], operator=operator)
    assert verdict is not None
    assert (verdict.matched, verdict.confidence, verdict.value) == (matched, confidence, value)


def test_silence_means_no_keyword_was_found() -> None:
    assert read("cherry", keywords=["apple"]) is None
    assert read("cherry", keywords=["apple", "pear"], operator="AND") is None


def test_because_names_the_hits_and_says_when_they_are_not_enough() -> None:
    words = ["one", "two", "three"]
    assert read("three, one", keywords=words).because == "one, three"  # type: ignore[union-attr]
    half = read("three, one", keywords=words, operator="AND")
    assert half is not None and half.because == "only one, three"
    many = [f"w{i}" for i in range(12)]
    assert read(" ".join(many), keywords=many).because.endswith("w7 and 4 more")  # type: ignore[union-attr]


def test_overlapping_keywords_are_all_found() -> None:
    verdict = read("a credit card", keywords=["credit", "card", "credit card"], operator="AND")
    assert verdict is not None and verdict.matched


def test_case_matters_only_on_demand_and_repeats_count_once() -> None:
    assert not matches("rust on iron", keywords=["Rust"], case_sensitive=True)
    assert matches("Rust on iron", keywords=["Rust"], case_sensitive=True)
    assert matches("rust", keywords=["Rust", "RUST"], operator="AND")


def test_many_rules_share_one_scan_and_keep_their_own_words() -> None:
    signal = KeywordSignal(
        {
            "fruit": KeywordRule(keywords=("apple", "pear")),
            "pie": KeywordRule(keywords=("apple", "pie"), operator="AND"),
            "Fruit": KeywordRule(keywords=("Apple",), case_sensitive=True),
            "plain": KeywordRule(keywords=("cake",), operator="NOR"),
        }
    )
    reading = signal.read(Prompt(model="auto", question="an apple pie"))
    assert {name for name, verdict in reading.items() if verdict.matched} == {
        "fruit",
        "pie",
        "plain",
    }


@pytest.mark.parametrize(
    ("scope", "expected"), [("question", "last"), ("conversation", "first"), ("system", "rules")]
)
def test_scope_says_what_is_read(scope: str, expected: str) -> None:
    prompt = Prompt(
        model="auto",
        question="last",
        messages=(Message("system", "rules"), Message("user", "first"), Message("user", "last")),
    )
    for word in ("rules", "first", "last"):
        rule = KeywordRule.model_validate({"keywords": [word], "scope": scope})
        seen = "it" in KeywordSignal({"it": rule}).read(prompt)
        assert seen is (word == expected or scope == "conversation")


@pytest.mark.parametrize(
    ("pattern", "question", "expected"),
    [
        (r"\b\d{3}-\d{2}-\d{4}\b", "my ssn is 123-45-6789", True),
        (r"\b\d{3}-\d{2}-\d{4}\b", "call 123-456", False),
        ("urg[ei]nt", "URGENT", True),
        ("[?？]", "真的？", True),
        (r"(?i)select\s+.*\bfrom\b", "SELECT a, b FROM t", True),
        ("é", "caf\u00e9 \ud800", True),
    ],
)
def test_patterns_are_re2(pattern: str, question: str, expected: bool) -> None:
    assert matches(question, keywords=[pattern], method="regex") is expected


def test_patterns_of_all_rules_match_as_each_would_alone() -> None:
    patterns = [rf"\bword{i}\b|x{{{i + 1}}}y" for i in range(60)]
    rules = {p: KeywordRule(keywords=(p,), method="regex") for p in patterns}
    for text in ("word7 and word59", "xxxxxxy", "nothing", "word3" * 400 + " word31"):
        reading = KeywordSignal(rules).read(Prompt(model="auto", question=text))
        assert set(reading) == {p for p in patterns if re.search(p, text)}


def test_a_pattern_that_does_not_compile_says_where() -> None:
    rule = KeywordRule(keywords=("fine", "(?=ahead)"), method="regex")
    with pytest.raises(ConfigError, match=r"urgent\.keywords\[1\].*look-around"):
        KeywordSignal({"urgent": rule})


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("reset my pasword please", True),
        ("reset my passwrod please", True),
        ("reset my password please", True),
        ("PASSWORDS", True),
        ("a passport please", False),
        ("my credt card was stolen", True),
        ("the credit was carded", False),
        ("", False),
    ],
)
def test_fuzzy_keywords_forgive_spelling(question: str, expected: bool) -> None:
    assert matches(question, keywords=["password", "credit card"], method="fuzzy") is expected


def test_the_fuzzy_threshold_is_a_similarity() -> None:
    rule = {"keywords": ["password"], "method": "fuzzy"}
    assert matches("pass word", **rule, fuzzy_threshold=60)
    assert not matches("pasword", **rule, fuzzy_threshold=100)
    assert matches("password", **rule, fuzzy_threshold=100)
    assert matches("anything", **rule, fuzzy_threshold=0)


def test_fuzzy_search_reads_the_beginning_only() -> None:
    assert not matches("x " * 3_000 + "password", keywords=["password"], method="fuzzy")


NLP = ["code", "function", "debug", "algorithm", "refactor"]
HURRY = ["urgent", "immediate", "asap", "emergency"]


@pytest.mark.parametrize(
    ("method", "keywords", "question", "confidence"),
    [  # fragments/signal/keyword/nlp.yaml of vSR: bm25_threshold 0.1, ngram_threshold 0.4
        ("bm25", NLP, "Refactor this", 0.6),
        ("bm25", NLP, "I was debugging two functions", 0.7),
        ("bm25", NLP, "REFACTORING CODES", 0.7),
        ("bm25", NLP, "decode a barcode", None),
        ("bm25", NLP, "", None),
        ("bm25", ["密码", "退款"], "我忘记了密码怎么办", 0.75),
        ("ngram", HURRY, "please do it immediately", 0.625),
        ("ngram", HURRY, "an emergancy, urgently", 0.75),
        ("ngram", HURRY, "a current matter", None),
        ("ngram", HURRY, "\ud800", None),
    ],
)
def test_bm25_and_ngram_find_other_forms_of_words(
    method: str, keywords: list[str], question: str, confidence: float | None
) -> None:
    verdict = read(question, keywords=keywords, method=method)
    assert (verdict.confidence if verdict else None) == confidence


def test_bm25_weighs_keywords_against_those_of_their_own_rule() -> None:
    rules = {
        "one": KeywordRule(keywords=("debug",), method="bm25", bm25_threshold=1.0),
        "five": KeywordRule(keywords=tuple(NLP), method="bm25", bm25_threshold=1.0),
        "case": KeywordRule(keywords=("Debug",), method="bm25", case_sensitive=True),
    }
    reading = KeywordSignal(rules).read(Prompt(model="auto", question="debug"))
    assert set(reading) == {"five"}, "ln 4/3 = 0.288 is below 1, ln 4 = 1.386 is not"


def test_ngram_rules_of_different_arity_live_side_by_side() -> None:
    rules = {
        str(arity): KeywordRule(keywords=("word",), method="ngram", ngram_arity=arity)
        for arity in (2, 3, 8)
    }
    reading = KeywordSignal(rules).read(Prompt(model="auto", question="words"))
    assert set(reading) == {"2", "3", "8"}


@pytest.mark.parametrize(("method", "limit"), [("bm25", 16_384), ("ngram", 4_000)])
@pytest.mark.parametrize("filler", ["debut ", "e\u0301\u0301", "密", "\x00\x01", "\ud83d"])
def test_a_million_characters_are_read_to_a_limit(method: str, limit: int, filler: str) -> None:
    text = filler * (1_000_000 // len(filler)) + " debug"
    assert not matches(text, keywords=["debug"], method=method, ngram_threshold=0.9)
    shorter = filler * (limit // 2 // len(filler)) + " debug " + text
    assert matches(shorter, keywords=["debug"], method=method, ngram_threshold=0.9)


@pytest.mark.parametrize(
    "rule",
    [
        {"keywords": ["a"], "bm25_threshold": -0.1},
        {"keywords": ["a"], "ngram_threshold": 0},
        {"keywords": ["a"], "ngram_threshold": 1.1},
        {"keywords": ["a"], "ngram_arity": 1},
        {"keywords": []},
        {"keywords": [" "]},
        {"keywords": ["a"], "operator": "XOR"},
        {"keywords": ["a"], "fuzzy_threshold": 101},
        {"keywords": ["a"], "words": ["b"]},
    ],
)
def test_bad_settings_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        KeywordRule.model_validate(rule)


WORDS = st.lists(st.text("abcß é", min_size=1, max_size=4).filter(str.strip), min_size=1)


@given(WORDS, st.text("abcß é,", max_size=60))
def test_one_scan_finds_what_a_pattern_per_word_would(words: list[str], text: str) -> None:
    words = [word.strip() for word in words]
    verdict = read(text, keywords=words)
    folded = text.casefold()
    expected = any(
        re.search(rf"(?<!\w){re.escape(w.casefold())}(?!\w)", folded) is not None for w in words
    )
    assert (verdict is not None) is expected


def test_one_pattern_that_matches_is_sure() -> None:
    rule = KeywordRule(keywords=(r"deep\s+analysis", "review", "plan"), method="regex")
    found = KeywordSignal({"it": rule}).read(Prompt(model="auto", question="A deep  analysis."))
    assert found["it"].confidence == 1.0 and found["it"].value == pytest.approx(1 / 3)
