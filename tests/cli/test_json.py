"""``--json``: every command that tells a script something tells it as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Wayside
from wayside.cli import cli
from wayside.engines.families import FAMILIES

WITHOUT = {
    **dict.fromkeys(
        ("serve", "vllm-router", "extproc", "epp", "operator", "router-controller", "demo"),
        "serves until it is told to stop; its log is JSON lines",
    ),
    "config schema": "prints JSON",
    "envoy config": "prints a file for Envoy, which reads YAML",
    "envoy secrets": "prints a file for Envoy, which reads YAML",
    "config example": "prints a file to start from",
    "deploy init": "prints a file to start from",
    "deploy render": "prints or writes manifests",
    "completion": "prints a script",
    "manpage": "prints a page",
}
"""Commands that have no ``--json``, and why."""


def leaves(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None
        below = click.Context(inner, parent=context, info_name=name)
        words = below.command_path.removeprefix("wayside ")
        if isinstance(inner, click.Group):
            yield from leaves(inner, below)
        if not isinstance(inner, click.Group) or (inner.callback and inner.params):
            yield words, inner


COMMANDS = dict(leaves(cli, click.Context(cli, info_name="wayside")))


def test_every_command_has_it_or_a_reason() -> None:
    assert len(COMMANDS) > 45
    without = {
        words
        for words, command in COMMANDS.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == set(WITHOUT)


@pytest.mark.parametrize(
    "words",
    [
        "config check",
        "config convert",
        "config explain limits",
        "catalog keyword",
        "catalog",
        "models list",
        "models verify no/such",
        "route hello",
        "deploy targets",
        "doctor --timeout 0.1",
    ],
)
def test_what_they_print_is_one_document(example: Path, wayside: Wayside, words: str) -> None:
    said = wayside(*words.split(), "--json")
    assert said.status in (0, 1), said
    assert json.loads(said.out)


def test_what_is_wrong_with_a_configuration_is_data_too(here: Path, wayside: Wayside) -> None:
    (here / "wayside.yaml").write_text("models: {a: {endpoinst: []}}\n")
    said = wayside("config", "check", "--json")
    assert said.status == 2
    (problem,) = json.loads(said.out)["problems"]
    assert problem["where"] == "models.a.endpoinst" and "endpoints" in problem["fix"]


def test_a_configuration_that_can_be_used_is_told_with_its_hints(
    example: Path, wayside: Wayside
) -> None:
    found = json.loads(wayside("config", "check", "--json").out)
    assert found["ok"] and (found["models"], found["decisions"]) == (3, 2)
    assert any("OPENAI_API_KEY is not set here" in hint for hint in found["hints"])


def test_what_an_import_lost_is_told_as_data(here: Path, wayside: Wayside) -> None:
    (here / "old.yaml").write_text("static_backends: http://a:1\nstatic_models: m\nlog_statz: 1\n")
    said = wayside("config", "check", "old.yaml", "--json", "--strict")
    found = json.loads(said.out)
    assert said.status == 1 and found["format"] == "production_stack"
    assert [note["path"] for note in found["notes"]] == ["log_statz"]
    assert set(found["notes"][0]) == {"path", "what", "severity"}


def test_there_are_families_to_evaluate() -> None:
    assert {f"eval {name}" for name in FAMILIES} <= set(COMMANDS)
