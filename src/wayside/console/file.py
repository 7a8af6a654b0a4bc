"""The file that the configuration is in: read, found to be writable or not, replaced at once."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside.console.inside import Inside
from wayside.console.versions import Versions
from wayside.runtime.reload import digest
from wayside.runtime.reload import inside as in_folder
from wayside.settings.console import ConsoleSettings

MAX_BYTES: Final = 256 << 10
"""A larger file is shown, and changed elsewhere."""


@dataclass(frozen=True, slots=True)
class File:
    """What stands in the file now. ``why`` says why it cannot be written; empty where it can."""

    path: Path | None
    text: bytes
    why: str

    @property
    def etag(self) -> str:
        return digest(self.text)


class ConfigFile:
    """Where the configuration stands."""

    def __init__(self, inside: Inside, settings: ConsoleSettings, versions: Versions) -> None:
        self._inside, self._settings, self._versions = inside, settings, versions

    def now(self) -> File:
        """The file now; blocks for as long as a disk takes."""
        said = self._inside.state.path
        place = None if said in ("", "-", "standard input") else in_folder(Path(said))
        text = self._inside.written().text
        if place is not None:
            try:
                with place.open("rb") as opened:
                    text = opened.read(MAX_BYTES + 1)
            except OSError as error:
                return File(None, text, f"it cannot be read: {error.strerror}")
        return File(place, text, self._why_not(place, text))

    def _why_not(self, place: Path | None, text: bytes) -> str:
        """Why the file cannot be written; empty where it can."""
        if not self._settings.write:
            return "management.console.write is false"
        if place is None:
            return "the configuration was not read from a file"
        if self._inside.settings().registry is not None:
            return "part of it is in a Kubernetes cluster: change the resources there"
        if len(text) > MAX_BYTES:
            return f"it is larger than {MAX_BYTES >> 10} KiB: edit it where it is"
        if (place.parent / "..data").is_symlink():
            return "it is a mounted ConfigMap: change that, and it is put in force"
        if place.is_mount():
            return "the file is mounted by itself: mount its folder, so that it can be replaced"
        real = place.resolve()
        if not os.access(real, os.W_OK) or not os.access(real.parent, os.W_OK):
            return f"this process may not write {real}, or its folder"
        try:
            self._versions.writable()
        except OSError as error:
            return (
                f"versions cannot be kept in {self._versions.folder} ({error.strerror}): set "
                "management.console.folder to a folder that can be written"
            )
        return ""


def replace_file(path: Path, text: bytes) -> None:
    """Put ``text`` in the place of a file at once: readers see the old one or the new one. It
    keeps its mode and, where we may give it, its owner; a link is followed. Raises ``OSError``."""
    real = path.resolve()
    found = real.stat()
    beside = real.with_name(f".{real.name}.wayside-new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):
                    os.fchown(file.fileno(), found.st_uid, found.st_gid)
            os.fchmod(file.fileno(), found.st_mode & 0o777)
        beside.replace(real)
    finally:
        beside.unlink(missing_ok=True)
