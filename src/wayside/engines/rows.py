"""Labelled texts as JSON lines, for training and for measuring, with errors that help.

A line is ``{"text": ..., "label": ...}``; ``lang``, ``kind`` and ``source`` say more about it and
are reported separately; ``group`` keeps rows made from one sentence together. Instead of ``text``
there may be ``messages``, whose last user turn is the text. Other fields are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError

FIELDS: Final = ("text", "label", "lang", "kind", "source", "group", "messages")


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text. ``lang`` is ISO 639-1 or empty; ``source`` says where it is from."""

    text: str
    label: str
    lang: str = ""
    kind: str = ""
    source: str = ""
    group: str = ""


def read(path: Path, labels: Collection[str] | None = None, source: str = "") -> list[Example]:
    """Every row of the file. :class:`ConfigError` names the line that is not one and the fix.

    A label outside ``labels`` is an error where they are given. Rows without a ``source`` of
    their own have ``source``, or the file's name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=str(path), fix="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError.one(
            f"not UTF-8 text: {error.reason} at byte {error.start}",
            where=str(path),
            fix="save it as UTF-8",
        ) from error
    lines = enumerate(text.split("\n"), 1)
    found = [_example(line, f"{path}:{n}", labels) for n, line in lines if line.strip()]
    return [one if one.source else replace(one, source=source or path.name) for one in found]


def relabelled(examples: Iterable[Example], names: Mapping[str, str]) -> list[Example]:
    """The examples under other labels; those whose label is not among ``names`` are left out."""
    return [replace(one, label=names[one.label]) for one in examples if one.label in names]


def _example(line: str, where: str, labels: Collection[str] | None) -> Example:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError.one(
            f"not JSON: {error}", where=where, fix='write {"text": "...", "label": "..."}'
        ) from error
    if not isinstance(row, dict):
        raise ConfigError.one(
            f"{type(row).__name__} where an object should be",
            where=where,
            fix='write {"text": "...", "label": "..."}',
        )
    told = "text" in row or "messages" not in row
    text = row.get("text") if told else _last_turn(row, where)
    label = row.get("label")
    _must_be_text(row, "text", text, where)
    _must_be_text(row, "label", label, where)
    if labels is not None and label not in labels:
        fix = suggest(str(label), labels, "labels")
        raise ConfigError.one(f"no label {label!r}", where=f"{where}: label", fix=fix)
    more = {name: row[name] for name in FIELDS[2:6] if isinstance(row.get(name), str)}
    return Example(str(text), str(label), **more)


def _must_be_text(row: Mapping[str, Any], name: str, value: Any, where: str) -> None:
    if isinstance(value, str) and (value or name == "text"):
        return
    if name in row:
        what = "empty" if value == "" else f"{type(value).__name__}, not text"
        raise ConfigError.one(f"{name} is {what}", where=where, fix=f'give "{name}" a string')
    near = get_close_matches(name, [key for key in row if key not in FIELDS], n=1, cutoff=0.5)
    fix = f"is {near[0]!r} meant? rename it" if near else f'add "{name}"'
    raise ConfigError.one(f"no field {name!r}", where=where, fix=fix)


def _last_turn(row: Mapping[str, Any], where: str) -> str:
    messages = row["messages"]
    turns = messages if isinstance(messages, list) else []
    for turn in reversed(turns):
        if isinstance(turn, dict) and turn.get("role") == "user":
            content = turn.get("content")
            if isinstance(content, str):
                return content
    raise ConfigError.one(
        "no user turn with text in messages", where=where, fix='add "text", or such a turn'
    )
