"""Bars are for people who look on: nothing of them is in what a command prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from wayside.cli.progress import EVERY, clock, counted

WAITS = """
import time
from wayside.cli.deploy_show import Progress
shown = Progress()
shown.tell("step", "models")
shown.tell("waiting", "Deployment small")
time.sleep(0.2)
shown.tell("created", "Service small")
"""
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
    printed, drawn = watched(STEPS)
    assert printed == b"before\nafter\n"
    assert b"reading" in drawn and b"40/40" in drawn


def test_something_moves_while_a_deployment_waits() -> None:
    printed, drawn = watched(WAITS)
    assert printed.splitlines()[1:] == [b"  ... Deployment small", b"  + Service small"]
    assert b"waiting" in drawn
    assert drawn.count(b"?25l") == drawn.count(b"?25h") == 1  # the cursor is given back


def watched(program: str) -> tuple[bytes, bytes]:
    """What a program prints, and what a terminal on its standard error is told."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, env=env
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # the other end is closed, and all of it was read
        pass
    os.close(ours)
    return done.stdout, drawn


def test_drawing_is_in_no_measurement() -> None:
    """The clock steps after it was read for the end of a measurement, never at its beginning."""
    told: list[str] = []
    read = clock(lambda: told.append("step"))
    for _ in range(EVERY):
        read()
        told.append("work")
        read()
    assert told == ["work", "step"] * EVERY
