"""Watch the configuration file, and put a good one in force without stopping.

The file's content is compared, not its timestamp alone, so a ConfigMap's symlink swap, an editor's
rename and a plain write are all seen, and a touch changes nothing. A bad file keeps the last good
policy, and :class:`ConfigState` says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wayside.vocab.errors import ConfigError


@dataclass(slots=True)
class ConfigState:
    """What is in force, and what was last refused. ``loaded_at`` is Unix seconds."""

    path: str = ""
    digest: str = ""
    generation: int = 0
    loaded_at: float = 0.0
    error: str = ""
    refused: int = 0
    needs_restart: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def accepted(
        self, text: bytes, notes: tuple[str, ...], needs_restart: tuple[str, ...]
    ) -> None:
        self.digest = digest(text)
        self.generation += 1
        self.loaded_at = time.time()
        self.error = ""
        self.notes, self.needs_restart = notes, needs_restart

    def refuse(self, error: ConfigError) -> None:
        self.error = str(error)
        self.refused += 1


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


class Watcher:
    """Calls ``apply(text)`` when the file's content changes; never lets an error escape."""

    def __init__(
        self,
        path: Path,
        apply: Callable[[bytes], None],
        refused: Callable[[ConfigError], None],
        *,
        interval_s: float = 1.0,
    ) -> None:
        self._path, self._apply, self._refused = path, apply, refused
        self._interval = interval_s
        self._stamp = self._signature()
        self._seen = self._content()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.look()

    def look(self) -> None:
        """One look at the file."""
        stamp = self._signature()
        if stamp == self._stamp:
            return
        text = self._content()
        self._stamp = stamp
        if text is None or digest(text) == (self._seen and digest(self._seen)):
            return
        self._seen = text
        try:
            self._apply(text)
        except ConfigError as error:
            self._refused(error)
        except Exception as bug:  # noqa: BLE001  # a bug in apply must not end the watch
            self._refused(ConfigError.one(f"{type(bug).__name__} while applying: {bug}"))

    def _signature(self) -> tuple[int, ...]:
        """Follows symlinks, so a swapped ``..data`` shows as another inode."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_dev

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
