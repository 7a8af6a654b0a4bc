"""What the tests of this folder share: golden cases, and how they are refreshed.

``WAYSIDE_UPDATE_GOLDEN=1 pytest tests/translate`` rewrites the expected files; read the diff.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wayside.translate import Note, Translation

GOLDEN = Path(__file__).parents[1] / "golden" / "translate"
CASES = sorted(p for p in GOLDEN.glob("*/*/in.*"))
SHARED = Path(os.environ.get("WAYSIDE_SHARED", Path(__file__).parents[3] / "shared"))

Steps = tuple[Any, ...]


def updating() -> bool:
    return os.environ.get("WAYSIDE_UPDATE_GOLDEN") == "1"


def documents(path: Path) -> list[Any]:
    """The YAML or JSON documents of a file."""
    return [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d is not None]


def walk(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Everything in ``value``, itself first."""
    yield steps, value
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from walk(inner, (*steps, key))


def changed(value: Any, steps: Steps, new: Any) -> Any:
    """A copy of ``value`` in which ``new`` stands at ``steps``."""
    if not steps:
        return new
    out = copy.copy(value)
    out[steps[0]] = changed(value[steps[0]] if _has(value, steps[0]) else None, steps[1:], new)
    return out


def _has(value: Any, key: Any) -> bool:
    return key in value if isinstance(value, dict) else key < len(value)


def path_of(steps: Steps) -> str:
    """The path that notes give it; the first step counts documents and is not part of it."""
    from wayside.translate.reading import join

    path = ""
    for step in steps[1:]:
        path = f"{path}[{step}]" if isinstance(step, int) else join(path, step)
    return path


def covers(note: Note, path: str) -> bool:
    """Whether ``note`` is about ``path`` or about something that holds it."""
    return path == note.path or (
        note.path != "" and path.startswith((f"{note.path}.", f"{note.path}["))
    )


def named(translation: Translation | None, path: str) -> bool:
    """Whether some note says that the value at ``path``, or a part it is in, has no effect."""
    assert translation is not None
    without_effect = ("ignored", "unsupported", "refused", "unknown")
    return any(n.severity in without_effect and covers(n, path) for n in translation.notes)
