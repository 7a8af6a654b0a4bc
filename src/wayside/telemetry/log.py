"""The log: constant events with fields. JSON lines in a pipe, readable lines on a terminal."""

from __future__ import annotations

import datetime
import functools
import json
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any, TextIO

import msgspec

from wayside.telemetry import redaction

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_COLOUR = {"debug": "2", "info": "36", "warning": "33", "error": "31"}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """Writes one line per event. Lines are gathered and written together by :meth:`flush`.

    ``console`` renders for people; otherwise each line is a JSON object with ``ts`` (RFC 3339,
    UTC), ``level`` and ``event``. Warnings and errors are flushed at once.
    """

    MAX_PENDING = 128

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        console: bool | None = None,
        level: str = "info",
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._console = self._stream.isatty() if console is None else console
        self._level = _LEVELS[level]
        self._pending: list[str] = []

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        if _LEVELS[level] < self._level:
            return
        self.write(event, level, fields)
        if _LEVELS[level] >= 30:
            self.flush()

    def write(
        self,
        event: str,
        level: str,
        fields: Mapping[str, Any],
        trusted: Collection[str] = (),
    ) -> None:
        """One line, whatever the level. Secrets are taken out of every field that is not
        ``trusted``: made by us, of names in the configuration and of numbers."""
        fields = redaction.fields(fields, trusted)
        if self._console:
            line = _readable(event, level, fields)
        else:
            line = _json({"ts": _stamp(), "level": level, "event": event, **fields})
        self._pending.append(line)
        if len(self._pending) >= self.MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Write what is pending. A log that cannot be written never stops the router."""
        if not self._pending:
            return
        text = "\n".join(self._pending) + "\n"
        self._pending.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            return


@functools.lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _stamp() -> str:
    # Formatting a date costs more than the rest of the line; a second's lines share it.
    now = time.time()
    second = int(now)
    return f"{_second(second)}.{int((now - second) * 1000):03d}Z"


def _json(fields: Mapping[str, Any]) -> str:
    try:
        return _encode(fields).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which UTF-8 cannot carry
        return json.dumps(fields, default=str, separators=(",", ":"))


def _plain(value: Any) -> str:
    """``value`` on one line, so that it cannot pass for another line or move the cursor."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _readable(event: str, level: str, fields: Mapping[str, Any]) -> str:
    clock = time.strftime("%H:%M:%S")
    colour = _COLOUR[level]
    said = " ".join(
        f"\x1b[2m{k}=\x1b[0m{_plain(v)}" for k, v in fields.items() if v not in ("", None)
    )
    return f"\x1b[2m{clock}\x1b[0m \x1b[{colour}m{event:<12}\x1b[0m {said}"
