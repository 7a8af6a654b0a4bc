"""The built-in embedder: the file, the words, and what the vectors are good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.engines import embedding
from wayside.engines.embedding import (
    EMBEDDING_MODEL,
    OTHERS,
    StaticEmbedder,
    Table,
    other_rows,
    read,
    words,
    write,
)

BUILT_IN = StaticEmbedder()
SMALL = Table(
    ("cat", "dog", "##s", "run", "##ning"),
    np.array([[i + 1, *([0] * 6), i - 2] for i in range(5)], np.int8),
    np.full(5, 0.5, np.float32),
    {"from": "a test"},
)


def cosine(a: str, b: str) -> float:
    first, second = BUILT_IN.embed((a, b))
    return float(first @ second)


def test_a_text_is_the_sum_of_its_words_at_length_one() -> None:
    embedder = StaticEmbedder(SMALL)
    (found,) = embedder.embed(("Cat, DOG!",))
    wanted = np.array([3, *([0] * 6), -3]) / np.sqrt(18)
    assert found == pytest.approx(wanted)
    assert embedder.places("cats running dog") == [0, 2, 3, 4, 1]


def test_what_no_piece_covers_has_rows_of_its_own() -> None:
    embedder = StaticEmbedder(SMALL)
    unknown = embedder.places("xyz")
    assert len(unknown) == 3 and all(5 <= p < 5 + OTHERS for p in unknown)
    assert embedder.places("xyz") == unknown != embedder.places("xyw")
    assert (other_rows(8) == other_rows(8)).all() and other_rows(8).shape == (OTHERS, 8)
    assert abs(float(other_rows(64).mean())) < 1, "as many above zero as below"


def test_nothing_to_say_is_a_row_of_zeros() -> None:
    found = BUILT_IN.embed(("", " \n", "?!", "a word"))
    assert np.linalg.norm(found, axis=1) == pytest.approx([0, 0, 0, 1], abs=1e-5)
    assert BUILT_IN.embed(()).shape == (0, BUILT_IN.size)
    assert BUILT_IN.embed_words([]).shape == (0, BUILT_IN.size)


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_text_has_a_vector_of_length_one_or_none(texts: list[str]) -> None:
    found = BUILT_IN.embed(tuple(texts))
    assert found.shape == (len(texts), BUILT_IN.size) and found.dtype == np.float32
    for text, row in zip(texts, found, strict=True):
        assert np.linalg.norm(row) == pytest.approx(1.0 if words(text) else 0.0, abs=1e-4)
        assert (row == BUILT_IN.embed((text,))[0]).all()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "word " * 1_000_000,
        "\ufdfa" * 100_000,
        "e" + "\u0301" * 1_000_000,
        "\ud800 half " * 50_000,
        "字" * 500_000,
        "".join(map(chr, range(1, 0x3000))) * 20,
    ],
    ids=["letter", "words", "ligature", "marks", "halves", "ideographs", "everything"],
)
def test_long_and_strange_texts_are_read_in_excerpts(text: str) -> None:
    assert len(words(text)) <= 1_024
    assert all(len(word) <= 48 for word in words(text))
    assert BUILT_IN.embed((text,)).shape == (1, BUILT_IN.size)


def test_case_accents_and_punctuation_do_not_matter() -> None:
    assert words("Où est l'École?") == words("ou est l ecole")
    assert cosine("What's the CAPITAL of Peru?!", "what s the capital of peru") > 0.999


@pytest.mark.parametrize(
    ("question", "near", "far"),
    [
        ("How do I reset my password?", "I forgot my login credentials", "Bake a chocolate cake"),
        ("my card was charged twice", "duplicate payment on my bill", "symptoms of the flu"),
        ("fix this segmentation fault in C", "debug a crashing program", "plan a trip to Rome"),
        ("what medicine helps against fever", "drugs for high temperature", "stock market crash"),
        ("write a poem about autumn", "compose verses on the fall season", "integrate x squared"),
        ("Is it legal to record a call?", "law on taping conversations", "recipe for pancakes"),
    ],
)
def test_paraphrases_are_nearer_than_other_subjects(question: str, near: str, far: str) -> None:
    assert cosine(question, near) > cosine(question, far) + 0.15


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ("如何重置我的密码 如何重置密码", "如何重置我的密码 今天天气怎么样"),
        (
            "как сбросить пароль|как мне сбросить пароль",
            "как сбросить пароль|какая сегодня погода",
        ),
        ("รีเซ็ตรหัสผ่านอย่างไร|จะรีเซ็ตรหัสผ่านอย่างไร", "รีเซ็ตรหัสผ่านอย่างไร|วันนี้อากาศเป็นอย่างไร"),
    ],
)
def test_other_languages_are_compared_by_what_they_share(same: str, other: str) -> None:
    def split(pair: str) -> tuple[str, str]:
        first, _, second = pair.partition("|" if "|" in pair else " ")
        return first, second

    assert cosine(*split(same)) > 0.6 > cosine(*split(other))


def test_words_are_compared_with_words_as_texts_of_one_word() -> None:
    found = BUILT_IN.embed_words(["cat", "kubernetes", "密码"])
    assert found == pytest.approx(BUILT_IN.embed(("cat", "kubernetes", "密码")), abs=1e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "it.model", SMALL)
    found = read(tmp_path / "it.model")
    assert found.words == SMALL.words and found.facts == SMALL.facts
    assert (found.rows == SMALL.rows).all() and (found.steps == SMALL.steps).all()
    write(tmp_path / "again.model", found)
    assert (tmp_path / "again.model").read_bytes() == (tmp_path / "it.model").read_bytes()


def test_a_file_that_is_none_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "it.model"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not a table of vectors"):
        read(path)
    write(path, SMALL)
    whole = path.read_bytes()
    for broken in (whole[:-1], whole + b"x", whole.replace(b'"words": 5', b'"words": "x"')):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is damaged"):
            read(path)


def test_the_built_in_table_is_small_and_says_where_it_is_from() -> None:
    assert EMBEDDING_MODEL.stat().st_size < 8_000_000
    table = read(EMBEDDING_MODEL)
    assert "all-MiniLM-L6-v2" in table.facts["teacher"]
    assert len(set(table.words)) == len(table.words) > 25_000


def test_split_words_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_KEPT", 10)
    embedder = StaticEmbedder(SMALL)
    for number in range(100):
        embedder.embed((f"x{number}x",))
    assert embedder._split.cache_info().currsize == 10
