"""A ConfigMap as the kubelet mounts it: files are links through ``..data``, which is replaced."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path

_versions = itertools.count()


def mount(folder: Path, files: Mapping[str, str]) -> None:
    """Put ``files`` in place of what is there, all at once, as kubelet's AtomicWriter does: a
    directory of the new version, a link to it that is renamed to ``..data``, then links of files
    that are new, away with those that are gone, and with the old version."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..2026_{next(_versions)}"
    version.mkdir()
    for name, text in files.items():
        (version / name).write_text(text)
    data, half = folder / "..data", folder / "..data_tmp"
    before = data.readlink() if data.is_symlink() else None
    half.symlink_to(version.name)
    half.rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in files:
            path.unlink()
    if before is not None:
        shutil.rmtree(folder / before)
