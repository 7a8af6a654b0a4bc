"""Watch the configuration file, and put a good one in force without stopping.

The file's content is compared, not its timestamp alone, so a ConfigMap's symlink swap, an editor's
rename and a plain write are all seen, and a touch changes nothing. A bad file keeps the last good
policy, and :class:`ConfigState` says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from wayside.vocab.errors import ConfigError

NAMES: Final = ("config.yaml", "dynamic-config.yaml", "wayside.yaml")
"""What the configuration may be called in a folder, which is what a mounted ConfigMap is."""


def inside(path: Path) -> Path:
    """The file to read: ``path``, or of a folder the first of :data:`NAMES` that is in it."""
    if not path.is_dir():
        return path
    return next((path / name for name in NAMES if (path / name).is_file()), path)


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


T = TypeVar("T")


class Watcher(Generic[T]):
    """Puts the file's content in force when it changes; never lets an error escape.

    ``prepare`` does the long part on another thread (reading, compiling, loading models),
    ``adopt`` the short one on the event loop.
    """

    def __init__(
        self,
        path: Path | None,
        prepare: Callable[[bytes], T],
        adopt: Callable[[T], None],
        refused: Callable[[ConfigError], None],
        *,
        interval_s: float = 1.0,
        seen: bytes | None = None,
    ) -> None:
        """``path`` may be a folder (:func:`inside`). ``seen`` is what was read of it before;
        unset, what stands there now. Without a ``path`` that is all there is, and only
        :meth:`again` does anything."""
        self._path, self._prepare, self._adopt, self._refused = path, prepare, adopt, refused
        self._interval = interval_s
        self._stamp = self._signature() if seen is None else ()
        self._seen = self._content() if seen is None else seen
        self._last = self._seen
        """What :meth:`again` is about where the file is gone, or cannot be read."""
        self._again = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            text = self._changed()
            if text is not None:
                with self._refusing():
                    self._adopt(await asyncio.to_thread(self._prepare, text))

    def again(self) -> None:
        """Put the file's content in force once more though it is the same: something that is laid
        over it has changed. Where it cannot be read now, what was read of it last."""
        self._again = True

    def look(self) -> None:
        """One look at the file, all on this thread."""
        text = self._changed()
        if text is not None:
            with self._refusing():
                self._adopt(self._prepare(text))

    def _changed(self) -> bytes | None:
        """The content, if it is new."""
        again, self._again = self._again, False
        text = self._news()
        return self._last if text is None and again else text

    def _news(self) -> bytes | None:
        stamp = self._signature()
        if stamp == self._stamp:
            return None
        text = self._content()
        self._stamp = stamp
        if text is None and stamp:  # there, but a directory, or nobody lets us read it
            self._seen = None  # what stood there before is news when it is back
            told = "cannot be read; what is in force stays"
            self._refused(ConfigError.one(told, where=str(self._path), fix="check what it is"))
        if text is None or digest(text) == (self._seen and digest(self._seen)):
            return None
        self._seen = self._last = text
        return text

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            self._refused(error)
        except Exception as bug:  # noqa: BLE001  # a bug in applying must not end the watch
            self._refused(ConfigError.one(f"{type(bug).__name__} while applying: {bug}"))

    def _signature(self) -> tuple[int, ...]:
        """Follows symlinks, so a swapped ``..data`` shows as another inode."""
        if self._path is None:
            return ()
        try:
            found = inside(self._path).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_dev

    def _content(self) -> bytes | None:
        if self._path is None:
            return None
        try:
            return inside(self._path).read_bytes()
        except OSError:
            return None
