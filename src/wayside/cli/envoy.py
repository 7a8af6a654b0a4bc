"""``wayside envoy``: the Envoy configuration that ``serve --envoy`` runs."""

from __future__ import annotations

from pathlib import Path

import click

from wayside.cli.beside import HOST_PORT
from wayside.cli.config import notes
from wayside.cli.files import config_option, load
from wayside.envoy.bootstrap import bootstrap_yaml, secrets_yaml
from wayside.extproc.supervise import system_ca_file
from wayside.runtime import compile_policy
from wayside.settings.address import Address


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
@click.option(
    "--router",
    "routers",
    type=HOST_PORT,
    multiple=True,
    metavar="HOST:PORT",
    help="Where `wayside extproc --listen` serves instead, in other pods or on other machines; "
    "reached by TLS where envoy.router_tls says how.",
)
@click.option(
    "--secrets",
    metavar="PATH",
    default="",
    help="Where Envoy will find what `wayside envoy secrets` prints, if it speaks TLS.",
)
@config_option
def config(path: Path | None, socket: str, routers: tuple[Address, ...], secrets: str) -> None:
    """Print Envoy's bootstrap, generated from the same settings as the router.

    \b
    Examples:
      wayside envoy config > envoy.yaml && envoy --mode validate -c envoy.yaml
      wayside envoy config --router router:50051 --secrets /etc/envoy/secrets.yaml
    """
    loaded = load(path)
    notes(loaded.notes)
    compile_policy(loaded.settings)
    found = bootstrap_yaml(
        loaded.settings,
        extproc_socket=() if routers else socket,
        routers=routers,
        ca_file=system_ca_file(),
        secrets_file=secrets,
    )
    click.echo(found, nl=False)


@command.command("secrets", short_help="Print which certificates Envoy reads, and where.")
@config_option
def secrets(path: Path | None) -> None:
    """Print Envoy's list of certificates: those of `listen.tls`, and those of `envoy.router_tls`.

    It names files and holds no key. Envoy reads the files again when they are renewed.

    \b
    Example:
      wayside envoy secrets > /etc/envoy/secrets.yaml
    """
    loaded = load(path)
    notes(loaded.notes)
    click.echo(secrets_yaml(loaded.settings, routers=True), nl=False)
