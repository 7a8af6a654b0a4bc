"""Read a foreign document so that nothing in it is dropped in silence.

A :class:`Reader` wraps one mapping and remembers which keys were read. When the translation is
done, :meth:`Ledger.close` reports every key of every mapping that nobody read, by its path, with
the nearest key that somebody looked for. A translator therefore cannot forget a key: it reads
it, sets it aside with a reason, or the ledger names it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wayside.translate.notes import Note, Severity

_PLAIN = re.compile(r"[^\s.\[\]\"']+")
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def join(path: str, key: object) -> str:
    """``path.key``, or ``path["odd key"]``."""
    text = str(key)
    if not _PLAIN.fullmatch(text):
        return f'{path}["{text}"]'
    return f"{path}.{text}" if path else text


def env_name(text: str) -> str | None:
    """``VAR`` if ``text`` is nothing but a reference to it (``${VAR}``, ``${VAR:-x}``)."""
    found = _ENV.fullmatch(text.strip())
    return found[1] if found else None


class Ledger:
    """The notes of one translation, and every mapping that was opened for it."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._open: list[Reader] = []

    def reader(self, data: Mapping[Any, Any], path: str = "", *, camel: bool = False) -> Reader:
        """The root of a document, or of a part of it. ``camel``: its keys are ``camelCase``."""
        return Reader(data, path, self, camel=camel)

    def add(self, path: str, what: str, severity: Severity) -> None:
        note = Note(path, what, severity)
        if note not in self.notes:
            self.notes.append(note)

    def close(self) -> tuple[Note, ...]:
        """All notes, those on unread keys last."""
        for reader in self._open:
            reader.report_unread()
        return tuple(self.notes)


