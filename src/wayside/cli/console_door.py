"""``wayside console``: the way in. And what whoever starts a router is told of it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import click

from wayside.cli.exposed import url_here
from wayside.cli.files import config_option, load
from wayside.console import Frame
from wayside.console.folder import state_folder
from wayside.console.sessions import made_at, rotated
from wayside.settings import RouterSettings
from wayside.telemetry import Log
from wayside.vocab.errors import ConfigError


def announce(frame: Frame, base: str, log: Log) -> None:
    """Say where the console is: to a person at a terminal with a token of this run, which no
    log has; else in the log, without one."""
    log.flush()
    for stream in (sys.stderr, sys.stdout):
        if stream is not None and stream.isatty():
            where = f"{base}/console/#token={frame.tokens.fresh()}"
            click.echo(f"\n  Console  {where}\n", file=stream)
            return
    log("console", url=f"{base}/console/")


@click.group("console")
def command() -> None:
    """Where the console is, and tokens to log in with.

    The console is at /console/ of the management listener. `wayside serve` shows its address with
    a token that is good until the router stops, to whoever starts it in a terminal. Where nobody
    saw that, in a pod for example, make one that lasts: wayside console token --rotate
    """


@command.command(
    "url",
    epilog="""\b
Examples:
  wayside console url --config wayside.yaml""",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def url(path: Path | None, as_json: bool) -> None:
    """Print where the console is."""
    found = _address(load(path).settings)
    click.echo(json.dumps({"url": found}) if as_json else found)


@command.command(
    "token",
    epilog="""\b
Examples:
  wayside console token --rotate --config wayside.yaml""",
)
@config_option
@click.option("--rotate", is_flag=True, help="Make a new one; the one before it ends at once.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def token(path: Path | None, rotate: bool, as_json: bool) -> None:
    """A token (role admin) that lasts until the next one is made.

    It is shown once; only its hash is kept, in management.console.folder. Run it as the user that
    the router runs as, with the same configuration file.
    """
    loaded = load(path)
    folder = state_folder(loaded.settings.management.console, loaded.path, os.environ)
    if not rotate:
        made = made_at(folder)
        if as_json:
            click.echo(json.dumps({"made": made}))
            return
        if made is None:
            click.echo("There is none. Make one: wayside console token --rotate")
            return
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(made))
        click.echo(f"There is one, made {when}; only its hash is kept. A new one: --rotate")
        return
    try:
        new = rotated(folder)
    except OSError as error:
        raise ConfigError.one(
            f"cannot be written: {error.strerror}",
            where=str(folder),
            fix="set management.console.folder to a folder that this user may write",
        ) from None
    where = _address(loaded.settings)
    said = json.dumps({"url": where, "token": new}) if as_json else f"{where}#token={new}"
    click.echo(said)


def _address(settings: RouterSettings) -> str:
    rule = settings.management
    if not rule.enabled or not rule.console.enabled:
        raise ConfigError.one(
            "is off", where="management.console.enabled", fix="switch it on, and management"
        )
    return f"{base_of(settings, rule.port)}/console/"


def base_of(settings: RouterSettings, port: int) -> str:
    """Where people reach the management listener that has ``port``."""
    rule = settings.management
    if rule.console.url:
        return rule.console.url
    return url_here(rule, port)
