"""The everyday prompts: known labels, many languages, and nothing held out is trained on."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "corpora" / "domain"
TRAINED = ("handwritten.jsonl", "everyday.jsonl", "templated.jsonl")
HELD_OUT = "heldout.jsonl"
LABELS = {
    "biology", "business", "chemistry", "computer science", "economics", "engineering", "health",
    "history", "law", "math", "other", "philosophy", "physics", "psychology",
}  # fmt: skip
TOO_CLOSE = 0.75  # shared words over all words
Row = dict[str, str]


def rows(name: str) -> list[Row]:
    lines = (FOLDER / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def bag(text: str) -> frozenset[str]:
    """The words of a text; its characters where words have no spaces between them."""
    text = text.lower()
    if re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text):
        return frozenset(re.sub(r"\W", "", text))
    return frozenset(re.findall(r"\w+", text))


def near(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= TOO_CLOSE * len(one | other) > 0


@pytest.mark.parametrize("name", [*TRAINED, HELD_OUT])
def test_every_row_is_a_text_with_a_known_label_and_a_language(name: str) -> None:
    for number, row in enumerate(rows(name), 1):
        assert row["text"].strip(), number
        assert row["label"] in LABELS, number
        assert re.fullmatch("[a-z]{2}", row["lang"]), number


@pytest.mark.parametrize("name", [*TRAINED, HELD_OUT])
def test_no_text_stands_in_a_file_twice(name: str) -> None:
    counts = Counter(row["text"] for row in rows(name))
    assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", ["everyday.jsonl", HELD_OUT])
def test_all_labels_are_asked_about_in_twenty_languages(name: str) -> None:
    asked = Counter((row["lang"], row["label"]) for row in rows(name))
    languages = {lang for lang, _ in asked}
    assert len(languages) >= 20
    assert {(lang, label) for lang in languages for label in LABELS} <= set(asked)


@pytest.mark.parametrize("name", TRAINED)
def test_nothing_close_to_a_held_out_prompt_is_trained_on(name: str) -> None:
    by_word: dict[str, list[tuple[frozenset[str], str]]] = {}
    for row in rows(name):
        words = bag(row["text"])
        for word in words:
            by_word.setdefault(word, []).append((words, row["text"]))
    close = []
    for row in rows(HELD_OUT):
        words = bag(row["text"])
        # A text this close shares a word, and one of the rarest ones is the quickest way to it
        rare = sorted(words, key=lambda word: len(by_word.get(word, ())))
        some = rare[: len(words) // 3 + 1]
        met = {text: other for word in some for other, text in by_word.get(word, ())}
        close += [(row["text"], text) for text, other in met.items() if near(words, other)]
    assert close == []


def test_the_corpus_is_small_enough_for_a_repository() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 4_000_000
