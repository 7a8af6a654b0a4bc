"""``wayside envoy``: the Envoy configuration that ``serve --envoy`` runs."""

from __future__ import annotations

from pathlib import Path

import click

from wayside.cli.beside import HOST_PORT
from wayside.cli.config import notes
from wayside.cli.files import config_option, load
from wayside.envoy.bootstrap import bootstrap_yaml
from wayside.envoy.bootstrap import secrets as secret_files
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
    metavar="FOLDER",
    default="",
    help="Where Envoy will find what `wayside envoy secrets` writes, if it speaks TLS.",
)
@config_option
def config(path: Path | None, socket: str, routers: tuple[Address, ...], secrets: str) -> None:
    """Print Envoy's bootstrap, generated from the same settings as the router.

    \b
    Examples:
      wayside envoy config > envoy.yaml && envoy --mode validate -c envoy.yaml
      wayside envoy config --router router:50051 --secrets /etc/envoy
    """
    loaded = load(path)
    notes(loaded.notes)
    compile_policy(loaded.settings)
    found = bootstrap_yaml(
        loaded.settings,
        extproc_socket=() if routers else socket,
        routers=routers,
        ca_file=system_ca_file(),
        secrets_folder=secrets,
    )
    click.echo(found, nl=False)


@command.command("secrets", short_help="Write which certificates Envoy reads, and where.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@config_option
def secrets(path: Path | None, folder: Path) -> None:
    """Write into FOLDER which certificates Envoy reads: `listen.tls`, and `envoy.router_tls`.

    The files name others and hold no key. Envoy reads those again when they are renewed.

    \b
    Example:
      wayside envoy secrets /etc/envoy
    """
    loaded = load(path)
    notes(loaded.notes)
    found = secret_files(loaded.settings, routers=True)
    if not found:
        raise click.ClickException("Envoy speaks no TLS here: listen.tls and envoy.router_tls")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in found.items():
            (folder / name).write_text(text)
            click.echo(folder / name)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