class Reader:
    """One mapping. Every getter marks its key as read; a wrong type is a note and ``None``."""

    __slots__ = (
        "_asked",
        "_camel",
        "_children",
        "_data",
        "_left_out",
        "_parent",
        "_read",
        "ledger",
        "path",
    )

    def __init__(
        self,
        data: Mapping[Any, Any],
        path: str,
        ledger: Ledger,
        *,
        camel: bool = False,
        parent: Reader | None = None,
    ) -> None:
        self._data = {str(k): v for k, v in data.items()}
        self.path, self.ledger = path, ledger
        self._camel, self._parent = camel, parent
        self._read: set[str] = set()
        self._asked: set[str] = set()
        self._children: dict[str, Reader] = {}
        self._left_out = False
        ledger._open.append(self)

    def __contains__(self, key: str) -> bool:
        return self._data.get(self._spell(key)) is not None

    def __bool__(self) -> bool:
        return bool(self._data)

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._data)

    def at(self, key: str) -> str:
        """The path of ``key``."""
        return join(self.path, self._spell(key))

    def note(self, what: str, severity: Severity, *, key: str = "") -> None:
        self.ledger.add(self.at(key) if key else self.path, what, severity)

    def lend(self, more: Mapping[Any, Any]) -> None:
        """Values for keys that are absent, from another part of the document that answers for
        them itself."""
        for key, value in more.items():
            if self._data.get(str(key)) is None:
                self._data[str(key)] = value
                self._read.add(str(key))

    def raw(self, key: str) -> Any:
        """The value as it is, for the caller to account for; ``None`` when absent."""
        spelled = self._spell(key)
        self._asked.add(spelled)
        self._read.add(spelled)
        return self._data.get(spelled)

    def text(self, key: str) -> str | None:
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return value
        self._wrong(key, value, "text")
        return None

    def expanded(self, key: str) -> str | None:
        """Text in which ``${VAR:-default}`` is its default, for values that are parsed here.

        Elsewhere such references stay as they are: our own files mean the same by them.
        """
        value = self.text(key)
        return None if value is None else self._expand(key, value)

    def secret(self, key: str) -> str | None:
        """Text that is never quoted in a note."""
        value = self.raw(key)
        return value if isinstance(value, str) and value else None

    def number(
        self, key: str, *, low: float = -math.inf, high: float = math.inf
    ) -> int | float | None:
        """A finite number within the bounds; text that reads as one counts."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, str):
            value = _as_number(self._expand(key, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, self._data[self._spell(key)], "a number")
            return None
        if not (low <= value <= high and abs(value) < math.inf):
            bounds = f"{low:g} to {high:g}" if high != math.inf else f"{low:g} or more"
            self.note(f"{value} is not a number from {bounds}; left out", "refused", key=key)
            return None
        return value

    def whole(self, key: str, *, low: int = 0, high: int = 2**53) -> int | None:
        """A whole number; 3.0 counts, 3.5 does not."""
        value = self.number(key, low=low, high=high)
        if value is None or value == int(value):
            return None if value is None else int(value)
        self.note(f"{value} is not a whole number; left out", "refused", key=key)
        return None

    def flag(self, key: str) -> bool | None:
        value = self.raw(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value is None or isinstance(value, bool):
            return value
        self._wrong(key, value, "true or false")
        return None

    def choice(self, key: str, among: tuple[str, ...]) -> str | None:
        """One of ``among``, in any case and with ``-`` for ``_``."""
        value = self.text(key)
        if not value:
            return None
        plain = value.lower().replace("-", "_")
        if plain in among:
            return plain
        self.note(f"{value!r} is not one of {', '.join(among)}; left out", "refused", key=key)
        return None

    def texts(self, key: str) -> list[str]:
        """A list of text, or one text; anything else in the list is noted and left out."""
        value = self.raw(key)
        if value is None:
            return []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list | tuple):
            self._wrong(key, value, "a list of text")
            return []
        found = []
        for index, item in enumerate(value):
            if isinstance(item, str | int | float) and not isinstance(item, bool):
                found.append(str(item))
            elif item is not None:
                self.ledger.add(
                    f"{self.at(key)}[{index}]", f"expected text, found {_kind(item)}", "refused"
                )
        return found

    def inner(self, key: str) -> Reader:
        """The mapping under ``key``; an empty one when absent."""
        return self._child(self.raw(key), self.at(key))

    def each(self, key: str) -> list[Reader]:
        """The mappings of the list under ``key``."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self._wrong(key, value, "a list")
            return []
        readers = []
        for index, item in enumerate(value):
            path = f"{self.at(key)}[{index}]"
            if isinstance(item, Mapping):
                readers.append(self._child(item, path))
            else:
                self.ledger.add(path, f"expected a mapping, found {_kind(item)}", "refused")
        return readers

    def named(self, key: str) -> list[tuple[str, Reader]]:
        """Names that the operator chose, each with its mapping."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, Mapping):
            self._wrong(key, value, "a mapping")
            return []
        path = self.at(key)
        return [(str(n), self._child(v, join(path, n))) for n, v in value.items()]

    def set_aside(self, key: str, why: str, severity: Severity = "unsupported") -> None:
        """If ``key`` is there, note why it has no effect; nothing to say if it is switched off."""
        value = self.raw(key)
        if value is None or value == {} or value == []:
            return
        if severity == "unsupported" and _switched_off(value):
            self.note("switched off, so nothing is lost", "ignored", key=key)
        else:
            self.note(why, severity, key=key)

    def remark(self, *keys: str) -> None:
        """Keys that only people read."""
        for key in keys:
            self.set_aside(key, "a remark without effect", "ignored")

    def set_aside_all(self, why: str, severity: Severity = "unsupported") -> None:
        """Every key that was not read so far, one note each: for maps whose keys are free."""
        for key in [k for k in self._data if k not in self._read]:
            self._read.add(key)
            self.ledger.add(join(self.path, key), why, severity)

    def leave_out(self, why: str, severity: Severity = "unsupported") -> None:
        """The whole mapping has no effect: one note for it and everything in it."""
        self._left_out = True
        self.note(why, severity)

    @property
    def left_out(self) -> bool:
        return self._left_out or (self._parent is not None and self._parent.left_out)

    def report_unread(self) -> None:
        """A note for each key that nobody read, with the nearest one that somebody looked for."""
        if self.left_out:
            return
        for key in self._data:
            if key not in self._read:
                near = difflib.get_close_matches(key, sorted(self._asked), 1, 0.7)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.ledger.add(join(self.path, key), f"unknown key{hint}", "unknown")

    def _child(self, value: Any, path: str) -> Reader:
        """One reader per mapping, however often it is asked for."""
        if path in self._children:
            return self._children[path]
        if value is not None and not isinstance(value, Mapping):
            self.ledger.add(path, f"expected a mapping, found {_kind(value)}", "refused")
            value = None
        child = Reader(value or {}, path, self.ledger, camel=self._camel, parent=self)
        self._children[path] = child
        return child

    def _spell(self, key: str) -> str:
        if not self._camel or key in self._data:
            return key
        head, *rest = key.split("_")
        return head + "".join(word.capitalize() for word in rest)

    def _expand(self, key: str, value: str) -> str:
        def default(found: re.Match[str]) -> str:
            if found[2] is None:
                self.note(
                    f"${{{found[1]}}} is not filled in here; write its value", "refused", key=key
                )
                return found[0]
            self.note(f"${{{found[1]}}} is read as its default", "defaulted", key=key)
            return found[2]

        return _ENV.sub(default, value)

    def _wrong(self, key: str, value: Any, expected: str) -> None:
        self.note(f"expected {expected}, found {_kind(value)}; left out", "refused", key=key)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    if value is None:
        return "nothing"
    return "text" if isinstance(value, str) else "a number"


def _as_number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _switched_off(value: Any) -> bool:
    return value is False or (isinstance(value, Mapping) and value.get("enabled") is False)
