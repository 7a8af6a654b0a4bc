"""Find and read a configuration, in our format or a foreign one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.settings.problems import problems_from
from wayside.translate import Note, translate
from wayside.vocab.errors import ConfigError

DEFAULT_NAMES = ("wayside.yaml", "wayside.yml", "config.yaml", "config/config.yaml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that has been read. ``format`` is ``wayside`` or the importer's name."""

    path: str
    text: bytes
    settings: RouterSettings
    format: str
    notes: tuple[Note, ...]


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--config FILE``: the same for every command that reads one."""
    return click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="WAYSIDE_CONFIG",
        help="Configuration file: ours, vLLM Semantic Router's (flat or v0.3), or "
        "production-stack's JSON.  [default: $WAYSIDE_CONFIG, ./wayside.yaml, ./config.yaml]",
    )(command)


def find(path: Path | None) -> Path:
    """The file to read. Raises :class:`ConfigError` that says where it looked."""
    if path is not None:
        return path
    for name in DEFAULT_NAMES:
        if Path(name).is_file():
            return Path(name)
    raise ConfigError.one(
        "no configuration file",
        where=str(Path.cwd()),
        fix=f"give --config FILE, or write one of: {', '.join(DEFAULT_NAMES)}; "
        "`wayside config example` prints one to start from",
    )


def load(path: Path | None, *, env: Mapping[str, str] | None = None) -> Loaded:
    """Read, translate where needed, and validate."""
    found = find(path)
    try:
        text = found.read_bytes()
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=str(found), fix="check the path"
        ) from error
    return read(text, str(found), env=env)


def read(text: bytes, path: str, *, env: Mapping[str, str] | None = None) -> Loaded:
    """The same for text already in hand; ``path`` is for messages and hints."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError.one(f"not UTF-8 text: {error}", where=path) from None
    document = parse(decoded, os.environ if env is None else env)
    translation = translate(document, hint=path)
    native = document if translation is None else translation.settings
    try:
        settings = RouterSettings.model_validate(native)
    except ValidationError as error:
        raise ConfigError(problems_from(error, RouterSettings)) from None
    if translation is None:
        return Loaded(path, text, settings, "wayside", ())
    return Loaded(path, text, settings, translation.format, translation.notes)
