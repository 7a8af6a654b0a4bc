"""``wayside envoy``: the Envoy configuration that ``serve --envoy`` runs."""

from __future__ import annotations

from pathlib import Path

import click

from wayside.cli.config import notes
from wayside.cli.files import config_option, load
from wayside.envoy.bootstrap import bootstrap_yaml
from wayside.extproc.supervise import system_ca_file
from wayside.runtime import compile_policy


@click.group("envoy")
def command() -> None:
    """What Wayside tells Envoy."""


@command.command("config", short_help="Print the bootstrap that serve --envoy runs.")
@click.option(
    "--socket",
    default="/run/wayside/extproc.sock",
    show_default=True,
    help="The Unix socket where `wayside extproc --unix` serves.",
)
@config_option
def config(path: Path | None, socket: str) -> None:
    """Print Envoy's bootstrap, generated from the same settings as the router.

    \b
    Example:
      wayside envoy config > envoy.yaml && envoy --mode validate -c envoy.yaml
    """
    loaded = load(path)
    notes(loaded.notes)
    compile_policy(loaded.settings)
    found = bootstrap_yaml(loaded.settings, extproc_socket=socket, ca_file=system_ca_file())
    click.echo(found, nl=False)
