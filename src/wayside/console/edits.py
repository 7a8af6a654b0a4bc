"""Changes a configuration file by paths, and leaves its comments, order and spacing as they are.

``ruamel.yaml`` keeps comments, but writes spaces its own way; so what it writes without the change
is compared with what it writes with it, and only those lines are changed in the file. What comes
out is read again, and has to say exactly what was asked for.
"""

from __future__ import annotations

import copy
import difflib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final

import yaml

from wayside.settings.load import documents
from wayside.vocab.errors import ConfigError

MAX_BYTES: Final = 128 << 10
"""A larger file is edited as text: this takes seconds per 100 KiB."""
MAX_DEPTH: Final = 40
Path = Sequence[str | int]
_ABSENT: Final = object()
_TRIPS: Final = (
    *(yaml.YAMLError, ConfigError, RecursionError, ValueError),
    *(TypeError, AttributeError, LookupError),
)
"""What ruamel trips over, or what comes of it."""


class NotEdited(ValueError):
    """Says why, and what to do."""


class Edit:
    """``value`` at ``path``; without one, what is there is taken away."""

    def __init__(self, path: Path, value: Any = _ABSENT) -> None:
        self.path, self.value = tuple(path), value

    @property
    def removes(self) -> bool:
        return self.value is _ABSENT


def edited(text: str, edits: Sequence[Edit]) -> str:
    """``text`` with ``edits``, one after another. Raises :class:`NotEdited`, and
    :class:`~wayside.vocab.errors.ConfigError` for a text that is no configuration."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise NotEdited(f"is larger than {MAX_BYTES >> 10} KiB: edit it as text")
    read = documents(text)
    if len(read) > 1:
        raise NotEdited("holds several documents: edit it as text")
    wanted = json.loads(json.dumps(read[0], default=str))
    for edit in edits:
        wanted = _plainly(wanted, edit)
    for make in (_in_place, _written):
        try:
            made = make(text, edits)
            if _said(made) == wanted:
                return made
        except _TRIPS:
            continue
    raise NotEdited(
        "is written in a way that cannot be edited by parts (an alias, a tag, or JSON): edit it "
        "as text"
    )


def tree(text: str) -> dict[str, Any]:
    """The file as JSON; empty for several documents, which no form can show."""
    found = documents(text)
    whole: dict[str, Any] = json.loads(json.dumps(found[0], default=str))
    return whole if len(found) == 1 else {}


def _said(text: str) -> Any:
    found = documents(text)
    return json.loads(json.dumps(found[0], default=str)) if len(found) == 1 else None


def _plainly(whole: Any, edit: Edit) -> Any:
    """``whole`` of plain values with the edit: what the text has to say afterwards."""
    if not edit.path:
        raise NotEdited("path: is empty; name what is to be changed")
    if len(edit.path) > MAX_DEPTH:
        raise NotEdited(f"path: is longer than {MAX_DEPTH}")
    here = whole
    for at, part in enumerate(edit.path[:-1]):
        here = _step(here, part, edit, at)
    _put(here, edit.path[-1], edit, copy.deepcopy(edit.value), keys=str)
    return whole


def _step(here: Any, part: str | int, edit: Edit, at: int) -> Any:
    """What is at ``part``, made if there is nothing and something is to be put below it."""
    where = _shown(edit.path[: at + 1])
    if isinstance(here, dict) and isinstance(part, str):
        key = _key(here, part)
        if key is None or here[key] is None:
            if edit.removes:
                raise NotEdited(f"{where}: there is nothing to take away")
            key = part if key is None else key
            here[key] = [] if isinstance(edit.path[at + 1], int) else {}
        return here[key]
    if isinstance(here, list) and isinstance(part, int) and 0 <= part < len(here):
        return here[part]
    raise NotEdited(f"{where}: there is no such place")


def _put(here: Any, part: str | int, edit: Edit, value: Any, keys: Any) -> None:
    where = _shown(edit.path)
    if isinstance(here, dict) and isinstance(part, str):
        key = _key(here, part)
        if not edit.removes:
            here[keys(part) if key is None else key] = value
        elif key is None:
            raise NotEdited(f"{where}: there is nothing to take away")
        else:
            del here[key]
    elif isinstance(here, list) and isinstance(part, int) and 0 <= part <= len(here):
        if edit.removes and part < len(here):
            del here[part]
        elif edit.removes:
            raise NotEdited(f"{where}: there is nothing to take away")
        elif part == len(here):
            here.append(value)
        else:
            here[part] = value
    else:
        raise NotEdited(f"{where}: there is no such place")


def _key(here: dict[Any, Any], part: str) -> Any:
    """The key that is written ``part``: in the file it may be a number, or a word like ``no``."""
    if part in here:
        return part
    return next((k for k in here if not isinstance(k, str) and str(k).lower() == part), None)


def _shown(path: Path) -> str:
    return ".".join(map(str, path))[:200]


def _written(text: str, edits: Sequence[Edit]) -> str:
    """``text`` as ruamel writes it, with ``edits``."""
    # Importing it takes a thirtieth of a second, which a start can do without.
    from wayside.console.written import written

    def change(whole: Any, value: Callable[[Any], Any]) -> None:
        for edit in edits:
            here = whole
            for at, part in enumerate(edit.path[:-1]):
                here = _step(here, part, edit, at)
            put = None if edit.removes else value(edit.value)
            _put(here, edit.path[-1], edit, put, keys=value)

    return written(text, change)


def _in_place(text: str, edits: Sequence[Edit]) -> str:
    """``text``, in which those lines are changed that ruamel writes otherwise with the edits.

    Lines that it writes as they stand in ``text`` are held on to; what is changed between two of
    them takes the place of what is between them in ``text``.
    """
    before, after = _written(text, ()), _written(text, edits)
    ours, base, theirs = (t.splitlines(keepends=True) for t in (text, before, after))
    if ours and not ours[-1].endswith("\n"):
        ours[-1] += "\n"
    anchors: dict[int, int] = {0: 0}
    for block in difflib.SequenceMatcher(None, base, ours, autojunk=False).get_matching_blocks():
        for k in range(block.size + 1):
            anchors.setdefault(block.a + k, block.b + k)
    at = sorted(anchors)
    hunks: list[tuple[int, int, int, int]] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(
        None, base, theirs, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        low, high = at[bisect_right(at, i1) - 1], at[bisect_left(at, i2)]
        from_, to = j1 - (i1 - low), j2 + (high - i2)
        if hunks and low < hunks[-1][1]:
            low, _, from_, _ = hunks.pop()
        hunks.append((low, high, from_, to))
    made: list[str] = []
    done = 0
    for low, high, from_, to in hunks:
        made += [*ours[done : anchors[low]], *theirs[from_:to]]
        done = anchors[high]
    return "".join([*made, *ours[done:]])
