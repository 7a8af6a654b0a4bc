"""Versions of the configuration, kept before each change: what rollback goes back to.

A version is two files in a folder that only we may read: what is known of it, and its text.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from wayside.console.audit import private
from wayside.runtime.reload import digest

FOLDER: Final = "versions"
FOUND: Final = "as it was found"
_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}(?:-[0-9]{1,4})?")
_LONGEST_NOTE: Final = 300


@dataclass(frozen=True, slots=True)
class Kept:
    """One version. ``at`` is Unix seconds; ``by`` is empty for what somebody wrote elsewhere."""

    version: str
    at: float
    by: str
    note: str
    digest: str


class Versions:
    """The newest ``keep`` versions. Everything raises ``OSError`` where the folder fails."""

    def __init__(self, folder: Path, keep: int, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._keep, self._clock = folder / FOLDER, keep, clock

    def writable(self) -> None:
        """Raises ``OSError`` where nothing can be kept."""
        private(self.folder)
        probe = self.folder / f".{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink(missing_ok=True)

    def keep(self, text: bytes, by: str, note: str) -> Kept:
        """One more; nothing is added if the newest says the same."""
        known = self.all()
        if known and known[0].digest == digest(text):
            return known[0]
        now = self._clock()
        if known:
            now = max(now, known[0].at + 0.001)  # clocks go back, and versions have an order
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        name = f"{stamp}-{digest(text)[:8]}"
        taken = {kept.version for kept in known}
        name = next(n for n in [name, *(f"{name}-{i}" for i in range(1, 9999))] if n not in taken)
        kept = Kept(name, round(now, 3), by, note[:_LONGEST_NOTE], digest(text))
        private(self.folder)
        self._write(f"{name}.yaml", text)
        self._write(f"{name}.json", json.dumps(asdict(kept)).encode())
        for old in known[self._keep - 1 :]:
            (self.folder / f"{old.version}.json").unlink(missing_ok=True)
            (self.folder / f"{old.version}.yaml").unlink(missing_ok=True)
        return kept

    def all(self) -> list[Kept]:
        """The newest first; one whose file is damaged is left out."""
        found = []
        try:
            paths = list(self.folder.glob("*.json"))
        except OSError:
            return []
        for path in paths:
            try:
                found.append(Kept(**json.loads(path.read_bytes())))
            except (OSError, ValueError, TypeError):
                continue
        return sorted(found, key=lambda kept: (kept.at, kept.version), reverse=True)

    def text(self, version: str) -> bytes | None:
        """``None`` for one that there is not, or is no more."""
        if not _NAME.fullmatch(version):
            return None
        try:
            return (self.folder / f"{version}.yaml").read_bytes()
        except OSError:
            return None

    def _write(self, name: str, content: bytes) -> None:
        beside = self.folder / f".{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(content)
        beside.replace(self.folder / name)
