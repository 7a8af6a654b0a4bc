"""Lines of a router's log: read from files that grow and are rotated, chosen, and shown.

A line that is not what a router writes (another program's, cut off, in no known encoding) is
carried along as text. Lines and memory are bounded whatever a file holds.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

MAX_LINE: Final = 1 << 20
"""Bytes; of a longer line the beginning is kept."""
_PIECE: Final = 1 << 16
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])")
_STATUS: Final = re.compile(r"([1-5])xx|(>=|<=|<|>)?([1-9]\d{2})", re.IGNORECASE)
_COLOURS: Final = {"debug": "bright_black", "info": "cyan", "warning": "yellow", "error": "red"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``fields`` is ``None`` where it is no event of a router's."""

    text: str
    fields: Mapping[str, Any] | None

    @property
    def event(self) -> str:
        return str(self.fields.get("event", "")) if self.fields is not None else ""


def parse(raw: bytes) -> Line:
    """Never raises."""
    text = raw[:MAX_LINE].decode("utf-8", "replace").rstrip("\r\n")
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "event" in found:
            return Line(text, found)
    return Line(text, None)


# reading


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines, and what stands after the last of them."""
    held = Pieces()
    while piece := _some(stream):
        yield from held.add(piece)
    if held.rest:
        yield held.rest


def _some(stream: IO[bytes]) -> bytes:
    """What is there already rather than a full buffer: a pipe's lines are shown as they come."""
    read = getattr(stream, "read1", stream.read)
    found: bytes = read(_PIECE)
    return found


class Pieces:
    """Cuts pieces of a stream into lines; keeps no more of a line than :data:`MAX_LINE`."""

    def __init__(self) -> None:
        self.rest = b""

    def add(self, piece: bytes) -> Iterator[bytes]:
        *whole, rest = (self.rest + piece).split(b"\n")
        yield from whole
        self.rest = rest[:MAX_LINE]


def whole_file(path: Path) -> Iterator[bytes]:
    """The lines of a file, unpacked where its name ends in ``.gz``. Raises ``OSError``."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        yield from lines(stream)  # type: ignore[arg-type]


def followed(
    path: Path, wait: Callable[[], bool], *, latest: int | None = None
) -> Iterator[bytes | None]:
    """The lines of a file that grows, for as long as ``wait`` (called at its end) says so; of what
    it holds at first, those within the ``latest`` bytes.

    ``None`` comes each time when everything there is has been read. A file that is moved away is
    read to its end before the new one of its name; one that is cut short (logrotate's
    ``copytruncate``) is read from the beginning again; one that is not there yet is waited for.
    """
    stream = _opened(path)
    held = Pieces()
    if stream is not None and latest is not None:
        size = os.fstat(stream.fileno()).st_size
        if size > latest:
            stream.seek(size - latest)
            stream.readline(MAX_LINE)  # the end of one that began before
    try:
        while True:
            if stream is None:
                stream = _opened(path)
            if stream is not None:
                while piece := stream.read(_PIECE):
                    yield from held.add(piece)
                if _cut(stream):
                    stream.seek(0)
                    held = Pieces()
                    continue
                if _moved(stream, path):
                    while piece := stream.read(_PIECE):  # written since we looked
                        yield from held.add(piece)
                    if held.rest:
                        yield held.rest
                    stream.close()
                    stream, held = None, Pieces()
                    continue
            yield None
            if not wait():
                if held.rest:
                    yield held.rest
                return
    finally:
        if stream is not None:
            stream.close()


def _opened(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _cut(stream: IO[bytes]) -> bool:
    return os.fstat(stream.fileno()).st_size < stream.tell()


def _moved(stream: IO[bytes], path: Path) -> bool:
    """Whether another file has the name. While none has, the old one may go on growing."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(stream.fileno())
    return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)


