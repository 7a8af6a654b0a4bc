"""``wayside train``: from rows to a model and its card, in a pipe as on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from wayside.engines import meaning
from wayside.engines.learn import FOLDS
from wayside.engines.modelfile import read
from wayside.engines.static import StaticClassifier

FRAMES = ("where is my {}", "a {} please", "i like this {}", "buy a {} today", "old {}s")


def rows(**things: tuple[str, ...]) -> str:
    found = [
        {"text": frame.format(thing), "label": label, "lang": "en", "source": "shop"}
        for label, some in things.items()
        for thing in some
        for frame in FRAMES
    ]
    return "".join(json.dumps(row) + "\n" for row in found)


@pytest.fixture
def things(here: Path) -> Path:
    file = here / "things.jsonl"
    file.write_text(rows(fruit=("apple", "pear", "lemon"), tool=("saw", "drill", "chisel")))
    return file


def test_labels_of_ones_own(wayside: Wayside, things: Path) -> None:
    said = wayside("train", "own", "things.jsonl", "--name", "things", "--epochs", "12")
    assert said.status == 0, said.err
    assert f"part 1 of {FOLDS}" in said.out and "epoch 12 of 12" in said.out
    assert said.out.splitlines()[-1] == "card: things.md"
    model = StaticClassifier.load(things.with_suffix(".model"))
    assert model.classify("an apple")[0][0] == "fruit"
    text = (things.with_suffix(".md")).read_text("utf-8")
    assert text.startswith("# The things model") and "| shop | 30 |" in text


def test_the_same_rows_and_seed_are_the_same_bytes(wayside: Wayside, things: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        said = wayside(
            "train", "own", "things.jsonl", "--name", "things",
            "--epochs", "3", "--seed", seed, "--out", f"{name}.model",
        )  # fmt: skip
        assert said.status == 0
    one, two, other = (Path(f"{name}.model").read_bytes() for name in "abc")
    assert one == two != other
    assert read(Path("a.model")).facts["seed"] == 1


def test_held_out_rows_are_measured_not_learnt(wayside: Wayside, things: Path) -> None:
    Path("unseen.jsonl").write_text('{"text": "an apple", "label": "fruit"}\n')
    said = wayside(
        "train", "own", "things.jsonl", "--name", "t", "--held-out", "unseen.jsonl",
        "--epochs", "12", "--out", "deep/down/t.model", "--card", "t.md",
    )  # fmt: skip
    assert "held out: 1 rows, accuracy 1.000" in said.out
    assert Path("deep/down/t.model").exists()
    assert "| held out | 1 | 1.000 |" in Path("t.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fact_chek", "x.jsonl"), "no family 'fact_chek' (FAMILY); did you mean 'fact_check'?"),
        (("own", "things.jsonl"), "no name for labels of your own"),
        (("own", "things.jsonl", "--name", "A b"), "no name: 'A b'"),
        (("own", "--name", "things"), "no rows"),
        (("feedback", "things.jsonl", "--name", "x"), "feedback has its name already"),
        (("feedback", "things.jsonl"), "things.jsonl:1: label"),
        (("own", "none.jsonl", "--name", "x"), "cannot be read"),
        (("own", "bad.jsonl", "--name", "x"), "is 'lable' meant? rename it"),
    ],
)
def test_what_is_wrong_is_said_with_the_fix(
    wayside: Wayside, things: Path, words: tuple[str, ...], said: str
) -> None:
    Path("bad.jsonl").write_text('{"text": "x", "lable": "a"}\n')
    found = wayside("train", *words)
    assert found.status == 2
    plain = " ".join(found.err.split())
    assert all(part in plain for part in said.replace(" (FAMILY);", "\0").split("\0")), plain


def test_a_built_in_family_learns_rows_of_ones_own(wayside: Wayside, here: Path) -> None:
    Path("mine.jsonl").write_text(rows(easy=("hello", "thanks"), hard=("proof", "theorem")))
    said = wayside("train", "complexity", "mine.jsonl", "--epochs", "2")
    assert said.status == 0 and Path("complexity.model").exists()
    assert read(Path("complexity.model")).labels == ("easy", "hard")


def test_a_checkout_trains_the_shipped_model_again(
    wayside: Wayside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not into the wheel: `--out` and `--card` say where; the corpora are this checkout's."""
    monkeypatch.setattr(meaning, "_STEPS", 5)  # of 300: how good it is, is not looked at here
    said = wayside(
        "train", "modality", "--epochs", "1", "--out", "again.model", "--card", "again.md"
    )
    assert said.status == 0, said.err
    assert read(Path("again.model")).labels == ("both", "image", "text")
    assert "held out, English:" in said.out
    assert "modality/train.jsonl" in Path("again.md").read_text("utf-8")
