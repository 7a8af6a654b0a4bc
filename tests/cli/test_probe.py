"""``wayside eval recipe``: probes that pass, and why the others do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside

CONFIG = """
models:
  small: {endpoints: ["http://127.0.0.1:8000"]}
  big: {endpoints: ["http://127.0.0.1:8001"]}
routing:
  default_model: small
  signals:
    keyword:
      urgent: {keywords: [urgent, asap]}
      code: {keywords: [python]}
    context: {long: {min_tokens: 200}}
  decisions:
    - {name: hurry, priority: 2, when: "keyword:urgent", models: [big]}
    - {name: coding, priority: 1, when: "keyword:code", models: [big],
       plugins: {system_prompt: {prompt: Be exact.}}}
    - {name: lengthy, when: "context:long", models: [big]}
"""

PROBES = """
schema_version: v1
decisions:
  - id: hurry
    expected_decision: hurry
    expected_algorithm: static
    expected_alias: big
    variants:
      - {id: plain, query: This is urgent., expected_signals: {keywords: [urgent]}}
      - id: code-too
        query: Fix this Python bug asap.
        expected_signals: {keywords: [urgent, code]}
  - id: coding
    expected_decision: coding
    expected_plugins: [system_prompt]
    variants:
      - {id: plain, messages: [{role: user, content: Some Python please.}]}
  - id: long
    expected_decision: lengthy
    variants:
      - {id: repeated, query: word after word, repeat: 200}
  - id: nothing
    variants:
      - {id: default, query: Hello there., expected_alias: small}
"""


@pytest.fixture
def recipe(here: Path) -> Path:
    (here / "config.yaml").write_text(CONFIG)
    (here / "probes.yaml").write_text(PROBES)
    return here


def test_probes_that_all_pass(wayside: Wayside, recipe: Path) -> None:
    done = wayside("eval", "recipe", ".")
    assert done.status == 0, done.out
    assert "5 of 5 probes pass (100%)" in done.out


def failing(wayside: Wayside, recipe: Path, old: str, new: str) -> dict[str, str]:
    """The first failure when the probes say something else."""
    (recipe / "probes.yaml").write_text(PROBES.replace(old, new, 1))
    done = wayside("eval", "recipe", ".", "--json")
    assert done.status == 1, done.out
    told = json.loads(done.out)
    assert told["summary"]["passed"] < told["summary"]["probes"]
    found: dict[str, str] = next(p["failures"][0] for p in told["probes"] if not p["passed"])
    return found


def test_a_decision_that_does_not_hold(wayside: Wayside, recipe: Path) -> None:
    failure = failing(wayside, recipe, "This is urgent.", "This can wait.")
    assert failure["part"] == "decision" and failure["got"] == "none"
    assert failure["why"] == "its rule does not hold: keyword:urgent says no"


def test_a_decision_that_another_comes_before(wayside: Wayside, recipe: Path) -> None:
    failure = failing(wayside, recipe, "Some Python please.", "Urgent Python please.")
    assert failure["got"] == "hurry"
    assert failure["why"] == "it holds, and another that holds comes before it"


def test_a_decision_that_is_not_there(wayside: Wayside, recipe: Path) -> None:
    failure = failing(wayside, recipe, "expected_decision: coding", "expected_decision: codding")
    assert "has no decision 'codding'" in failure["why"]


def test_plugins_models_and_signals_are_checked(wayside: Wayside, recipe: Path) -> None:
    assert failing(wayside, recipe, "[system_prompt]", "[tools]")["why"] == "no plugin tools on it"
    assert failing(wayside, recipe, "alias: small", "alias: big")["got"] == "small"
    failure = failing(wayside, recipe, "keywords: [urgent]}}", "keywords: [code]}}")
    assert failure["expected"] == "keyword:code" and "it says no" in failure["why"]


def test_what_an_importer_left_out_is_the_reason(wayside: Wayside, recipe: Path) -> None:
    (recipe / "config.yaml").write_text("""
version: v0.3
providers:
  defaults: {default_model: m}
  models: [{name: m, backend_refs: [{name: a, endpoint: "h:8000"}]}]
routing:
  modelCards: [{name: m}]
  signals: {keywords: [{name: urgent, operator: OR, keywords: [urgent]}]}
  decisions:
    - name: hurry
      rules: {operator: OR, conditions: [{type: telepathy, name: x}]}
      modelRefs: [{model: m}]
""")
    (recipe / "probes.yaml").write_text(
        "decisions: [{id: a, expected_decision: hurry, variants: [{id: b, query: urgent}]}]"
    )
    told = json.loads(wayside("eval", "recipe", ".", "--json").out)
    why = told["probes"][0]["failures"][0]["why"]
    assert why.startswith("decision 'hurry' needs signal kind telepathy")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("query: This is urgent.", "note: x", "decisions[0].variants[0]: neither query nor"),
        ("repeat: 200", "repeat: lots", "variants[0].repeat: a number of times is expected"),
        ("decisions:", "decision:", "decisions: a list of groups is expected"),
    ],
)
def test_wrong_probes_are_named(
    wayside: Wayside, recipe: Path, old: str, new: str, said: str
) -> None:
    (recipe / "probes.yaml").write_text(PROBES.replace(old, new, 1))
    done = wayside("eval", "recipe", ".")
    assert done.status == 2 and said in done.err
