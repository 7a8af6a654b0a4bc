"""Bars are for people who look on: nothing of them is in what a command prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from wayside.cli.progress import EVERY, clock, counted

STEPS = """
from wayside.cli.progress import counted
print("before", flush=True)
with counted("reading", 40) as step:
    for _ in range(40):
        step()
print("after")
"""


def test_in_a_pipe_nothing_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    with counted("reading", 40) as step:
        for _ in range(40):
            step()
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_it_is_drawn_beside_what_is_printed() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", STEPS], stdout=subprocess.PIPE, stderr=theirs, env=env
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # the other end is closed, and all of it was read
        pass
    os.close(ours)
    assert done.stdout == b"before\nafter\n"
    assert b"reading" in drawn and b"40/40" in drawn


def test_drawing_is_in_no_measurement() -> None:
    """The clock steps after it was read for the end of a measurement, never at its beginning."""
    told: list[str] = []
    read = clock(lambda: told.append("step"))
    for _ in range(EVERY):
        read()
        told.append("work")
        read()
    assert told == ["work", "step"] * EVERY
