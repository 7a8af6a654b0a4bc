"""Folders of our own, for as long as a process lives."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wayside.vocab.errors import ConfigError


def scratch(name: str, needed_by: str) -> Path:
    """A new folder that nobody else may read. Raises :class:`ConfigError` where nothing can be
    written: a pod with a read-only root and no ``/tmp``, for example."""
    try:
        return Path(tempfile.mkdtemp(prefix=name))
    except OSError:
        raise ConfigError.one(
            f"{needed_by} needs a folder that can be written, and there is none",
            where="TMPDIR",
            fix="mount one (an emptyDir) at /tmp, or set TMPDIR to where it is",
        ) from None
