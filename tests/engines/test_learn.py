"""Learning from rows: repeatable, calibrated on rows not seen, no larger than asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wayside.engines import features, modelfile, train
from wayside.engines.embedding import Table
from wayside.engines.learn import _weights, learn, pruned
from wayside.engines.meaning import Words
from wayside.engines.rows import Example
from wayside.engines.static import StaticClassifier
from wayside.vocab.errors import ConfigError

RECIPE = train.Recipe(epochs=12, batch=8, rate=0.01, at_least=1)
FRUIT = ("apple", "pear", "cherry", "grape", "lemon", "mango")
TOOLS = ("hammer", "saw", "drill", "wrench", "chisel", "pliers")
FRAMES = ("where is my {}", "a {} please", "i like this {}", "buy a {} today")
ROWS = [
    Example(frame.format(thing), label, "en", group=thing)
    for label, things in (("fruit", FRUIT), ("tool", TOOLS))
    for thing in things
    for frame in FRAMES
]


def test_the_same_rows_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        modelfile.write(tmp_path / name, learn(ROWS, RECIPE, {"a": 1}, 300_000).model)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    other = learn(ROWS, replace(RECIPE, seed=7), {"a": 1}, 300_000).model
    modelfile.write(tmp_path / "other", other)
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def test_it_judges_itself_on_groups_it_has_not_seen() -> None:
    """With words as groups nothing but the unseen word tells, so it can only guess."""
    apart = learn(ROWS, RECIPE, {}, 300_000)
    mixed = learn([replace(row, group="") for row in ROWS], RECIPE, {}, 300_000)
    assert mixed.accuracy > 0.9 > apart.accuracy


def test_a_sentence_filled_in_many_ways_weighs_as_much_as_any_other() -> None:
    """Copies of an easy group change the head a little, the calibration's weights not at all."""
    many = [replace(ROWS[0], text=f"{ROWS[0].text} {n}", group="many") for n in range(6)]
    weights = _weights([*many, replace(ROWS[0], group=""), replace(ROWS[1], group="")])
    assert weights.tolist() == pytest.approx([1 / 6] * 6 + [1, 1])


def test_a_text_of_which_nothing_is_known_does_not_disturb() -> None:
    rows = [*ROWS, Example("", "fruit"), Example("", "tool"), Example(" ", "tool", group="x")]
    found = StaticClassifier(learn(rows, RECIPE, {}, 300_000).model)
    assert found.classify("hammer")[0][0] == "tool"


def test_the_file_is_no_larger_than_asked(tmp_path: Path) -> None:
    found = learn(ROWS, RECIPE, {}, 140_000)
    modelfile.write(tmp_path / "small", found.model)
    assert found.pruned > 0
    assert (tmp_path / "small").stat().st_size <= 140_000


def test_pruning_keeps_what_moves_scores_furthest() -> None:
    head = train.train([(r.text, r.label) for r in ROWS], RECIPE)
    small = pruned(head, 50)
    reach = np.abs(head.weights).max(axis=1) * head.idf
    kept = np.isin(head.known, small.known)
    assert kept.sum() == 50 and reach[kept].min() >= reach[~kept].max()
    assert pruned(head, 10**6) is head


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "nothing to tell apart"),
        ([Example("x", "a"), Example("y", "a")], "nothing to tell apart"),
        (
            [Example("x", "a"), Example("y", "a"), Example("z", "b")],
            "only one text has the label 'b'",
        ),
    ],
)
def test_rows_that_teach_nothing_are_refused(rows: list[Example], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        learn(rows, RECIPE, {}, 300_000)


def test_words_with_vectors_teach_their_neighbours() -> None:
    """`plum` is in no row, but its vector lies by those of the fruit."""
    words = (*FRUIT, *TOOLS, "plum", "mallet", "x1")
    rows = np.zeros((len(words), 8), np.int8)
    rows[: len(FRUIT), 0] = rows[words.index("plum"), 0] = 100
    rows[len(FRUIT) : len(FRUIT) + len(TOOLS), 1] = rows[words.index("mallet"), 1] = 100
    begin = Words(Table(words, rows, np.ones(len(words), np.float32), {}))
    assert features.word("plum") in begin.buckets.tolist()
    assert len(begin.buckets) == len(words) - 1, "x1 is no word"
    plain = StaticClassifier(learn(ROWS, RECIPE, {}, 300_000).model)
    taught = StaticClassifier(learn(ROWS, RECIPE, {}, 300_000, begin=begin).model)
    assert dict(taught.classify("plum"))["fruit"] > dict(plain.classify("plum"))["fruit"] + 0.1
    assert taught.classify("mallet")[0][0] == "tool"
