"""The reference page names every plugin type, every argument and every refusal."""

from __future__ import annotations

from pathlib import Path

from wayside.cli.epp import command
from wayside.epp.refusals import STATUS
from wayside.translate.endpoint_picker_config import read
from wayside.translate.picker_plugins import NOT_DONE, TYPES

from .rig import HEAD, Bench

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "epp.md").read_text()


def test_every_plugin_type_is_named() -> None:
    assert [t for t in (*TYPES, *NOT_DONE) if f"`{t}`" not in PAGE] == []


def test_every_argument_is_named() -> None:
    names = [n for p in command.params for n in p.opts if n.islower() and n.startswith("--")]
    assert [n for n in names if n not in PAGE and n != "--v"] == []


def test_its_configuration_can_be_used() -> None:
    example = next(b for b in PAGE.split("```") if "kind: EndpointPickerConfig" in b)
    assert read(example.removeprefix("yaml\n")).flow is not None


def test_every_status_is_named() -> None:
    told = [code for code in STATUS if code not in ("Unauthorized", "Forbidden", "NotFound")]
    assert [code for code in told if f"`{code} - " not in PAGE] == []


def test_every_metric_is_named() -> None:
    bench = Bench(config=HEAD + "featureGates: [flowControl]")
    names = {m.name for m in bench.registry.declared()}
    names |= {theirs for _, theirs in bench.registry.copies()}
    assert sorted(n for n in names if f"`{n}`" not in PAGE) == []
