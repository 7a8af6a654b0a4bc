"""``wayside catalog`` and ``wayside eval``: what is built in, and how good it is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from tests.cli.conftest import Wayside
from wayside.catalog import Family, catalog
from wayside.cli import catalog as command

ROWS = [("what is 7 times 8?", "math"), ("Why does my Python loop never end?", "computer science")]
GOOD = "".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in ROWS)


def test_everything_that_can_be_plugged_in_is_listed(wayside: Wayside) -> None:
    said = wayside("catalog")
    assert said.status == 0
    for family in get_args(Family):
        for kind in catalog.family(family):
            assert kind.name in said.out and kind.summary in said.out


@pytest.mark.parametrize("name", ["keyword", "signal:keyword"])
def test_one_is_shown_with_its_settings(wayside: Wayside, name: str) -> None:
    said = wayside("catalog", name)
    assert "Example: {keywords: [derivative" in said.out
    assert (
        "(list of text; required)" in said.out and '(AND or OR or NOR; default "OR")' in said.out
    )
    assert "PydanticUndefined" not in said.out and "``" not in said.out


def test_every_kind_can_be_shown(wayside: Wayside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "full_schema", cache(command.full_schema))  # 0.2 s each time
    for family in get_args(Family):
        for kind in catalog.family(family):
            assert wayside("catalog", f"{family}:{kind.name}").status == 0


def test_json_holds_the_schemas(wayside: Wayside) -> None:
    found = json.loads(wayside("catalog", "--json").out)
    assert {k["family"] for k in found} == set(get_args(Family))
    assert all(k["schema"]["type"] == "object" for k in found)


def test_an_unknown_kind_is_answered_with_the_nearest(wayside: Wayside) -> None:
    said = wayside("catalog", "keywrd")
    assert said.status == 1 and "no kind 'keywrd'; did you mean 'keyword'?" in said.err


def test_the_domain_model_is_measured(wayside: Wayside, here: Path) -> None:
    (here / "rows.jsonl").write_text(GOOD + "\n")
    said = wayside("eval", "domain", "rows.jsonl")
    assert said.status == 0 and said.out.startswith("domain: 2 rows, accuracy ")
    found = json.loads(wayside("eval", "domain", "rows.jsonl", "rows.jsonl", "--json").out)
    assert found["rows"] == 4 and found["labels"]["math"]["support"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "{\n", "rows.jsonl:3: "),
        (GOOD + "[]\n", "rows.jsonl:3: "),
        (GOOD + '{"text": "x"}\n', "rows.jsonl:3: no field 'label'"),
        ('{"text": "x", "label": "maths"}\n', "rows.jsonl:1: label: no label 'maths'; did you"),
    ],
)
def test_a_bad_line_is_named(wayside: Wayside, here: Path, text: str, says: str) -> None:
    (here / "rows.jsonl").write_text(text)
    said = wayside("eval", "domain", "rows.jsonl")
    assert said.status == 2 and said.out == ""
    assert says in said.err


def test_a_file_without_rows_is_told(wayside: Wayside, here: Path) -> None:
    (here / "rows.jsonl").write_text("\n\n")
    said = wayside("eval", "domain", "rows.jsonl")
    assert said.status == 1 and "no rows" in said.err


def test_a_file_that_holds_no_model_is_refused(wayside: Wayside, here: Path) -> None:
    (here / "rows.jsonl").write_text(GOOD)
    said = wayside("eval", "domain", "rows.jsonl", "--model", "rows.jsonl")
    assert said.status == 2 and "--model: rows.jsonl is not a wayside classifier" in said.err
    assert wayside("eval", "domain", "nothing.jsonl").status == 2


def test_sim_takes_its_settings_from_one_place(wayside: Wayside, here: Path) -> None:
    (here / "sim.yaml").write_text("servers: [{models: [{name: a}]}]\n")
    said = wayside("sim", "--config", "sim.yaml", "--port", "9", "--fault", "close=1")
    assert said.status == 2
    assert "leave out --fault, --port, or put it into sim.yaml" in said.err or (
        "leave out --port, --fault, or put it into sim.yaml" in said.err
    )
