"""Every fuzz target runs, on its corpus and on a few hundred inputs near it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.mutate import inputs
from tests.fuzz.targets import body
from wayside.catalog import catalog
from wayside.dialects import Edit, encode
from wayside.gateway.fields import Fields
from wayside.gateway.head import RequestHead, read_request

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


def _never_break_off(passage: Any, reason: str, *, boundary: bool) -> None:
    """An answer that ends as if it were whole, however it broke."""
    door = passage._door
    door.transport.write(b"0\r\n\r\n")
    door.end(passage.status, reason)
    door.close()


def _longer_path(block: bytes) -> RequestHead:
    head = read_request(block)
    head.path += "x"
    return head


def _without_x(edit: Edit) -> bytes:
    return encode({name: value for name, value in edit.fields.items() if name != "x"})


@pytest.mark.parametrize(
    ("name", "where", "broken"),
    [
        ("sse", "wayside.gateway.passage.Passage._break_off", _never_break_off),
        ("sse", "wayside.gateway.chunks.Chunks.feed", lambda self, piece, at=0: (0, len(piece))),
        ("headers", "wayside.gateway.door.read_request", _longer_path),
        ("headers", "wayside.gateway.fields.is_internal", lambda name: False),
        ("body", "wayside.dialects.Edit.encode", _without_x),
        ("extproc", "wayside.extproc.session.Session.close", lambda self, reason="": None),
        ("extproc", "wayside.extproc.h2._SETTINGS_ACK", b"\0\0\1"),
        ("config", "wayside.settings.load.ConstructorError", KeyError),
        ("usage", "wayside.vocab.usage._count", lambda value: value),
        ("dialects", "wayside.dialects.anthropic_writer.Writer.finish", lambda self: b"half"),
        ("tokens", "wayside.maas.shown.token", lambda headers: " somebody"),
    ],
)
def test_a_target_sees_what_is_broken(
    name: str, where: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = targets.load(name)
    monkeypatch.setattr(where, broken)
    monkeypatch.setattr("wayside.gateway.head._request_fields", Fields())
    found = 0
    for seed in targets.seeds(name):
        try:
            run(seed)
        except Exception:
            found += 1
    assert found


def test_the_watchdog_ends_a_loop() -> None:
    with pytest.raises(targets.Hang), targets.watched():
        while True:
            pass


def test_the_script_and_the_tests_know_the_same_targets() -> None:
    script = (Path(__file__).parents[2] / "scripts" / "fuzz.py").read_text("utf-8")
    found = re.search(r"^NAMES = \((.*?)\)", script, re.MULTILINE | re.DOTALL)
    assert found
    assert tuple(re.findall(r'"(\w+)"', found[1])) == targets.NAMES


def test_the_policy_that_bodies_meet_has_every_signal_and_plugin() -> None:
    routing = body.everything()["routing"]
    assert set(routing["signals"]) == set(catalog.names("signal"))
    used = {name for decision in routing["decisions"] for name in decision.get("plugins", ())}
    assert used == set(catalog.names("plugin"))
