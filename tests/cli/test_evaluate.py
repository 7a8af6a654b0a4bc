"""``wayside eval``: figures for people, for scripts and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from wayside.cli.bars import Bar, measured

ROWS = """\
{"text": "who wrote Hamlet?", "label": "needs_fact_check", "lang": "en"}
{"text": "write a poem about the sea", "label": "no_fact_check_needed", "lang": "en"}
{"text": "Wann wurde Napoleon geboren?", "label": "needs_fact_check", "lang": "de"}
"""


@pytest.fixture
def mine(here: Path) -> Path:
    file = here / "mine.jsonl"
    file.write_text(ROWS)
    return file


def test_text_tells_every_figure(wayside: Wayside, mine: Path) -> None:
    said = wayside("eval", "fact_check", "mine.jsonl")
    assert said.status == 0
    assert said.out.startswith("fact_check: 3 rows, accuracy 1.000")
    for part in ("true, given", "confidence  rows", "threshold  answered", "by lang", "AUC 1.000"):
        assert part in said.out


@pytest.mark.parametrize("words", [("--json",), ("--format", "json")])
def test_json_is_plain_data(wayside: Wayside, mine: Path, words: tuple[str, ...]) -> None:
    told = json.loads(wayside("eval", "fact_check", "mine.jsonl", *words).out)
    assert told["accuracy"] == 1.0 and told["parts"]["lang"]["de"]["rows"] == 1
    assert told["detector"]["positive"] == "needs_fact_check"


def test_html_is_one_file(wayside: Wayside, mine: Path) -> None:
    said = wayside("eval", "fact_check", "mine.jsonl", "--format", "html", "--out", "r.html")
    assert said.out == "3 rows, accuracy 1.000: r.html\n"
    text = Path("r.html").read_text("utf-8")
    assert text.startswith("<!doctype html>") and "<svg" in text and "http" not in text


def test_rows_of_the_checkout_are_measured_without_a_file(wayside: Wayside, here: Path) -> None:
    told = json.loads(wayside("eval", "modality", "--json").out)
    assert told["rows"] >= 99 and "round 2" in told["parts"]["source"]


def test_languages_are_measured_too(wayside: Wayside, here: Path) -> None:
    Path("l.jsonl").write_text('{"text": "Wie geht es dir heute Morgen?", "label": "de"}\n')
    assert json.loads(wayside("eval", "language", "l.jsonl", "--json").out)["accuracy"] == 1.0


def test_an_engine_of_a_configuration_is_measured(wayside: Wayside, mine: Path) -> None:
    Path("more.jsonl").write_text(
        "".join(
            json.dumps({"text": f"{w} {n}", "label": label}) + "\n"
            for w, label in (("who", "needs_fact_check"), ("poem", "no_fact_check_needed"))
            for n in "abcdef"
        )
    )
    assert wayside("train", "fact_check", "more.jsonl", "--epochs", "9").status == 0
    Path("wayside.yaml").write_text(
        "models: {m: {endpoints: ['127.0.0.1:1']}}\n"
        "routing: {default_model: m}\n"
        "engines: {mine: {trained: {file: fact_check.model}}}\n"
    )
    told = wayside(
        "eval", "fact_check", "mine.jsonl", "--engine", "mine", "--config", "wayside.yaml"
    )
    assert told.status == 0, told.err
    assert told.out.startswith("fact_check, by mine: 3 rows")
    wrong = wayside("eval", "fact_check", "mine.jsonl", "--engine", "mime", "-c", "wayside.yaml")
    assert wrong.status == 2 and "did you mean 'mine'?" in wrong.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("fact_chek", "mine.jsonl"), 2, "did you mean 'fact_check'?"),
        (("feedback", "mine.jsonl"), 2, "mine.jsonl:1: label"),
        (("fact_check", "none.jsonl"), 2, "cannot be read"),
        (("fact_check", "mine.jsonl", "--model", "mine.jsonl"), 2, "not a wayside classifier"),
        (("fact_check", "mine.jsonl", "--model", "a", "--engine", "b"), 2, "not both"),
        (("fact_check", "empty.jsonl"), 1, "no rows"),
        (("pii", "mine.jsonl"), 2, "no field 'spans'"),
    ],
)
def test_what_is_wrong_is_said(
    wayside: Wayside, mine: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    Path("empty.jsonl").write_text("\n")
    found = wayside("eval", *words)
    assert (found.status, said in " ".join(found.err.split())) == (status, True), found.err


def test_personal_data_is_measured_by_type(wayside: Wayside, here: Path) -> None:
    Path("p.jsonl").write_text(
        '{"text": "write to ana@example.org today", "spans": [[9, 24, "EMAIL_ADDRESS"]]}\n'
        '{"text": "nothing here", "spans": []}\n'
    )
    told = json.loads(wayside("eval", "pii", "p.jsonl", "--json").out)
    assert told["EMAIL_ADDRESS"] == {"expected": 1, "found": 1, "recall": 1.0, "precision": 1.0}
    assert wayside("eval", "pii", "p.jsonl").out.startswith("2 texts")


def test_bars_are_met_missed_or_not_measured() -> None:
    assert Bar("a", "b", "at least", 0.5, 0.5, "").verdict == "PASS"
    assert Bar("a", "b", "at most", 0.05, 0.06, "").verdict == "MISS"
    assert Bar("a", "b", "at most", 0.05, None, "not held").verdict == "not measured"


def test_bars_without_any_set_are_not_measured_and_say_so(tmp_path: Path) -> None:
    found = list(measured(tmp_path, tmp_path))
    told = [bar for bar in found if bar.figure is not None]
    assert {bar.what for bar in told} <= {"MB of all weights in the wheel"}
    assert all(bar.on for bar in found)


@pytest.mark.slow
def test_bars_print_a_verdict_for_every_area(wayside: Wayside, here: Path) -> None:
    told = json.loads(wayside("eval", "bars", "--data", "none", "--json").out)
    areas = {bar["area"] for bar in told}
    assert areas == {"domain", "calibration", "jailbreak", "personal data", "language", "cache"}
    language = next(bar for bar in told if bar["area"] == "language")
    assert language["verdict"] == "PASS" and language["figure"] >= 0.98
