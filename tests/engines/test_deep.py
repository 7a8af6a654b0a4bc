"""The deep classifier: it learns what no linear one can, is kept in a file, and answers alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.engines.test_train_domain import made_up
from wayside.engines import deep, features, modelfile, train
from wayside.engines.evaluate import evaluate
from wayside.engines.static import StaticClassifier

TINY = deep.Recipe(epochs=40, batch=16, rate=0.01, dropout=0.2, width=8, hidden=16)


def both_or_neither() -> list[train.Row]:
    """Of two words, exactly one makes it odd: no sum of weights a word says that."""
    table = {"ping": "even", "pong": "even", "ping pong": "odd", "": "odd"}
    fills = ("zzz", "xxx yyy", "qqq www eee", "vvv", "uuu ttt")
    return [
        (f"{fill} {text} {other}".strip(), label)
        for text, label in table.items()
        for fill in fills
        for other in fills
    ]


@pytest.fixture(scope="module")
def head() -> deep.Head:
    return deep.learn(made_up(), TINY)


@pytest.fixture(scope="module")
def tiny(head: deep.Head) -> StaticClassifier:
    return StaticClassifier(deep.quantise(head, train.Calibration(), {}))


def test_it_learns_from_rows(tiny: StaticClassifier) -> None:
    assert tiny.labels == ("fruit", "tool")
    assert evaluate(tiny, made_up()).accuracy > 0.95
    assert tiny.classify("we rent out a chisel")[0][0] == "tool"


def test_it_learns_what_is_no_sum() -> None:
    recipe = dataclasses.replace(TINY, epochs=80, dropout=0.0)
    rows = both_or_neither()
    model = deep.quantise(deep.learn(rows, recipe), train.Calibration(), {})
    assert evaluate(StaticClassifier(model), rows).accuracy > 0.95


def test_int8_columns_say_what_the_trained_ones_said(
    head: deep.Head, tiny: StaticClassifier
) -> None:
    rows = made_up()
    exact = train.softmax(deep.scores(head, [text for text, _ in rows]))
    for (text, _), row in zip(rows, exact, strict=True):
        found = dict(tiny.classify(text))
        assert [found[label] for label in head.labels] == pytest.approx(row.tolist(), abs=0.03)


def test_its_temperature_and_bend_are_those_it_was_given(head: deep.Head) -> None:
    texts = [text for text, _ in made_up()]
    how = train.Calibration(3.0, 0.4)
    cool = StaticClassifier(deep.quantise(head, how, {}))
    divisors = how.divisor * (deep.lengths(head, texts) / modelfile.USUAL) ** how.bend
    wanted = train.softmax(deep.scores(head, texts) / divisors[:, None])
    for text, row in zip(texts, wanted, strict=True):
        found = dict(cool.classify(text))
        assert [found[label] for label in head.labels] == pytest.approx(row.tolist(), abs=0.03)


def test_rows_can_be_answered_with_probabilities() -> None:
    rows = [*made_up(), ("a melon please", "fruit")]
    wanted = np.array([[0.7, 0.3] if label == "fruit" else [0.2, 0.8] for _, label in rows])
    head = deep.learn(rows, TINY, wanted=wanted.astype(np.float32))
    shares = train.softmax(deep.scores(head, [text for text, _ in rows]))
    assert np.abs(shares - wanted).mean() < 0.1


def test_a_deep_model_file_is_read_as_it_was_written(head: deep.Head, tmp_path: Path) -> None:
    model = deep.quantise(head, train.Calibration(), {"rows": "made up"}, unknown="tool")
    file, copy = tmp_path / "deep.model", tmp_path / "copy.model"
    modelfile.write(file, model)
    assert file.read_bytes().startswith(modelfile.DEEP)
    modelfile.write(copy, modelfile.read(file))
    assert copy.read_bytes() == file.read_bytes()
    loaded, kept = StaticClassifier.load(file), StaticClassifier(model)
    assert loaded.classify("an old saw") == kept.classify("an old saw")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.model", "deep.model"]


def test_the_same_seed_gives_the_same_model() -> None:
    one, two = (deep.learn(made_up(), TINY) for _ in range(2))
    assert (one.table.weights == two.table.weights).all()
    assert (one.layers.top == two.layers.top).all()


def test_features_beyond_the_limit_are_left_out_the_rarest_first() -> None:
    rows = [*made_up(), ("a lemon", "fruit"), ("a lemon pie", "fruit")]
    small = deep.learn(rows, dataclasses.replace(TINY, rows=50))
    assert len(small.table.known) == len(small.table.weights) == 50
    assert (np.diff(small.table.known) > 0).all()
    counts = np.bincount(np.concatenate([features.buckets(text) for text, _ in rows]))
    left = np.setdiff1d(np.flatnonzero(counts), small.table.known)
    assert counts[small.table.known].min() >= counts[left].max()


def test_many_texts_get_what_each_gets_alone(tiny: StaticClassifier) -> None:
    texts = ["a lemon", "", "my saw", "\ud800", "ok " * 3000, "pear and drill"] * 100
    together = tiny.classify_many(texts)
    assert len(together) == len(texts)
    for text, found in zip(texts, together, strict=True):
        alone = tiny.classify(text)
        assert [label for label, _ in found] == [label for label, _ in alone]
        assert [p for _, p in found] == pytest.approx([p for _, p in alone], abs=1e-4)
    assert tiny.classify_many([]) == []


def test_a_text_that_says_nothing_gets_the_models_own_label(head: deep.Head) -> None:
    def guess(unknown: str) -> tuple[str, float]:
        model = deep.quantise(head, train.Calibration(), {}, unknown)
        return StaticClassifier(model).classify("")[0]

    assert guess("tool") == ("tool", 0.5)
    assert guess("") == ("fruit", 0.5)
    with pytest.raises(ValueError, match="'plant'"):
        guess("plant")


def test_training_from_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        deep.learn([])
