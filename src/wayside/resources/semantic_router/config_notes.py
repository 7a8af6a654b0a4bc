"""What is told of a configuration: what is wrong, and what is worth knowing though nothing is.

A value that somebody wrote and that does nothing here is told, in the condition ConfigValid. One
that an API server put there, because the schema has it as its default, is nobody's wish: it is
told nothing of. The two look alike in the object; they are told apart by their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from wayside.manifests.fields import Part
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.settings.problems import suggest
from wayside.translate.notes import Note, grouped

MOST_NOTES: Final = 50
"""Remarks that are told; a count stands for further ones."""
MOST_NEAR: Final = 5
"""Problems that are told with what was probably meant: looking for that takes time."""
_LEFT_OUT = re.compile(r"; (the \w+ is )?left out$")
_MISSED = re.compile(r"(?:nothing defines model|^default model) '([^']*)'")
_STEP = re.compile(r'\[(\d+)\]|\["((?:[^"])*)"\]|([^.\[\]]+)')
_INDEX = re.compile(r"\[\d+\]")
_OURS: Final = ("spec.config.", "spec.toolsDb", "spec.vllmEndpoints")
"""Where the router's own settings are; the rest of the spec is the operator's, and works."""
_NO_LOSS: Final = ("switched off", "a remark without effect")


def told_wrong(note: Note, models: Sequence[str]) -> str:
    """A note as a problem. What a translation would leave out keeps a whole configuration from
    being written here. A model that nobody has is told with the one that was probably meant."""
    what = _LEFT_OUT.sub("", note.what)
    path = "spec.defaultModel" if what.startswith("default model ") else note.path
    if models and (missed := _MISSED.search(what)):
        what += f"; {suggest(missed[1], set(models), 'spec.vllmEndpoints has')}"
    return f"{path}: {what}"


def remarks(
    notes: Iterable[Note], spec: SemanticRouterSpec, own: Sequence[str]
) -> tuple[str, ...]:
    """``own``, then the translation's notes: losses before differences, and last what has no
    effect. None of ``notes`` is a problem."""
    told = [
        note
        for note in notes
        if (note.severity != "ignored" or note.path.startswith(_OURS))
        and not by_default(spec, note.path)
    ]
    lines = list(own)
    for severity in ("unsupported", "mapped", "defaulted"):
        for line in grouped(note for note in told if note.severity == severity):
            lines.append(line.partition(": ")[2])
    lines += _without_effect(told)
    if len(lines) > MOST_NOTES:
        lines[MOST_NOTES:] = [f"and {len(lines) - MOST_NOTES} more"]
    return tuple(lines)


def _without_effect(notes: Iterable[Note]) -> list[str]:
    """Ignored values, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for note in notes:
        if note.severity == "ignored" and not note.what.startswith(_NO_LOSS):
            paths = by_reason.setdefault(note.what, [])
            if (path := _INDEX.sub("[]", note.path)) not in paths:
                paths.append(path)
    return [f"no effect: {', '.join(paths)}: {why}" for why, paths in by_reason.items()]


def by_default(spec: SemanticRouterSpec, path: str) -> bool:
    """Whether the value at ``path`` (``spec.config.tools.top_k``) is one that the schema puts
    there by itself. It puts no objects and no items of lists, and none into free-form maps."""
    steps = [found.groups() for found in _STEP.finditer(path)][1:]
    value: Any = spec
    default: Any = None
    for index, quoted, plain in steps:
        key = quoted if quoted is not None else plain
        if isinstance(value, Part):
            names = {field.alias or name: name for name, field in type(value).model_fields.items()}
            name = names.get(key or "")
            if name is None:
                return False
            default = type(value).model_fields[name].get_default(call_default_factory=True)
            value = getattr(value, name)
        elif isinstance(value, tuple) and index is not None and int(index) < len(value):
            value, default = value[int(index)], None
        elif isinstance(value, Mapping) and key in value:
            value, default = value[key], None
        else:
            return False
    return default is not None and not isinstance(value, Part) and value == default
