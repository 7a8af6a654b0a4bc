"""Who changed what, and who tried to: a bounded file of JSON lines that only we may read."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.gateway.api import ApiError, Endpoint, scrubbed
from wayside.telemetry import Log

NAME: Final = "audit.jsonl"
SHOWN: Final = 200
MOST_SHOWN: Final = 1000
_SLACK: Final = 1.25
"""The file is written anew when it holds so many times what is kept."""
_LONGEST: Final = 300
Entry = dict[str, str | float]


class Audit:
    """Entries, the newest last. Where the file cannot be written they are kept in memory, and the
    log says so once."""

    def __init__(
        self,
        folder: Path,
        keep: int,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._keep, self._log, self._clock = folder / NAME, keep, log, clock
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._lines = 0
        self._read = self._told = False
        self._cut = False
        """The last line has no end: somebody was stopped while writing it."""

    def add(
        self, *, who: str, role: str, what: str, target: str, outcome: str, from_: str
    ) -> None:
        """One more. Texts are cut, and what looks like a key in them is masked."""
        said = {
            "who": who,
            "role": role,
            "what": what,
            "target": target,
            "outcome": outcome,
            "from": from_,
        }
        entry: Entry = {"at": round(self._clock(), 3)}
        entry |= {name: scrubbed(text)[:_LONGEST] for name, text in said.items()}
        self._load()
        self._entries.append(entry)
        try:
            if self._lines >= self._keep * _SLACK:
                self._rewrite()
            else:
                self._append(entry)
        except OSError as error:
            if not self._told:
                self._log("audit not written", level="warning", error=error.strerror or str(error))
            self._told = True

    def newest(self, limit: int) -> list[Entry]:
        """The newest first."""
        self._load()
        return list(islice(reversed(self._entries), limit))

    def endpoints(self) -> list[Endpoint]:
        """``GET /audit``."""

        async def shown(http: HttpRequest) -> Response:
            said = http.query_params.get("limit", str(SHOWN))
            if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= MOST_SHOWN:
                raise ApiError(400, "INVALID_INPUT", f"limit: is a number from 1 to {MOST_SHOWN}")
            return JSONResponse({"entries": self.newest(int(said))})

        return [Endpoint("GET", "/audit", shown, "Who changed what, the newest first.")]

    def _load(self) -> None:
        """What earlier runs wrote; a line that was cut short is left out."""
        if self._read:
            return
        self._read = True
        try:
            with self._path.open("rb") as file:
                for line in file:
                    self._lines += 1
                    self._cut = not line.endswith(b"\n")
                    try:
                        found = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(found, dict):
                        self._entries.append(found)
        except OSError:
            return  # there is none yet

    def _append(self, entry: Entry) -> None:
        private(self._path.parent)
        with _opened(self._path, os.O_APPEND) as file:
            file.write((b"\n" if self._cut else b"") + _line(entry))
        self._lines += 1
        self._cut = False

    def _rewrite(self) -> None:
        private(self._path.parent)
        beside = self._path.with_suffix(".new")
        with _opened(beside, os.O_TRUNC) as file:
            file.writelines(map(_line, self._entries))
        beside.replace(self._path)
        self._lines = len(self._entries)


def private(folder: Path) -> None:
    """Make a folder that nobody else may look into. Raises ``OSError``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _opened(path: Path, how: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, 0o600), "wb")


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
