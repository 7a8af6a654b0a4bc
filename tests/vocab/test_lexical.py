"""The formulas, with numbers worked out by hand."""

from math import log

import pytest

from wayside.vocab.lexical import Bm25, Ngrams, ngrams, stem, terms


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        # Porter's own examples for step 1
        ("caresses", "caress"),
        ("ponies", "poni"),
        ("caress", "caress"),
        ("cats", "cat"),
        ("agreed", "agree"),
        ("plastered", "plaster"),
        ("motoring", "motor"),
        ("sing", "sing"),
        ("hopping", "hop"),
        ("tanned", "tan"),
        ("falling", "fall"),
        ("hissing", "hiss"),
        ("fizzed", "fizz"),
        ("failing", "fail"),
        ("filing", "file"),
        ("happy", "happi"),
        ("sky", "sky"),
        # and what it is for here
        ("debugging", "debug"),
        ("coding", "code"),
        ("codes", "code"),
        ("as", "as"),
        ("größen", "größen"),
    ],
)
def test_english_endings_come_off(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Debugging, debugged!", {"Debug", "debug"}),
        ("重置密码", {"重置", "置密", "密码"}),
        ("码", {"码"}),
        ("API密码 codes", {"API", "密码", "code"}),
        ("v2密码x", {"v2", "密码", "x"}),
        ("don't", {"don't"}),
        ("... _ --", set()),
        ("\ud800 a\udfff", {"a"}),
    ],
)
def test_terms_are_stemmed_words_and_pairs_of_letters(text: str, expected: set[str]) -> None:
    assert terms(text) == expected


def scores(phrases: list[str], text: str) -> dict[int, float]:
    return Bm25(phrases).scores(terms(text))


def test_a_phrase_alone_scores_its_idf() -> None:
    # N = n = 1: ln(1 + 0.5 / 1.5); f = 1 and length = mean, so the rest is 2.2 / 2.2
    assert scores(["code"], "some codes") == {0: pytest.approx(log(4 / 3))}


def test_one_word_among_five_scores_ln_four() -> None:
    # N = 5, n = 1: ln(1 + 4.5 / 1.5)
    found = scores(["code", "function", "debug", "algorithm", "refactor"], "debugging it")
    assert found == {2: pytest.approx(log(4))}


def test_longer_phrases_count_less_per_word_and_shared_words_less() -> None:
    # credit: n = 2 of N = 2, idf ln(1 + 0.5 / 2.5) = ln 1.2; card: n = 1, ln(1 + 1.5 / 1.5) = ln 2
    # lengths 2 and 1, mean 1.5; norm of the pair: 1.2 * (0.25 + 0.75 * 4 / 3) = 1.5
    found = scores(["credit card", "credit"], "a credit card")
    assert found[0] == pytest.approx((log(1.2) + log(2)) * 2.2 / 2.5)
    assert found[1] == pytest.approx(log(1.2) * 2.2 / (1 + 1.2 * (0.25 + 0.75 / 1.5)))


def test_nothing_in_common_scores_nothing() -> None:
    assert scores(["code"], "decode") == {}
    assert scores(["--"], "--") == {}
    assert scores([], "x") == {}


def test_ngrams_are_padded_at_the_front_more_than_at_the_end() -> None:
    assert ngrams("word", 3) == {"  w", " wo", "wor", "ord", "rd "}
    assert ngrams("ab", 2) == {" a", "ab", "b "}


@pytest.mark.parametrize(
    ("phrase", "text", "threshold", "expected"),
    [
        ("word", "words", 4 / 7, True),
        ("word", "words", 0.572, False),
        ("emergency", "an emergancy", 7 / 13, True),
        ("emergency", "an emergancy", 0.54, False),
        ("urgent", "urgently", 0.6, True),
        ("urgent", "urgently", 0.61, False),
        ("urgent", "current", 0.4, False),
        ("credit card", "my credt card", 0.5, True),
        ("credit card", "credit is a card", 0.5, False),
        ("c++", "c", 0.5, True),
        ("word", "", 0.1, False),
        ("--", "--", 0.1, False),
    ],
)
def test_similarity_is_the_share_of_ngrams_in_common(
    phrase: str, text: str, threshold: float, expected: bool
) -> None:
    assert (Ngrams([phrase], 3, threshold).which(text) == {0}) is expected


def test_phrases_of_one_text_are_told_apart() -> None:
    found = Ngrams(["urgent", "immediate", "asap", "emergency"], 3, 0.4)
    assert found.which("urgently, and immediately") == {0, 1}
