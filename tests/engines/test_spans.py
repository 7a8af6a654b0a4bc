"""Recall and precision of markers, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from wayside.engines.spans import Marked, as_dict, as_text, measure, read, together
from wayside.vocab.ask import Span, Spans
from wayside.vocab.errors import ConfigError


def mark(text: str) -> Spans:
    """Finds every `@` as mail and every `7` as phone."""
    names = {"@": "MAIL", "7": "PHONE"}
    return tuple(Span(i, i + 1, names[c]) for i, c in enumerate(text) if c in names)


ROWS = [
    Marked("a@b 7", ((0, 3, "MAIL"), (4, 5, "PHONE"))),
    Marked("@ 77", ((2, 4, "PHONE"),)),
    Marked("nobody", ((0, 6, "PERSON"),)),
]


def test_a_piece_counts_when_one_of_its_type_overlaps() -> None:
    mail, person, phone = measure(mark, ROWS)
    assert (mail.label, mail.expected, mail.found, mail.recall, mail.precision) == (
        "MAIL", 1, 2, 1.0, 0.5,
    )  # fmt: skip
    assert (person.recall, person.precision) == (0.0, None)
    assert (phone.expected, phone.found, phone.recall, phone.precision) == (2, 3, 1.0, 1.0)
    whole = together((mail, person, phone))
    assert (whole.expected, whole.found, whole.recalled, whole.right) == (4, 5, 3, 4)


def test_only_the_types_asked_about_count() -> None:
    assert [f.label for f in measure(mark, ROWS, {"PHONE"})] == ["PHONE"]


def test_figures_are_rendered() -> None:
    figures = measure(mark, ROWS)
    assert as_dict(figures)["PERSON"]["precision"] is None
    assert "MAIL       1.000      0.500         1      2" in as_text(figures)
    assert as_text(()).startswith("type")


def test_rows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "a@b", "spans": [[0, 3, "MAIL"]]}\n\n', "utf-8")
    assert read(file) == [Marked("a@b", ((0, 3, "MAIL"),))]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ('{"spans": []}', "no text"),
        ('{"text": "a", "span": []}', "did you mean 'span'"),
        ('{"text": "a", "spans": [[0, 2, "X"]]}', "not a span of the text"),
        ('{"text": "a", "spans": [[1, 0, "X"]]}', "not a span of the text"),
        ('{"text": "a", "spans": "X"}', "not a span of the text"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(f'{{"text": "", "spans": []}}\n{line}\n', "utf-8")
    with pytest.raises(ConfigError) as error:
        read(file)
    assert "s.jsonl:2" in str(error.value) and said in str(error.value)


def test_spans_may_stand_in_the_text(tmp_path: Path) -> None:
    file = tmp_path / "spans.txt"
    file.write_text(
        "call {PHONE_NUMBER=020 7946 0321}, or mail {EMAIL_ADDRESS=a@b.example}\n\nnone\n"
    )
    first, second = read(file)
    assert first.text == "call 020 7946 0321, or mail a@b.example"
    assert [(first.text[a:b], label) for a, b, label in first.pieces] == [
        ("020 7946 0321", "PHONE_NUMBER"),
        ("a@b.example", "EMAIL_ADDRESS"),
    ]
    assert second.text == "none" and not second.pieces
