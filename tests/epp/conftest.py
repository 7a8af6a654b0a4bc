"""Fixtures shared by the ext_proc tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, because a Unix socket's has at most 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="ws-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)
