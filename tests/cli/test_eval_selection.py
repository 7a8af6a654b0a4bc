"""``wayside eval selection``: what a score or a selector is worth on measured outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from wayside.engines import families

HARD = [f"Prove by induction on {c} that the sum of the first n {c}-th powers is a polynomial."
        for c in "kmpqrs"]  # fmt: skip
EASY = [f"What is the capital of {c}?" for c in ("Peru", "Chad", "Laos", "Togo", "Oman", "Fiji")]

PAIR = ("rows.jsonl", "--strong", "large", "--weak", "small")


@pytest.fixture
def rows(here: Path) -> Path:
    file = here / "rows.jsonl"
    found = [
        (q, m, float(m == "large" or q in EASY)) for q in HARD + EASY for m in ("large", "small")
    ]
    lines = [json.dumps({"query": q, "model": m, "performance": p}) for q, m, p in found]
    file.write_text("\n".join(lines))
    return file


def test_the_built_in_score_against_dice_and_length(wayside: Wayside, rows: Path) -> None:
    words = ("rows.jsonl", "--strong", "large", "--weak", "small")
    said = wayside("eval", "selection", *words, "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found["complexity"]["apgr"] == pytest.approx(0.75)
    assert found["complexity"]["oracle"] == pytest.approx(0.75)
    assert set(found) == {"complexity", "length of the prompt"}
    said = wayside("eval", "selection", *words)
    assert "complexity: 12 questions, weak 0.500, strong 1.000" in said.out


def test_a_table_with_a_column_a_model(wayside: Wayside, rows: Path) -> None:
    lines = ["prompt,large,small,note"]
    lines += [f'"{q}",True,{q in EASY},x' for q in HARD + EASY]
    Path("t.csv").write_text("\n".join(lines))
    Path("out.jsonl").write_text(json.dumps({"eval_prompt": HARD[0]}))
    words = ("t.csv", "--strong", "large", "--weak", "small", "--without", "out.jsonl")
    said = wayside("eval", "selection", *words, "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["complexity"]["questions"] == 11
    Path("t.csv").write_text("question,large\nx,True\n")
    said = wayside("eval", "selection", *words)
    assert (
        said.status == 2 and "t.csv:1: no column query or prompt among question, large" in said.err
    )


def test_a_trained_classifier_and_a_trained_selector(wayside: Wayside, rows: Path) -> None:
    labelled = [{"text": q, "label": "strong" if q in HARD else "weak"} for q in HARD + EASY]
    Path("own.jsonl").write_text("\n".join(map(json.dumps, labelled)))
    assert wayside("train", "own", "own.jsonl", "--name", "s", "--epochs", "5").status == 0
    pair = ("rows.jsonl", "--strong", "large", "--weak", "small")
    said = wayside("eval", "selection", *pair, "--model", "s.model", "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["s.model"]["apgr"] > 0.7
    lines = rows.read_text().splitlines()
    more = [line.replace(" of ", f" number {i} of ") for i in range(6) for line in lines]
    Path("more.jsonl").write_text("\n".join(more))
    trained = wayside("train", "selection", "-a", "mlp", "more.jsonl", "-o", "m.selector")
    assert trained.status == 0, trained.err
    said = wayside("eval", "selection", *pair, "--model", "m.selector", "--json")
    assert json.loads(said.out)["m.selector"]["apgr"] > 0.7
    said = wayside("eval", "selection", "rows.jsonl", "--model", "m.selector")
    assert "mlp: measured with 12 others" in said.out and "always large" in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rows.jsonl",), "Give --strong and --weak: two of large, small"),
        (("rows.jsonl", "--strong", "large"), "--strong and --weak go together"),
        (("rows.jsonl", "--strong", "lage", "--weak", "small"), "did you mean 'large'?"),
        (("rows.jsonl", "--strong", "small", "--weak", "large"), "turn the two round"),
        (("--strong", "a", "--weak", "b"), "are for files of rows"),
        ((*PAIR, "--engine", "domain"), "none of the labels strong"),
        ((*PAIR, "--model", "rows.jsonl"), "not a wayside classifier"),
        (("rows.jsonl", "--model", "x", "--engine", "y"), "Give --engine or --model"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_fix(
    wayside: Wayside, rows: Path, words: tuple[str, ...], said: str
) -> None:
    found = wayside("eval", "selection", *words)
    assert found.status == 2 and said in found.err, found.err


def test_the_judged_prompts_of_a_checkout(wayside: Wayside) -> None:
    """The figures that docs/how-to/calibrate-a-threshold.md tells; length alone must stay poor."""
    found = json.loads(wayside("eval", "selection", "--json").out)
    own, length = found["complexity"], found["length of the prompt"]
    assert own["questions"] == 190 and own["apgr"] > 0.62 > 0.56 > length["apgr"]
    rows = (families.corpora() / "strength/heldout.jsonl").read_text("utf-8").splitlines()
    held = [json.loads(row) for row in rows]
    assert {row["label"] for row in held} == {"strong", "weak"}
    assert len({row["text"] for row in held}) == len(held)
    assert all(set(row) == {"text", "label", "lang", "kind"} for row in held)
