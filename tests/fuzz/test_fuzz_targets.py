"""Every fuzz target runs, on its corpus and on a few hundred inputs near it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.mutate import inputs
from tests.fuzz.targets import body
from wayside.catalog import catalog

EXAMPLES = {"config": 60, "extproc": 250}
"""So many that a target takes a second or two; elsewhere 400."""

every_target = pytest.mark.parametrize("name", targets.NAMES)


@every_target
def test_the_corpus_finds_nothing(name: str) -> None:
    run = targets.load(name)
    assert targets.seeds(name), f"give tests/fuzz/corpus/{name} a first input"
    for seed in targets.seeds(name):
        run(seed)


@every_target
def test_inputs_near_the_corpus_find_nothing(name: str) -> None:
    run = targets.load(name)

    @settings(
        max_examples=EXAMPLES.get(name, 400),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def once(data: st.DataObject) -> None:
        run(data.draw(inputs(name)))

    once()


def test_the_watchdog_ends_a_loop() -> None:
    with pytest.raises(targets.Hang), targets.watched():
        while True:
            pass


def test_the_script_and_the_tests_know_the_same_targets() -> None:
    script = (Path(__file__).parents[2] / "scripts" / "fuzz.py").read_text("utf-8")
    found = re.search(r"^NAMES = \((.*)\)", script, re.MULTILINE)
    assert found
    assert tuple(re.findall(r'"(\w+)"', found[1])) == targets.NAMES


def test_the_policy_that_bodies_meet_has_every_signal_and_plugin() -> None:
    for family in ("signal", "plugin"):
        for name in catalog.names(family):
            assert f"{name}:" in body.POLICY, f"add {family} {name} to tests/fuzz/targets/body.py"
