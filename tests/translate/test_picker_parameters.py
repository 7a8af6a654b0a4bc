"""No parameter of any plugin is taken for something else: what is wrong is told with its path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from wayside.fleet.picking import profile
from wayside.translate.endpoint_picker_config import GROUP, KIND, read
from wayside.translate.picker_params import Params
from wayside.translate.picker_plugins import TYPES
from wayside.vocab.errors import ConfigError

WRONG: list[Any] = [{"wrong": 1}, [["wrong"]], -1.5]
"""Of no type that a parameter has, or out of all bounds."""
PROFILES = {"schedulingProfiles": [{"name": "decode"}, {"name": "prefill"}]}


class Asked(Params):
    """Remembers what it was asked for."""

    names_asked: list[tuple[str, str]]

    def raw(self, name: str) -> Any:
        self.names_asked.append((self.path, name))
        return super().raw(name)

    def unneeded(self, names: tuple[str, ...], why: str) -> None:
        self.names_asked += [(self.path, name) for name in names]
        super().unneeded(names, why)

    def missing(self, names: tuple[str, ...], why: str) -> None:
        self.names_asked += [(self.path, name) for name in names]
        super().missing(names, why)

    def inner(self, name: str) -> Params:
        found = Asked(self.raw(name), self.at(name), self.problems, self.notes)
        found.names_asked = self.names_asked
        return found


def parameters() -> Iterator[tuple[str, str]]:
    """Every plugin's type with the path of each of its parameters."""
    for type_, make in TYPES.items():
        asked = Asked({}, "", [], [])
        asked.names_asked = []
        make(asked)
        for path, name in sorted(set(asked.names_asked)):
            yield type_, f"{path}.{name}".lstrip(".")


def told(document: dict[str, Any]) -> list[str]:
    """The paths of all that is wrong, or noted."""
    try:
        config = read(json.dumps({"apiVersion": GROUP, "kind": KIND, **document}))
        for name, settings in config.profiles.items():
            profile(settings, name)
    except ConfigError as error:
        return [problem.where for problem in error.problems]
    return [note.path for note in config.notes]


@pytest.mark.parametrize(("type_", "path"), sorted(parameters()))
def test_a_wrong_type_is_told_with_its_path(type_: str, path: str) -> None:
    for wrong in WRONG:
        value: Any = wrong
        for name in reversed(path.split(".")):
            value = {name: value}
        more = PROFILES if TYPES[type_] in (TYPES["disagg-profile-handler"],) else {}
        found = told({"plugins": [{"type": type_, "parameters": value}], **more})
        assert [w for w in found if w.startswith(f"plugins[0].parameters.{path}")], (wrong, found)


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        ("by-label", {"validValues": ["a"]}, "label"),
        ("by-label", {"label": "a"}, "validValues"),
        ("by-label-selector", {}, "matchLabels"),
        ("by-label-selector", {"matchLabels": {"a": 1}}, "matchLabels.a"),
        (
            "by-label-selector",
            {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]},
            "matchExpressions[0].operator",
        ),
        (
            "by-label-selector",
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            "matchExpressions[0].values",
        ),
        (
            "by-label-selector",
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "matchExpressions[0].values",
        ),
        ("session-affinity-scorer", {"headerName": "no header"}, "headerName"),
        (
            "session-affinity-scorer",
            {"strategy": "session_id", "sources": [{"header": "no header"}]},
            "sources[0].header",
        ),
        ("topology-affinity-scorer", {"header": "a:b"}, "header"),
        ("header-profile-handler", {"headerName": ""}, "headerName"),
        (
            "precise-prefix-cache-scorer",
            {"kvEventsConfig": {"zmqEndpoint": "somewhere", "discoverPods": False}},
            "kvEventsConfig.zmqEndpoint",
        ),
        (
            "precise-prefix-cache-scorer",
            {"kvEventsConfig": {"podDiscoveryConfig": {"socketPort": 70000}}},
            "kvEventsConfig.podDiscoveryConfig.socketPort",
        ),
        ("data-parallel-profile-handler", {"primaryPort": 70000}, "primaryPort"),
    ],
)
def test_what_cannot_be_is_told_with_its_path(type_: str, value: Any, path: str) -> None:
    found = told({"plugins": [{"type": type_, "parameters": value}]})
    assert f"plugins[0].parameters.{path}" in found


def test_good_header_names_are_taken_in_lower_case() -> None:
    plugin = {"type": "session-affinity-scorer", "parameters": {"headerName": "X-My-Session"}}
    text = json.dumps({"apiVersion": GROUP, "kind": KIND, "plugins": [plugin]})
    (use,) = read(text).profiles["default"].scorers
    assert use.settings == {"sources": [{"token": "x-my-session"}]}
