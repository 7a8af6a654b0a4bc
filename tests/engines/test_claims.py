from __future__ import annotations

import pytest

from wayside.engines.claims import Sentence, opposed, sentences, stem


def one(text: str) -> Sentence:
    (found,) = sentences(text, 9)
    return found


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One thing. Two things! Three?", ["One thing.", "Two things!", "Three?"]),
        (
            "It costs 3.5 euros. See Dr. Smith, e.g. today.",
            ["It costs 3.5 euros.", "See Dr. Smith, e.g. today."],
        ),
        ("- first point\n- second point\n\n3. third", ["first point", "second point", "third"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("水在零度结冰。真的！", ["水在零度结冰。", "真的！"]),
        ("no end", ["no end"]),
        (" \n. \n", ["."]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_sentences_where_they_stand(text: str, pieces: list[str]) -> None:
    found = sentences(text, 9)
    assert [text[s.start : s.end] for s in found] == pieces


def test_there_are_no_more_sentences_than_asked_for_and_none_without_end() -> None:
    assert len(sentences("so. " * 100, 7)) == 7
    assert max(s.end - s.start for s in sentences("word " * 10_000, 99)) <= 4_000


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,642 metres", {"1642"}),
        ("four floors and twenty rooms", {"4", "20"}),
        ("4.8 million euros", {"4800000"}),
        ("4,800,000 euros", {"4800000"}),
        ("at 9:30, version 2.4, 5.0 percent", {"9:30", "2.4", "5"}),
        ("the one that won", set()),
    ],
)
def test_numbers_are_compared_in_digits(text: str, numbers: set[str]) -> None:
    assert one(text).numbers == numbers


def test_names_are_capitals_inside_a_sentence() -> None:
    assert one("The museum in Hamburg shows IBM computers.").names == {stem("hamburg"), "ibm"}
    assert one("Karl Marx wrote it.").names == {"karl", "marx"}
    assert one("Museums are old.").names == frozenset()
    assert "red" in one("The jacket is red.").names, "colours are as easily exchanged"


def test_what_is_denied_and_what_is_the_opposite() -> None:
    assert one("It isn't open.").negated and one("It is not open.").negated
    assert not one("It is open.").negated
    assert opposed(one("Sales rose."), one("Sales fell."))
    assert not opposed(one("Sales rose."), one("Sales rose, then fell."))
    assert not opposed(one("Sales rose."), one("Sales increased."))


@pytest.mark.parametrize(
    "family", [("leave", "leaves", "leaving"), ("cancel", "cancels"), ("extend", "extended")]
)
def test_forms_of_a_word_have_one_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1
