"""``wayside catalog``: what can be plugged in."""

from __future__ import annotations

import json
from typing import get_args

import click
from rich.table import Table

import wayside.runtime  # noqa: F401 - discovers every kind
from wayside.catalog import Family, catalog
from wayside.cli.console import console
from wayside.settings.problems import suggest


@click.command("catalog")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def command(name: str | None, as_json: bool) -> None:
    """List signals, selection algorithms and plugins, or show one with its settings.

    \b
    Examples:
      wayside catalog
      wayside catalog keyword
    """
    kinds = [k for family in get_args(Family) for k in catalog.family(family)]
    if name:
        chosen = [k for k in kinds if name in (k.name, f"{k.family}:{k.name}")]
        if not chosen:
            fix = suggest(name, [k.name for k in kinds], "kinds")
            raise click.ClickException(f"no kind {name!r}; {fix}")
        kinds = chosen
    if as_json:
        found = [
            {
                "family": k.family,
                "name": k.name,
                "summary": k.summary,
                "stability": k.stability,
                "schema": k.settings.model_json_schema(),
            }
            for k in kinds
        ]
        click.echo(json.dumps(found, indent=2))
        return
    out = console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("family", "name", "stability", "what it does"):
        table.add_column(column)
    for k in kinds:
        table.add_row(k.family, f"[bold]{k.name}[/]", k.stability, k.summary)
    out.print(table)
    if name:
        for k in kinds:
            example = (k.settings.__doc__ or "").strip()
            out.print(f"\n{example}", highlight=False, markup=False)
            for key, field in k.settings.model_fields.items():
                default = "required" if field.is_required() else f"default {field.default!r}"
                out.print(
                    f"  {key}: {field.description or ''} ({default})",
                    highlight=False,
                    markup=False,
                )
