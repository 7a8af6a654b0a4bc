"""Lessons from a teacher: what is asked, what is kept, and what each row should get."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from wayside.engines import distil, train

ROWS: list[train.Row] = [("a pear", "fruit"), ("a saw", "tool"), ("a lemon", "fruit")]
TAUGHT = distil.Taught(
    ("tool", "fruit"),
    ("a saw", "a file of plums", "a secret"),
    np.array([[0.6, 0.4], [0.1, 0.9], [1.0, 0.0]], np.float32),
)


def lesson(**changed: object) -> tuple[list[train.Row], np.ndarray]:
    given = {"trust": {True: 0.5, False: 0.8}, "smoothing": 0.0, **changed}
    return distil.lesson(ROWS, TAUGHT, **given)  # type: ignore[arg-type]


def test_a_labelled_row_gets_some_of_the_teachers_word_and_some_of_its_label() -> None:
    rows, wanted = lesson()
    assert rows[:3] == ROWS
    assert wanted[0].tolist() == [1.0, 0.0]  # fruit, tool: labels in order of name
    assert wanted[1].tolist() == pytest.approx([0.2, 0.8])
    assert wanted[2].tolist() == [1.0, 0.0]


def test_a_text_only_the_teacher_knows_becomes_a_row() -> None:
    rows, wanted = lesson(without=["a secret"])
    assert rows[3:] == [("a file of plums", "fruit")]
    assert wanted[3].tolist() == pytest.approx([0.8 * 0.9 + 0.1, 0.8 * 0.1 + 0.1])
    assert wanted.sum(axis=1) == pytest.approx([1, 1, 1, 1])


def test_without_a_teacher_a_row_gets_its_label() -> None:
    rows, wanted = distil.lesson(ROWS, None, trust={True: 1, False: 1}, smoothing=0.1)
    assert rows == ROWS
    assert wanted[1].tolist() == pytest.approx([0.05, 0.95])


def test_a_teacher_of_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="plant"):
        distil.lesson([*ROWS, ("fern", "plant")], TAUGHT, trust={}, smoothing=0)


def test_what_a_teacher_said_is_kept(tmp_path: Path) -> None:
    TAUGHT.write(tmp_path / "taught.npz")
    found = distil.Taught.read(tmp_path / "taught.npz")
    assert (found.labels, found.texts) == (TAUGHT.labels, TAUGHT.texts)
    assert found.shares == pytest.approx(TAUGHT.shares, abs=1e-3)


def test_every_word_is_asked_about_and_pieces_of_what_is_long() -> None:
    words = ["moss", "fern", "ivy"]
    long = "one two three four five six seven eight nine ten"
    found = list(
        distil.fresh(words, ["what is {t}", "{t} or {u}"], [long, "too short"], Random(1))
    )
    assert len(found) == 4
    assert all(word in text for word, text in zip(words, found, strict=False))
    assert found[3] in long and 3 <= len(found[3].split()) <= 10
    assert found == list(
        distil.fresh(words, ["what is {t}", "{t} or {u}"], [long, "too short"], Random(1))
    )
