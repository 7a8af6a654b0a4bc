"""What a command line of ``wayside deploy`` says, and what its commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from wayside.cli import deploy_show as show
from wayside.cli.deploy_intent import Wanted
from wayside.deploy.applying import verify

What = Literal["plan", "apply", "status", "preflight", "verify", "destroy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of a command line."""

    context: str = ""
    kubeconfig: Path | None = None
    as_json: bool = False
    adopt: bool = False
    force: bool = False
    yes: bool = False
    no_wait: bool = False
    with_data: bool = False
    url: str = ""
    token_env: str = ""
    ca_file: str | None = None
    emit: Callable[[Any], None] = show.as_json
    """Where what ``--json`` says goes: of several clusters it is one document."""

    @property
    def printer(self) -> show.Emit | None:
        """``emit`` with ``--json``; ``None`` for people."""
        return self.emit if self.as_json else None


def said(options: Options, held: Any, told: str) -> None:
    """The same for programs, or for people."""
    if options.as_json:
        options.emit(held)
    else:
        click.echo(told)


async def checks(wanted: Wanted, options: Options, door: verify.Door) -> bool:
    """Ask through the front door; whether everything was as it shall be."""
    headers = {}
    if options.token_env:
        token = os.environ.get(options.token_env)
        if not token:
            raise click.ClickException(f"{options.token_env} is not set")
        headers["authorization"] = f"Bearer {token}"
    answers = await verify.verify(
        wanted.entry.target.checks(wanted.intent), door, headers=headers, ca_file=options.ca_file
    )
    show.answers(answers, door.url, emit=options.printer)
    return all(answer.ok for answer in answers)
