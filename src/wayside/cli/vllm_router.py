"""``wayside vllm-router``: takes over from production-stack's router, command line and all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import uvloop
import yaml
from pydantic import ValidationError

from wayside import __version__
from wayside.cli.app import App
from wayside.cli.config import notes as show_notes
from wayside.cli.files import Loaded
from wayside.cli.registry import app_of
from wayside.cli.serve import meanwhile, serve_app
from wayside.settings import RouterSettings
from wayside.settings.load import documents, fill
from wayside.settings.problems import problems_from
from wayside.translate import grouped
from wayside.translate.notes import Translation
from wayside.translate.production_stack_args import (
    ARGUMENTS,
    DYNAMIC,
    named,
    parsed,
    settings_of,
    together,
)
from wayside.vocab.errors import ConfigError

_OURS = ("--print-config", "--help", "--version")


class _Help(click.Command):
    """Arguments are the other program's own, so click does not read them; it shows them."""

    def make_parser(self, ctx: click.Context) -> Any:
        parser = super().make_parser(ctx)
        parser.ignore_unknown_options = True
        return parser

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in dict.fromkeys(argument.group for argument in ARGUMENTS):
            with formatter.section(group):
                formatter.write_dl(
                    [
                        (
                            f"--{a.name}" + ("" if a.kind == "flag" else f" {a.kind.upper()}"),
                            a.help,
                        )
                        for a in ARGUMENTS
                        if a.group == group
                    ]
                )
        with formatter.section("Of our own"):
            formatter.write_dl(
                [
                    ("--print-config", "Print what it becomes, and serve nothing."),
                    ("--version", "Print ours."),
                    ("--help", "Print this."),
                ]
            )


@click.command(
    "vllm-router",
    cls=_Help,
    add_help_option=False,
    epilog="""\b
Examples:
  wayside vllm-router --service-discovery static --routing-logic roundrobin \\
    --static-backends http://a:8000,http://b:8000 --static-models llama,llama
  wayside vllm-router --print-config ... > wayside.yaml    (then: wayside serve)""",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Serve in the place of production-stack's vllm_router, with its arguments.

    Put `wayside` before `vllm-router` in the command that starts it. Every argument works as
    written, or is refused with what to use instead; what differs is said at the start. There is
    one port, with /health, /engines, /metrics and the rest of it beside /v1.
    """
    ours = [word for word in words if word in _OURS or word == "-h"]
    if "--help" in ours or "-h" in ours:
        click.echo(ctx.get_help())
        return
    if "--version" in ours:
        click.echo(__version__)
        return
    given = parsed([word for word in words if word not in ours])
    source = Source(given)
    loaded = source.loaded(source.text())
    if ours:
        for line in grouped(loaded.notes):
            click.echo(f"# {line}")
        document = source.translated(loaded.text).settings
        click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
        return
    show_notes(loaded.notes)
    uvloop.run(_serve(source, loaded))


async def _serve(source: Source, loaded: Loaded) -> None:
    def make(loaded: Loaded, **more: Any) -> App:
        return App(loaded, **{"read": source.loaded, **more})

    def base(text: bytes) -> tuple[Translation, None]:
        return source.translated(text), None

    places = meanwhile(loaded.settings, "listen", "management")
    async with app_of(loaded, make, base=base, meanwhile=places) as (app, followed):
        await serve_app(app, watches=bool(source.path) and not followed)


class Source:
    """A command line with its files. The dynamic one is read again whenever it changes."""

    def __init__(self, given: Mapping[str, Any], env: Mapping[str, str] | None = None) -> None:
        self._given = given
        self._env = os.environ if env is None else env
        self._config = _file(given, "config")
        if named(self._config).get("config"):
            where = f"{given['config']}: config"
            raise ConfigError.one("names another file", where=where, fix="write it all in one")
        said = named({**self._config, **given})
        self.path = next((str(said[key]) for key in DYNAMIC if said.get(key)), "")
        self._external = _file(said, "external_providers_config")

    def text(self) -> bytes:
        """What the dynamic configuration holds now; nothing where there is none."""
        return _content(self.path) if self.path else b""

    def translated(self, text: bytes) -> Translation:
        dynamic = _one(text, self.path) if text.strip() else {}
        return settings_of(together(self._given, self._config, dynamic, self._external))

    def loaded(self, text: bytes) -> Loaded:
        """The settings with this text as the dynamic configuration."""
        found = self.translated(text)
        try:
            settings = RouterSettings.model_validate(fill(found.settings, self._env))
        except ValidationError as error:
            raise ConfigError(problems_from(error, RouterSettings)) from None
        return Loaded(self.path, text, settings, found.format, found.notes)


def _file(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    path = str(given.get(key) or "")
    return _one(_content(path), path) if path else {}


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=path, fix="check the path"
        ) from error


def _one(text: bytes, path: str) -> Mapping[str, Any]:
    try:
        found = documents(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError.one(f"not UTF-8 text: {error}", where=path) from None
    if len(found) != 1:
        raise ConfigError.one(f"{len(found)} documents, not one", where=path)
    return found[0]
