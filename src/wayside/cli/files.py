"""Find and read a configuration, in our format or a foreign one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from wayside.cli import READING
from wayside.runtime.reload import NAMES, inside
from wayside.settings import RouterSettings
from wayside.settings.load import documents, fill
from wayside.settings.problems import problems_from
from wayside.translate import Note, production_stack, translate_all
from wayside.vocab.errors import ConfigError, Problem

DEFAULT_NAMES = ("wayside.yaml", "wayside.yml", "config.yaml", "config/config.yaml")
FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
CONFIG = click.Path(allow_dash=True, path_type=Path)
"""A file, or a folder that holds it under one of :data:`~wayside.runtime.reload.NAMES`."""


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
        type=CONFIG,
        envvar="WAYSIDE_CONFIG",
        help="Configuration file (- for standard input): ours, vLLM Semantic Router's (flat or "
        "v0.3), production-stack's, LiteLLM's, or llm-d's.  "
        "[default: $WAYSIDE_CONFIG, ./wayside.yaml, ./config.yaml]",
    )(command)


def find(path: Path | None) -> Path:
    """The file to read, or the folder that it is in. Raises :class:`ConfigError` that says where
    it looked."""
    if path is not None:
        if path.is_dir() and inside(path) == path:
            raise ConfigError.one(
                f"has none of {', '.join(NAMES)}",
                where=str(path),
                fix="give the path of a configuration file, or of a folder with one",
            )
        return path
    for name in DEFAULT_NAMES:
        if Path(name).is_file():
            return Path(name)
    raise ConfigError.one(
        f"no configuration file: neither $WAYSIDE_CONFIG nor {', '.join(DEFAULT_NAMES)}",
        where=str(Path.cwd()),
        fix="give --config FILE, or start from `wayside config example > wayside.yaml`",
    )


def load(path: Path | None, *, env: Mapping[str, str] | None = None) -> Loaded:
    """Read, translate where needed, and validate."""
    text, name = read_bytes(path)
    return read(text, name, env=env)


def read_bytes(path: Path | None) -> tuple[bytes, str]:
    """The file's content, and its name for messages."""
    found = find(path)
    name = "standard input" if str(found) == "-" else str(found)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[READING] = name
    try:
        return (sys.stdin.buffer.read() if str(found) == "-" else inside(found).read_bytes()), name
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=name, fix="check the path"
        ) from error


def read(text: bytes, path: str, *, env: Mapping[str, str] | None = None) -> Loaded:
    """The same for text already in hand; ``path`` is for messages and hints."""
    document, format_, notes = native(text, path)
    if format_ == production_stack.NAME:  # it has no half of a configuration either
        refused = [Problem(note.what, note.path) for note in notes if note.severity == "refused"]
        if refused:
            raise ConfigError(refused)
    try:
        filled = fill(document, os.environ if env is None else env)
        settings = RouterSettings.model_validate(filled)
    except ValidationError as error:
        raise ConfigError(problems_from(error, RouterSettings)) from None
    return Loaded(path, text, settings, format_, notes)


def native(text: bytes, path: str) -> tuple[dict[str, Any], str, tuple[Note, ...]]:
    """The document in our own format, its variables still unfilled: ``${KEY}`` names a secret
    until the moment it is needed, and importers must see it as that."""
    try:
        found = documents(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError.one(f"not UTF-8 text: {error}", where=path) from None
    translation = translate_all(found, hint=Path(path).stem)
    if translation is not None:
        return dict(translation.settings), translation.format, translation.notes
    if len(found) > 1:
        raise ConfigError.one(
            f"{len(found)} documents that are not one configuration",
            where=path,
            fix="keep one of them",
        )
    return found[0], "wayside", ()