# choosing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to hold of a line; what is empty holds of every line."""

    models: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    status: Callable[[int], bool] | None = None
    level: str = ""
    """This level, and those above it."""
    text: str = ""
    """Stands somewhere in the line, in capitals or not."""
    since: float | None = None
    """Seconds since 1970."""

    def takes(self, line: Line) -> bool:
        if self.text and self.text.casefold() not in line.text.casefold():
            return False
        fields = line.fields
        if fields is None:
            return not (self.models or self.decisions or self.events or self.status
                        or self.level or self.since is not None)  # fmt: skip
        return (
            (not self.models or not self._names(fields).isdisjoint(self.models))
            and (not self.decisions or fields.get("decision") in self.decisions)
            and (not self.events or fields.get("event") in self.events)
            and (self.status is None or self._has_status(fields))
            and (not self.level or _rank(fields.get("level")) >= _rank(self.level))
            and (self.since is None or _at(fields) >= self.since)
        )

    @staticmethod
    def _names(fields: Mapping[str, Any]) -> set[str]:
        """The models of a request: chosen, asked for by the client, and given up on."""
        keys = ("model", "requested", "fallback_from")
        return {value for key in keys if isinstance(value := fields.get(key), str)}

    def _has_status(self, fields: Mapping[str, Any]) -> bool:
        status = fields.get("status")
        return isinstance(status, int) and self.status is not None and self.status(status)


def statuses(text: str) -> Callable[[int], bool]:
    """``404``, ``5xx``, ``>=400``. Raises ``ValueError``."""
    found = _STATUS.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ValueError(f"{text!r} is no status; write 404, 5xx or >=400")
    if found[1]:
        hundred = int(found[1])
        return lambda status: status // 100 == hundred
    number = int(found[3])
    compare: dict[str, Callable[[int], bool]] = {
        "": lambda status: status == number,
        ">=": lambda status: status >= number,
        "<=": lambda status: status <= number,
        ">": lambda status: status > number,
        "<": lambda status: status < number,
    }
    return compare[found[2] or ""]


def since(text: str, now: float) -> float:
    """``90s``, ``30m``, ``2h``, ``7d`` ago, or an RFC 3339 time. Raises ``ValueError``."""
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 30m, 2h, 7d or 2026-01-31T12:00Z") from None
    return (when if when.tzinfo else when.astimezone()).timestamp()


def _at(fields: Mapping[str, Any]) -> float:
    try:
        return datetime.datetime.fromisoformat(str(fields.get("ts"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _rank(level: object) -> int:
    order = ("debug", "info", "warning", "error")
    return order.index(level) if level in order else 1


# showing


def readable(line: Line, style: Callable[..., str]) -> str:
    """For people, on one line; ``style(text, **colours)`` is ``click.style`` or leaves it."""
    if line.fields is None:
        return style(clean(line.text), dim=True)
    fields = dict(line.fields)
    clock = style(clean(fields.pop("ts", ""))[11:19] or "--:--:--", dim=True)
    level = str(fields.pop("level", "info"))
    event = str(fields.pop("event", ""))
    if event == "request" and "status" in fields:
        return f"{clock} {_request(fields, style)}"
    colour = _COLOURS.get(level, "cyan")
    head = style(f"{clean(event):<12}", fg=colour)
    return f"{clock} {head} {_rest(fields, style)}".rstrip()


def _request(fields: dict[str, Any], style: Callable[..., str]) -> str:
    status, model = fields.pop("status"), fields.pop("model", "")
    bad = isinstance(status, int) and status >= 400
    asked, decision = fields.pop("requested", ""), fields.pop("decision", "")
    parts = [style(clean(status), fg="red" if bad else "green", bold=bad)]
    way = f"{clean(asked)} > " if asked and asked != model else ""
    parts.append(f"{way}{style(clean(model or fields.pop('path', '-')), bold=True)}")
    if decision:
        parts.append(f"[{clean(decision)}]")
    took = fields.pop("total_ms", None)
    if isinstance(took, int | float):
        parts.append(f"{took:.1f} ms")
    fields.pop("shell", None)
    return f"{' '.join(parts)}  {_rest(fields, style)}".rstrip()


def _rest(fields: Mapping[str, Any], style: Callable[..., str]) -> str:
    told = []
    for key, value in fields.items():
        if value in ("", None, [], {}):
            continue
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        told.append(f"{style(f'{clean(key)}=', dim=True)}{clean(text)}")
    return " ".join(told)


def clean(value: object) -> str:
    """On one line, and without anything that moves a terminal's cursor."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
