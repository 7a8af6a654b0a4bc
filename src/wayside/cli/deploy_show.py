"""Plans, progress and findings, for people on a terminal, in a pipe, and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.status import Status as Wheel

from wayside.deploy.applying.plan import Plan, Planned
from wayside.deploy.applying.preflight import Finding
from wayside.deploy.applying.status import Status
from wayside.deploy.applying.verify import Answer

_SIGNS = {
    "create": ("+", "green"), "created": ("+", "green"),
    "change": ("~", "yellow"), "changed": ("~", "yellow"),
    "delete": ("-", "red"), "deleted": ("-", "red"),
    "same": (" ", None), "unchanged": (" ", None),
    "keep": (".", None), "kept": (".", None),
    "foreign": ("!", "red"), "conflict": ("!", "red"), "refused": ("!", "red"),
}  # fmt: skip


Emit = Callable[[Any], None]
"""What ``--json`` is told, instead of people."""


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=1))


class Progress:
    """A line for everything that happens, as it happens; on a terminal something moves while
    there is nothing to do but wait."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._wheel: Wheel | None = None
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self._still)

    def _still(self) -> None:
        if self._wheel is not None:
            self._wheel.stop()
            self._wheel = None

    def tell(self, what: str, about: str) -> None:
        """Such as ``created``, ``Service models/vllm-a``."""
        if self._quiet:
            return
        self._still()
        if what == "step":
            click.secho(about, bold=True)
        elif what == "waiting":
            click.secho(f"  ... {about}", dim=True)
            out = Console(stderr=True)
            if out.is_terminal:
                self._wheel = out.status("waiting")
                self._wheel.start()
        elif what == "note":
            click.secho(f"  note: {about}", fg="cyan")
        else:
            sign, colour = _SIGNS[what]
            click.secho(f"  {sign} {about}", fg=colour, dim=what == "unchanged")


def plan(made: Plan, needs: Sequence[Finding], *, emit: Emit | None, err: bool = False) -> None:
    """What would happen; on standard error with ``err``."""
    if emit is not None:
        listed = [_planned(one) for one in made]
        found = {"changed": made.changed, "pending": made.pending, "objects": listed}
        emit({**found, "needs": [asdict(n) for n in needs]})
        return
    for need in needs:
        if need.state != "met":
            _finding(need, err)
    for step in made.steps:
        click.secho(step.title, bold=True, err=err)
        for one in step.planned:
            sign, colour = _SIGNS[one.action]
            why = f": {one.why}" if one.why else ""
            click.secho(f"  {sign} {one}{why}", fg=colour, dim=one.action == "same", err=err)
            for change in one.changes:
                for line in change.lines():
                    click.secho(f"      {line}", fg=_colour(line), err=err)
        for note in step.notes:
            click.secho(f"  note: {note}", fg="cyan", err=err)
    if made.pending:
        click.echo("then more, which is not known before that:", err=err)
        click.echo(f"  {made.pending}", err=err)
    counts = [
        f"{sum(1 for one in made if one.action in actions)} {told}"
        for told, actions in (
            ("to create", ("create",)),
            ("to change", ("change",)),
            ("to delete", ("delete",)),
            ("in the way", ("foreign", "conflict", "refused")),
            ("unchanged", ("same",)),
        )
    ]
    click.echo(", ".join(counts), err=err)


def _planned(one: Planned) -> dict[str, Any]:
    return {
        "object": str(one),
        "action": one.action,
        "why": one.why,
        "changes": [asdict(change) for change in one.changes],
    }


def _colour(line: str) -> str | None:
    return {"+": "green", "-": "red", "~": "yellow"}.get(line.lstrip()[:1])


def findings(found: Sequence[Finding], *, emit: Emit | None) -> None:
    """What a cluster has to have."""
    if emit is not None:
        emit([asdict(one) for one in found])
        return
    for one in found:
        _finding(one, False)
    if not found:
        click.echo("nothing is needed")


def _finding(one: Finding, err: bool) -> None:
    sign, colour = {
        "met": ("ok     ", "green"),
        "lacking": ("lacking", "red" if one.level == "error" else "yellow"),
        "unknown": ("unknown", "yellow"),
    }[one.state]
    click.secho(sign, fg=colour, nl=False, err=err)
    about = "; ".join(part for part in (one.why, one.fix) if part)
    click.echo(f" {one.what}{': ' + about if about else ''}", err=err)


def status(found: Status, *, emit: Emit | None) -> None:
    """How a deployment fares."""
    if emit is not None:
        emit({**asdict(found), "well": found.well})
        return
    click.secho(f"{found.namespace}/{found.name}, target {found.target}", bold=True)
    width = max((len(row.what) for row in found.rows), default=0)
    for row in found.rows:
        click.secho(f"  {row.what:<{width}}  ", nl=False)
        click.secho(f"{row.state:<9}", fg="green" if row.well else "red", nl=False)
        click.echo(row.detail)


def answers(found: Sequence[Answer], url: str, *, emit: Emit | None) -> None:
    """What became of checks."""
    if emit is not None:
        emit({"url": url, "checks": [asdict(one) for one in found]})
        return
    click.secho(url, bold=True)
    for one in found:
        click.secho("  ok  " if one.ok else "  fail", fg="green" if one.ok else "red", nl=False)
        click.echo(f" {one.title}: {one.detail}")
