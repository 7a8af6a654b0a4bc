"""A folder to stand in, and the command line as people meet it: exit status, both outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from wayside.cli import cli
from wayside.cli.config import EXAMPLE


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Wayside = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAYSIDE_CONFIG", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def wayside(here: Path) -> Wayside:
    """``wayside(*arguments)`` inside this process."""

    def run(*arguments: str, text: str | bytes | None = None) -> Said:
        found = CliRunner().invoke(cli, arguments, input=text, catch_exceptions=False)
        return Said(found.exit_code, found.stdout, found.stderr)

    return run


@pytest.fixture
def process(here: Path) -> Wayside:
    """``process(*arguments)`` as a process of its own: what a shell sees."""

    def run(*arguments: str, text: str = "", env: dict[str, str] | None = None) -> Said:
        found = subprocess.run(
            [sys.executable, "-m", "wayside", *arguments],
            input=text.encode(),
            capture_output=True,
            timeout=60,
            cwd=here,
            env={**os.environ, **(env or {})},
        )
        return Said(found.returncode, found.stdout.decode(), found.stderr.decode())

    return run


@pytest.fixture
def example(here: Path) -> Path:
    """The example of ``config example`` as ``wayside.yaml``."""
    path = here / "wayside.yaml"
    path.write_text(EXAMPLE)
    return path
