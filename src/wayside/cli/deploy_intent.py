"""The file that says what shall be deployed: read, overridden, checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from wayside import deploy
from wayside.catalog import discover
from wayside.cli import READING
from wayside.cli.files import native
from wayside.deploy import Entry
from wayside.deploy import targets as modules
from wayside.deploy.intent import Intent
from wayside.deploy.parts import sound
from wayside.deploy.parts.config import configuration, in_the_intent
from wayside.manifests.router_config import merge
from wayside.runtime import compile_policy
from wayside.settings.load import MAX_BYTES, documents
from wayside.settings.problems import problems_from, suggest
from wayside.vocab.errors import ConfigError, Problem

DEFAULT = "wayside.yaml"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An intent, the target it is for, and what was set beside it."""

    entry: Entry
    intent: Intent
    told: Mapping[str, str]


def entries() -> Mapping[str, Entry]:
    """Every target, by name."""
    discover(modules)
    return deploy.entries()


def named(name: str) -> Entry:
    """A target. Raises :class:`ConfigError`, which says which there are."""
    known = entries()
    if name not in known:
        fix = suggest(name, known, "targets")
        raise ConfigError.one(f"there is no target {name!r}", where="--target", fix=fix)
    return known[name]


def read(
    path: Path | None,
    *,
    target: str = "",
    namespace: str = "",
    settings: Sequence[str] = (),
) -> Wanted:
    """The intent in a file, with what the command line says laid over it. Raises
    :class:`ConfigError` with every problem, by its path in the file."""
    overrides, told = _settings(settings)
    if target:
        named(target)
    found = path or Path(DEFAULT)
    start = f"wayside deploy init --target {target or 'kubernetes'} > {found}"
    try:
        text = _text(found)
    except FileNotFoundError:
        raise ConfigError.one(
            "is not there", where=str(found), fix=f"start with `{start}`"
        ) from None
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=str(found), fix="check the path"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError.one(
            "is not UTF-8 text", where=str(found), fix="save it as UTF-8"
        ) from None
    if (told_context := click.get_current_context(silent=True)) is not None:
        told_context.meta[READING] = str(found)
    several = documents(text)
    if len(several) > 1:
        raise ConfigError.one(f"{len(several)} documents", where=str(found), fix="keep one")
    document = merge(several[0], overrides)
    if namespace:
        document["namespace"] = namespace
    intent = parse(document)
    if intent.router.config:
        intent = _with_config(intent, found.parent)
    name = target or intent.target
    if not name:
        known = ", ".join(entries())
        fix = f"give --target NAME or write target: NAME; targets: {known}"
        raise ConfigError.one("no target is named", where="target", fix=fix)
    wanted = Wanted(named(name), intent, told)
    check(wanted)
    return wanted


def _text(path: Path) -> str:
    """A file's text; no more of it is read than the loader would take."""
    if str(path) == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        what = f"is larger than {MAX_BYTES >> 20} MiB"
        raise ConfigError.one(what, where=str(path), fix="no intent is; check the path")
    return raw.decode("utf-8-sig")


def parse(document: Mapping[str, Any]) -> Intent:
    """The intent of a document. Raises :class:`ConfigError`."""
    try:
        return Intent.model_validate(document)
    except ValidationError as error:
        raise ConfigError(problems_from(error, Intent)) from None


def check(wanted: Wanted) -> None:
    """Raises :class:`ConfigError` for whatever the target cannot do, options that no target has,
    and a configuration that no router would start with."""
    entry, intent = wanted.entry, wanted.intent
    known, problems = entries(), list[Problem]()
    for name, given in intent.targets.items():
        if name not in known:
            fix = suggest(name, known, "targets")
            problems.append(Problem(f"there is no target {name!r}", f"targets.{name}", fix))
            continue
        try:
            known[name].options.model_validate(given)
        except ValidationError as error:
            problems += problems_from(error, known[name].options, f"targets.{name}")
    if problems:
        raise ConfigError(problems)
    problems += [*sound.problems(intent), *entry.target.problems(intent)]
    # A target that may do without a router says so by a method of this name.
    has_router = getattr(entry.target, "has_router", None)
    if has_router is None or has_router(intent):
        problems += _routing(intent)
    if problems:
        raise ConfigError(problems)


def _routing(intent: Intent) -> list[Problem]:
    """What the compiler of policies has against the routing, wherever the models may be."""
    places = {
        name: "http://model.invalid:8000" for name, m in intent.models.items() if not m.cloud
    }
    try:
        made = configuration(intent, places)
    except ConfigError as error:
        return list(error.problems)
    try:
        compile_policy(made.settings)
    except ConfigError as error:
        return [in_the_intent(intent, problem) for problem in error.problems]
    return []


def _settings(given: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """``--set``: what overrides the file (its name begins with a field of the intent), and what
    is told to the target."""
    overrides: dict[str, Any] = {}
    told: dict[str, str] = {}
    fields = {field.alias or name for name, field in Intent.model_fields.items()}
    for one in given:
        name, is_, value = one.partition("=")
        if not is_ or not name:
            fix = "write --set NAME=VALUE"
            raise ConfigError.one(f"{one!r} sets nothing", where="--set", fix=fix)
        parts = name.split(".")
        if parts[0] not in fields:
            told[name] = value
            continue
        try:
            inner: Any = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError):
            inner = value
        for part in reversed(parts):
            inner = {part: inner}
        overrides = merge(overrides, inner)
    return overrides, told


def _with_config(intent: Intent, folder: Path) -> Intent:
    """``router.config`` read, in whatever format, below ``router.settings``. Models of the file
    that the intent does not place are left to their own endpoints."""
    path = folder / intent.router.config
    try:
        document, _, notes = native(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError.one(
            f"{path} cannot be read: {error.strerror}", where="router.config", fix="check the path"
        ) from None
    refused = [Problem(note.what, f"{path}: {note.path}") for note in notes
               if note.severity == "refused"]  # fmt: skip
    if refused:
        raise ConfigError(refused)
    settings = merge(document, intent.router.settings)
    router = intent.router.model_copy(update={"config": "", "settings": settings})
    return intent.model_copy(update={"router": router})
