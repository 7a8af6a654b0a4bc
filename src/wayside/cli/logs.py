"""``wayside logs``: read, follow and filter the log that a router writes."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from wayside.cli.files import FILE, config_option, load
from wayside.cli.log_lines import (
    Line,
    Wanted,
    followed,
    lines,
    parse,
    readable,
    since,
    statuses,
    whole_file,
)
from wayside.vocab.errors import ConfigError

LOOK_S = 0.25
"""Between two looks at a file that is followed."""
LATEST = 64 << 20
"""Bytes at the end of a file that is followed, in which its last lines are looked for."""


class _Parsed(click.ParamType[Any]):
    """An option that a function reads, whose ``ValueError`` is told."""

    def __init__(self, name: str, reads: Callable[[str], Any]) -> None:
        self.name, self._reads = name, reads

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> Any:
        try:
            return self._reads(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    "logs",
    short_help="Read, follow and filter a router's log.",
    epilog="""\b
Examples:
  wayside logs access.log -f
  wayside logs access.log.1.gz access.log --status 5xx --since 2h
  wayside serve 2>&1 | wayside logs --model coder
  kubectl logs deploy/router | wayside logs --decision programming --json | jq .total_ms""",
)
@click.argument("files", nargs=-1, type=FILE)
@click.option("-f", "--follow", is_flag=True, help="Go on as the last file grows or is rotated.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(0, 1_000_000),
    help="Only the last so many.  [default: 10 with --follow, else all]",
)
@click.option("--model", multiple=True, help="Chosen, asked for or given up on; may be repeated.")
@click.option("--decision", multiple=True, help="Of this decision; may be repeated.")
@click.option("--event", multiple=True, help="Only this event, such as request or reloaded.")
@click.option("--status", type=_Parsed("status", statuses), help="404, 5xx, >=400.")
@click.option(
    "--level", type=click.Choice(["debug", "info", "warning", "error"]), help="And above."
)
@click.option("--text", default="", help="Lines in which this stands.")
@click.option(
    "--since",
    "after",
    type=_Parsed("time", lambda text: since(text, time.time())),
    help="30m, 2h, 7d ago, or a time: 2026-01-31T12:00Z.",
)
@click.option("--json", "as_json", is_flag=True, help="The lines as they are, for scripts.")
@config_option
def command(
    files: tuple[Path, ...],
    follow: bool,
    count: int | None,
    model: tuple[str, ...],
    decision: tuple[str, ...],
    event: tuple[str, ...],
    status: Callable[[int], bool] | None,
    level: str | None,
    text: str,
    after: float | None,
    as_json: bool,
    path: Path | None,
) -> None:
    """Read a router's log: requests and events, in colour on a terminal.

    FILES are the log's file (`log.access`) and those it was rotated to, packed or not; `-` or a
    pipe is standard input. Without any, the file that the configuration names.

    Lines that no router wrote are shown as they are unless a filter asks for a field; with --json
    they are left out, and counted at the end.
    """
    wanted = Wanted(model, decision, event, status, level or "", text, after)
    shown = Shown(wanted, as_json=as_json)
    found = files or _configured(path)
    if found == (Path("-"),):
        shown.all(map(parse, lines(sys.stdin.buffer)), count)
    else:
        if Path("-") in found:
            raise click.UsageError("standard input is read alone, not beside files")
        *older, newest = found
        _files(shown, older, newest, follow=follow, count=count)
    shown.end()


def _configured(path: Path | None) -> tuple[Path, ...]:
    """Standard input where something is piped in, else the file that the settings name."""
    if path is None and not sys.stdin.isatty():
        return (Path("-"),)
    fix = "pipe it (`wayside serve 2>&1 | wayside logs`), or set log.access to a file"
    try:
        access = load(path).settings.log.access
    except ConfigError as error:
        raise click.UsageError(f"no log is named, and {error}; name a file, or {fix}") from None
    if access in ("-", "off"):
        said = "goes to standard error" if access == "-" else "is off"
        raise click.UsageError(f"the log {said} (log.access: {access}); {fix}")
    return (Path(access),)


def _files(
    shown: Shown, older: Iterable[Path], newest: Path, *, follow: bool, count: int | None
) -> None:
    def before() -> Iterator[Line]:
        for file in older:
            yield from map(parse, _read(file))
        if not follow:
            yield from map(parse, _read(newest))

    if not follow:
        shown.all(before(), count)
        return
    if newest.suffix == ".gz":
        raise click.UsageError(f"{newest} is packed and does not grow; leave --follow out")
    kept: deque[Line] | None = deque(filter(shown.wants, before()), 10 if count is None else count)
    for raw in followed(newest, _again, latest=LATEST):
        if raw is None:  # everything there was has been read
            for line in kept or ():
                shown.print(line)
            kept = None
            sys.stdout.flush()
        elif shown.wants(line := parse(raw)):
            if kept is None:
                shown.print(line)
            else:
                kept.append(line)


def _again() -> bool:
    time.sleep(LOOK_S)
    return True


def _read(file: Path) -> Iterator[bytes]:
    try:
        yield from whole_file(file)
    except EOFError:
        return  # a packed file that is still being written
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from None


class Shown:
    """Prints the lines that are wanted."""

    def __init__(self, wanted: Wanted, *, as_json: bool) -> None:
        self._wanted, self._json = wanted, as_json
        self._left_out = 0

    def all(self, found: Iterable[Line], count: int | None) -> None:
        """All of them, or the last ``count`` that are wanted."""
        taken = filter(self.wants, found)
        for line in taken if count is None else deque(taken, count):
            self.print(line)

    def wants(self, line: Line) -> bool:
        """Whether it is to be printed. Scripts get events alone."""
        if not self._wanted.takes(line):
            return False
        if self._json and line.fields is None:
            self._left_out += 1
            return False
        return True

    def print(self, line: Line) -> None:
        click.echo(line.text if self._json else readable(line, click.style))

    def end(self) -> None:
        if self._left_out:
            told = "1 line was" if self._left_out == 1 else f"{self._left_out} lines were"
            click.echo(f"{told} not a router's, and left out", err=True)
