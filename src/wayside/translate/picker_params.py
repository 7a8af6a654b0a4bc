"""Parameters of an endpoint picker's plugins, read so that nothing is taken for something else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from wayside.settings.problems import suggest
from wayside.translate.notes import Note
from wayside.translate.reading import join
from wayside.vocab.errors import Problem

T = TypeVar("T")

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_SIZES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}  # fmt: skip
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
"""A token of RFC 9110, 5.6.2."""
_SIZE = re.compile(r"(\d+)(|k|M|G|T|Ki|Mi|Gi|Ti)")


def seconds(value: object) -> float | None:
    """A duration as Go writes it (``1m30s``, ``500ms``), in seconds; ``None`` for what is none."""
    if not isinstance(value, str) or not value:
        return None
    if value == "0":
        return 0.0
    if "".join(_DURATION.findall(value)) != value:
        return None
    total = 0.0
    for part in _DURATION.findall(value):
        unit = next(u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if part.endswith(u))
        total += float(part[: -len(unit)]) * _UNITS[unit]
    return total


def quantity(value: object) -> int | None:
    """A number of bytes as Kubernetes writes it (``1024``, ``512Mi``)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * _SIZES[found[2]] if found else None


class Params:
    """One mapping of a foreign document. What is wrong becomes a :class:`Problem` with its path;
    :meth:`close` names what nobody read."""

    def __init__(
        self, data: object, path: str, problems: list[Problem], notes: list[Note]
    ) -> None:
        self.path, self.problems, self.notes = path, problems, notes
        self._known: set[str] = set()
        if data is None:
            data = {}
        if not isinstance(data, Mapping):
            problems.append(Problem(f"a mapping is wanted, not {_shown(data)}", path))
            data = {}
        self._data: Mapping[Any, Any] = data

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def names(self) -> list[str]:
        return [str(name) for name in self._data]

    def at(self, name: str) -> str:
        return join(self.path, name)

    def raw(self, name: str) -> Any:
        self._known.add(name)
        return self._data.get(name)

    def wrong(self, name: str, what: str, fix: str = "") -> None:
        self.problems.append(Problem(what, self.at(name), fix))

    def note(self, name: str, what: str) -> None:
        self.notes.append(Note(self.at(name), what, "mapped"))

    def whole(self, name: str, default: T, *, least: int = 0) -> int | T:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.wrong(name, f"a whole number of at least {least} is wanted, not {_shown(value)}")
        return default

    def number(self, name: str, default: T, *, most: float = math.inf) -> float | T:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
            return float(value)
        bound = "" if most == math.inf else f" and at most {most:g}"
        self.wrong(name, f"a number of at least 0{bound} is wanted, not {_shown(value)}")
        return default

    def text(self, name: str, default: T) -> str | T:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        self.wrong(name, f"a text is wanted, not {_shown(value)}")
        return default

    def header(self, name: str, default: T) -> str | T:
        """A header's name, in lower case."""
        value = self.text(name, None)
        if value is None:
            return default
        if _HEADER.fullmatch(value):
            return value.lower()
        self.wrong(name, f"{_shown(value)} is no header's name", "write x-session-id, for example")
        return default

    def port(self, name: str, default: T) -> int | T:
        value = self.whole(name, default, least=1)
        if isinstance(value, int) and value > 65535:
            self.wrong(name, f"{value} is no port", "write 1 to 65535")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.wrong(name, f"true or false is wanted, not {_shown(value)}")
        return default

    def texts(self, name: str) -> list[str]:
        value = self.raw(name)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
        self.wrong(name, f"a list of texts is wanted, not {_shown(value)}")
        return []

    def seconds(self, name: str, default: T) -> float | T:
        value = self.raw(name)
        if value is None:
            return default
        found = seconds(value)
        if found is None:
            self.wrong(name, f"a duration is wanted, not {_shown(value)}", "write 60s, or 500ms")
            return default
        return found

    def bytes(self, name: str, default: T) -> int | T:
        value = self.raw(name)
        if value is None:
            return default
        found = quantity(value)
        if found is None:
            self.wrong(name, f"a size is wanted, not {_shown(value)}", "write 1024, or 512Mi")
            return default
        return found

    def inner(self, name: str) -> Params:
        """A mapping within."""
        return Params(self.raw(name), self.at(name), self.problems, self.notes)

    def pairs(self, name: str) -> dict[str, str]:
        """A mapping of texts within."""
        inner = self.inner(name)
        return {key: inner.text(key, "") for key in inner.names()}

    def entries(self, name: str) -> list[Params]:
        """A list of mappings within."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, f"a list is wanted, not {_shown(value)}")
            return []
        at = self.at(name)
        return [Params(v, f"{at}[{i}]", self.problems, self.notes) for i, v in enumerate(value)]

    def unneeded(self, names: tuple[str, ...], why: str) -> None:
        """Parameters that have nothing to do here; said where one is set."""
        for name in names:
            if name in self:
                self.notes.append(Note(self.at(name), why, "ignored"))
            self._known.add(name)

    def missing(self, names: tuple[str, ...], why: str) -> None:
        """Parameters whose work nobody does here: a problem where one is set."""
        for name in names:
            if self._data.get(name):
                self.wrong(name, why, "leave it out")
            self._known.add(name)

    def close(self) -> None:
        """Name what nobody read."""
        for name in self._data:
            if name not in self._known:
                fix = suggest(str(name), self._known, "known here")
                self.problems.append(Problem("not known", self.at(str(name)), fix))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
