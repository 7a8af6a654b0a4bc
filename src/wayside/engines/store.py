"""Where pulled models lie on this machine, and what was pulled.

A model lies in ``<store>/<owner>/<name>`` with ``wayside.lock.json`` beside its files: the
revision, and the size and SHA-256 of each. The lock is written last, so a folder without one is
not complete. ``WAYSIDE_MODELS`` names the store; it is ``~/.cache/wayside/models`` otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

LOCK: Final = "wayside.lock.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def store(env: Mapping[str, str] = os.environ) -> Path:
    """Where pulled models are kept."""
    told = env.get("WAYSIDE_MODELS")
    if told:
        return Path(told).expanduser()
    cache = env.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "wayside" / "models"


def is_repository(name: str) -> bool:
    """Whether ``name`` reads ``owner/name``."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def folder_of(repository: str) -> Path:
    """Where a pulled repository lies; the hub's names ignore case in the owner, so do we."""
    owner, _, name = repository.partition("/")
    return store() / owner.lower() / name


def pulled() -> list[str]:
    """Every complete model in the store."""
    return sorted(
        str(lock["repository"])
        for path in store().glob(f"*/*/{LOCK}")
        if (lock := lock_of(path.parent)) is not None
    )


def lock_of(folder: Path) -> dict[str, Any] | None:
    """What was pulled into ``folder``; nothing when it was not, or not to its end."""
    try:
        found = json.loads((folder / LOCK).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else None


def write_lock(
    folder: Path, repository: str, revision: str, licence: str, files: Mapping[str, Any]
) -> None:
    """Write down what lies in ``folder``; the same content gives the same bytes."""
    lock = {
        "repository": repository,
        "revision": revision,
        "license": licence,
        "files": dict(sorted(files.items())),
    }
    part = folder / f".{LOCK}.part"
    part.write_text(json.dumps(lock, indent=1) + "\n", "utf-8")
    part.replace(folder / LOCK)


def add_to_lock(folder: Path, made: Sequence[Path]) -> None:
    """Write down files that were made here from pulled ones."""
    lock = lock_of(folder)
    if lock is None:
        raise ValueError(f"{folder} has no {LOCK}")
    for path in made:
        name = path.relative_to(folder).as_posix()
        lock["files"][name] = {"sha256": sha256(path), "size": path.stat().st_size, "made": True}
    write_lock(folder, lock["repository"], lock["revision"], lock["license"], lock["files"])


def verify(folder: Path) -> Iterator[str]:
    """What differs from the lock, one sentence a file; nothing when all is well."""
    lock = lock_of(folder)
    if lock is None:
        yield f"{folder}: no {LOCK}; it was not pulled, or not to its end"
        return
    for name, told in lock["files"].items():
        path = beneath(folder, name)
        if not path.is_file():
            yield f"{path}: is missing"
        elif path.stat().st_size != told["size"]:
            yield f"{path}: has {path.stat().st_size} bytes, {told['size']} were pulled"
        elif sha256(path) != told["sha256"]:
            yield f"{path}: its content has changed"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beneath(folder: Path, name: str) -> Path:
    """The path of a file in ``folder``; ``ValueError`` for a name that leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} is outside of {folder}")
    return path
