"""``wayside eval cache``: precision on near misses first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from wayside.cli.eval_cache import Figures, Pair, figures

ROWS = """\
{"a": "how do I cook rice", "b": "How can I cook rice?", "same": true, "kind": "x", "lang": "en"}
{"a": "what is a mutex", "b": "please explain locks", "same": true, "kind": "x", "lang": "en"}
{"a": "boil 5 eggs", "b": "boil 6 eggs", "same": false, "kind": "number", "lang": "en"}

"""


def test_figures_count_what_would_be_shared() -> None:
    pairs = [
        Pair("a", "b", same=True, cosine=0.95),
        Pair("a", "b", same=True, cosine=0.95, why="words"),
        Pair("a", "b", same=True, cosine=0.85),
        Pair("a", "b", same=False, cosine=0.95),
        Pair("a", "b", same=False, cosine=0.95, why="number"),
        Pair("a", "b", same=False, cosine=0.1),
    ]
    found = figures(pairs, 0.9)
    assert found == Figures(near=3, wrong=1, same=3, hit=1)
    assert (found.precision, found.recall) == (0.5, 1 / 3)
    alone = figures(pairs, 0.9, guard=False)
    assert (alone.wrong, alone.hit) == (2, 2)
    assert figures([], 0.9).precision is None and figures([], 0.9).recall is None


def test_people_read_precision_first(wayside: Wayside, here: Path) -> None:
    (here / "mine.jsonl").write_text(ROWS)
    said = wayside("eval", "cache", "mine.jsonl")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "mine.jsonl, 3 pairs"
    assert lines[1].startswith(
        "  precision on near misses 1.000 (0 of 1 would get a wrong answer)"
    )
    assert lines[2].startswith("  recall 0.500 (1 of 2 that mean the same)")
    for part in ("cosine at least", "number", "language", "the guard: ", "µs a question"):
        assert part in said.out


def test_scripts_read_everything(wayside: Wayside, here: Path) -> None:
    (here / "mine.jsonl").write_text(ROWS)
    told = json.loads(wayside("eval", "cache", "mine.jsonl", "--threshold", "0.5", "--json").out)
    assert told["threshold"] == 0.5 and told["engine"] == "embedding"
    assert told["all"]["guarded"] == {
        "near": 1, "wrong": 0, "same": 2, "hit": 1, "precision": 1.0, "recall": 0.5
    }  # fmt: skip
    assert told["all"]["kinds"]["number"]["wrong_without_guard"] == 1
    assert told["all"]["languages"]["en"]["same"] == 2 and told["all"]["wrong"] == []
    assert told["microseconds"]["guard"] > 0


def test_a_precision_below_the_bar_is_an_exit_status(wayside: Wayside, here: Path) -> None:
    row = {"a": "how do I cook rice", "b": "how to cook rice", "same": False}
    (here / "mine.jsonl").write_text(json.dumps(row))
    said = wayside("eval", "cache", "mine.jsonl")
    assert said.status == 1 and "✗ how do I cook rice || how to cook rice" in said.out


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("{", "mine.jsonl:1", "not JSON"),
        ('{"a": "x"}', "mine.jsonl:1", "not a pair"),
        ('\n{"a": "x", "b": "y", "same": 1}', "mine.jsonl:2", "neither true nor false"),
        ("", "mine.jsonl", "no pairs"),
    ],
)
def test_rows_that_are_none_are_told_with_their_line(
    wayside: Wayside, here: Path, text: str, where: str, what: str
) -> None:
    (here / "mine.jsonl").write_text(text)
    said = wayside("eval", "cache", "mine.jsonl")
    assert said.status != 0 and where in said.err and what in said.err


def test_a_checkouts_own_pairs_meet_the_bar(wayside: Wayside) -> None:
    told = json.loads(wayside("eval", "cache", "--json").out)
    for found in (told["all"], *told["files"].values()):
        assert found["guarded"]["precision"] >= 0.99
        assert found["guarded"]["recall"] >= 0.4
    assert told["all"]["guarded"]["near"] > 2_000 and len(told["all"]["languages"]) >= 15
