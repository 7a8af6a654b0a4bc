"""``wayside eval recipe``: does a configuration route its own probes as they say?"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.files import load
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy, probes
from wayside.runtime.experience import Experience
from wayside.runtime.keys import KeyRing
from wayside.settings.load import documents
from wayside.translate.notes import Note
from wayside.vocab.errors import ConfigError

_LOST = (
    (re.compile(r"decision '(.+?)' (.*); the decision is left out"), "{0}"),
    (re.compile(r"algorithm (\S+) is not supported yet.*"), "algorithm:{0}"),
    (re.compile(r"plugin (\S+) is not supported yet.*"), "plugins:{0}"),
)
"""How importers say what they left out, and under what it is looked up."""


@click.command(
    "recipe",
    short_help="Run a recipe's probes: does each prompt lead where it should?",
    epilog="""\b
Examples:
  wayside eval recipe recipes/privacy
  wayside eval recipe recipes/balance --json | jq .summary
  wayside eval recipe . --config wayside.yaml --probes probes.yaml

Ends with status 1 when a probe fails.""",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--config", "config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The configuration.  [default: FOLDER/config.yaml]")  # fmt: skip
@click.option("--probes", "probe_file", type=click.Path(exists=True, dir_okay=False,
              path_type=Path), help="The probes.  [default: FOLDER/probes.yaml]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path,
    config: Path | None,
    probe_file: Path | None,
    as_json: bool,
) -> None:
    """Run the probes of FOLDER against its configuration, and explain every failure.

    Probes are prompts with the decision, model, algorithm, plugins and signals that they ought to
    lead to, in the format of vSR's recipes. Nothing is sent to any model.
    """
    loaded = load(config or folder / "config.yaml")
    settings = loaded.settings
    engines = Engines(settings.engines, KeyRing(os.environ).resolve)
    policy = compile_policy(settings, needs_endpoints=False)
    runtime = Runtime(policy, {**engines.answerers(), **Experience().answerers()})
    path = probe_file or folder / "probes.yaml"
    try:
        found_in_file = documents(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.one(f"cannot be read: {error}", where=str(path)) from None
    asked = probes.read(found_in_file[0], settings.auto_names[0])
    results = asyncio.run(probes.run(asked, runtime, lost(loaded.notes)))
    found = probes.summary(results)
    if as_json:
        everything = {"summary": found, "probes": [probes.plain(r) for r in results]}
        click.echo(json.dumps(everything, indent=2, ensure_ascii=False))
    else:
        show(results, found, console())
    ctx.exit(0 if found["passed"] == found["probes"] else 1)


def lost(notes: Iterable[Note]) -> dict[str, str]:
    """What a translation left out and why: decisions, algorithms and plugins by name."""
    found: dict[str, str] = {}
    for note in notes:
        for pattern, key in _LOST:
            if match := pattern.fullmatch(note.what):
                found.setdefault(key.format(match[1]), note.what)
    return found


def show(results: list[probes.Result], found: dict[str, Any], out: Console) -> None:
    """The results for people: a line a group, then every failure with its reason."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("group", "probes", "passed"):
        table.add_column(column, justify="left" if column == "group" else "right")
    asked = Counter(r.probe.group for r in results)
    passed = Counter(r.probe.group for r in results if r.passed)
    for group, count in asked.items():
        colour = "green" if passed[group] == count else "yellow"
        table.add_row(escape(group), str(count), f"[{colour}]{passed[group]}[/]")
    out.print(table)
    for result in results:
        if result.routed:
            continue
        out.print(f"\n[red]✗[/] [bold]{escape(result.probe.group)}/{escape(result.probe.name)}[/]")
        for f in result.failures:
            out.print(f"  {f.part}: wanted {escape(f.expected)}, got {escape(f.got)}")
            out.print(f"    [dim]{escape(f.why)}[/]")
    lacking = Counter(
        f"{f.part}: {f.why}" for r in results for f in r.failures if f.missing and r.routed
    )
    for why, count in lacking.most_common():
        out.print(f"\n[yellow]~[/] {escape(why)} ({count} probes, all else of which holds)")
    share = found["passed"] / max(1, found["probes"])
    out.print(f"\n{found['passed']} of {found['probes']} probes pass ({share:.0%})")
    routed = found["passed_but_for_what_is_missing"]
    if routed != found["passed"]:
        share = routed / max(1, found["probes"])
        out.print(f"{routed} ({share:.0%}) but for what this release lacks by name")
    parts = ", ".join(f"{p} {n['held']}/{n['asked']}" for p, n in found["parts"].items())
    out.print(f"[dim]by what they expect: {parts}[/]")
