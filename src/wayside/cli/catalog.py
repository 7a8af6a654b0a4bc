"""``wayside catalog``: what can be plugged in."""

from __future__ import annotations

import json
from typing import Any, get_args

import click
from rich.table import Table

import wayside.runtime  # noqa: F401 - discovers every kind
from wayside.catalog import Family, Kind, catalog
from wayside.cli.console import console, escape
from wayside.settings import RouterSettings
from wayside.settings.problems import suggest
from wayside.settings.schema import full_schema, type_text


@click.command("catalog")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def command(name: str | None, as_json: bool) -> None:
    """List signals, selection algorithms and plugins, or show one with its settings.

    \b
    Examples:
      wayside catalog
      wayside catalog keyword
      wayside catalog plugin:system_prompt --json
    """
    kinds = [k for family in get_args(Family) for k in catalog.family(family)]
    if name:
        chosen = [k for k in kinds if name in (k.name, f"{k.family}:{k.name}")]
        if not chosen:
            fix = suggest(name, [k.name for k in kinds], "kinds")
            raise click.ClickException(f"no kind {name!r}; {fix}")
        kinds = chosen
    if as_json:
        click.echo(json.dumps([plain(kind) for kind in kinds], indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("family", "name", "stability", "what it does"):
        table.add_column(column)
    for k in kinds:
        table.add_row(k.family, f"[bold]{escape(k.name)}[/]", k.stability, escape(k.summary))
    console().print(table)
    if name:
        for kind in kinds:
            show(kind)
    else:
        click.echo("\n`wayside catalog NAME` shows the settings of one.")


def plain(kind: Kind) -> dict[str, Any]:
    """A kind as data."""
    return {
        "family": kind.family,
        "name": kind.name,
        "summary": kind.summary,
        "stability": kind.stability,
        "schema": kind.settings.model_json_schema(),
    }


def show(kind: Kind) -> None:
    """The settings of one kind, with the example from its docstring."""
    about = (kind.settings.__doc__ or "").replace("``", "").strip()
    click.echo(f"\n{about}" if about else "")
    root = full_schema(RouterSettings, catalog)
    definition = root["$defs"][f"{kind.family}.{kind.name}"]
    properties = definition.get("properties", {})
    width = max(map(len, properties), default=0)
    for key, prop in properties.items():
        facts = [type_text(prop, root).replace("`", "")]
        if key in definition.get("required", ()):
            facts.append("required")
        elif prop.get("default") is not None:
            facts.append(f"default {json.dumps(prop['default'], ensure_ascii=False)}")
        text = prop.get("description", "").replace("``", "").replace("\n", " ")
        click.echo(f"  {key:{width}}  {text} ({'; '.join(facts)})".replace("  (", " ("))
