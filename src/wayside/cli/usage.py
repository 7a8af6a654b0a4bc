"""``wayside usage``: who asked what, which model answered, what it took and cost."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.files import config_option, find, load
from wayside.maas.ledger import path_of
from wayside.maas.usage import BY, FIGURES, FILTERS, Question, added_up, moment, total
from wayside.vocab.errors import ConfigError

_SHOWN = (
    "requests",
    "refused",
    "failed",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "charged_tokens",
    "cost",
)


def _moment(ctx: click.Context, option: click.Parameter, said: str | None) -> float | None:
    try:
        return None if said is None else moment(said, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


def _filters(function: Any) -> Any:
    for name in reversed(FILTERS):
        function = click.option(f"--{name}", help=f"Only this {name}.")(function)
    return function


@click.command(
    "usage",
    epilog="""\b
Examples:
  wayside usage                                who took how much, ever
  wayside usage --since 24h --by model
  wayside usage --by day,user --user alice --since 30d
  wayside usage --by user --since 2026-08-01 --until 2026-09-01 --csv > august.csv""",
)
@config_option
@click.option("--file", type=click.Path(path_type=Path), help="The ledger itself (usage.db).")
@click.option("--by", default="user", show_default=True, help=f"One or more of {', '.join(BY)}.")
@click.option("--since", callback=_moment, help="24h, 7d, or a date (UTC).")
@click.option("--until", callback=_moment, help="The same; that moment is not included.")
@_filters
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet.")
def command(
    path: Path | None,
    file: Path | None,
    by: str,
    since: float | None,
    until: float | None,
    as_json: bool,
    as_csv: bool,
    **chosen: str | None,
) -> None:
    """Who asked what, which model answered, what it took and cost.

    Reads the ledger of models as a service (maas.usage), while routers write it or after.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    where = {name: value for name, value in chosen.items() if value is not None}
    ledger = file or _of(path)
    try:
        rows = added_up(ledger, Question(by=names, since=since, until=until, where=where))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None
    except OSError as error:
        raise click.ClickException(f"{error}; has a request been made yet?") from None
    except sqlite3.Error as error:
        raise click.ClickException(f"{ledger} cannot be read as a ledger: {error}") from None
    if as_json:
        click.echo(json.dumps({"by": list(names), "usage": rows, "total": total(rows)}, indent=2))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, [*names, *FIGURES, "currency"])
        writer.writeheader()
        writer.writerows([{k: _cell(v) for k, v in row.items()} for row in rows])
    else:
        _show(names, rows)


def _of(config: Path | None) -> Path:
    """The ledger of a configuration."""
    maas = load(config).settings.maas
    if maas is None:
        raise ConfigError.one(
            "has no section maas, so nothing is written of usage",
            where=str(find(config)),
            fix="name the ledger with --file",
        )
    return path_of(maas)


def _cell(value: Any) -> Any:
    """What a spreadsheet would take for a formula is text there."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _show(names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    out = console()
    if not rows:
        out.print("Nothing was asked in that time.")
        return
    table = Table(*names, box=None)
    shown = _SHOWN
    for name in shown:
        table.add_column(name.removesuffix("_tokens"), justify="right")
    for row in rows:
        table.add_row(
            *[escape(str(row[name])) or "-" for name in names], *[_number(row, n) for n in shown]
        )
    together = total(rows)
    if len(rows) > 1:
        table.add_section()
        for row in together:
            table.add_row(*["total", *[""] * (len(names) - 1)], *[_number(row, n) for n in shown])
    out.print(table)


def _number(row: dict[str, Any], name: str) -> str:
    if name == "cost":
        return f"{row[name]:,.6f} {row['currency']}" if row[name] else ""
    return f"{row[name]:,}"
