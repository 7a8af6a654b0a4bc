"""A newcomer's path: the front page, the console, then a decision, a signal, a deployment.

What runs is the text of the pages, block by block; nothing is done for the reader behind their
back but to replace ports that may be taken. The commands of each page have to fit into the
minutes that the page promises, with the time to read it on top.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.docs.test_readme import MARKED, Stage, stage

__all__ = ["stage"]  # a fixture
README = ROOT / "README.md"
DECISION = ROOT / "docs" / "tutorials" / "first-own-decision.md"
SIGNAL = ROOT / "docs" / "tutorials" / "first-own-signal.md"
CLUSTER = ROOT / "docs" / "tutorials" / "from-nothing-to-a-routed-cluster.md"
MINUTES = {"five minutes": 5, "ten minutes": 10, "half an hour": 30}
SHARE = 0.5
"""Of the minutes that a page promises, for its commands: the rest is for reading and typing."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has run nothing before."""
    for name, folder in (("HOME", "home"), ("XDG_STATE_HOME", "state")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))


@contextmanager
def as_promised(page: Path) -> Iterator[None]:
    """The commands of a page take no more than a share of the minutes it speaks of."""
    text = page.read_text(encoding="utf-8").lower()
    promised = min(minutes for words, minutes in MINUTES.items() if words in text)
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took <= promised * 60 * SHARE, f"{page.name} promises {promised} minutes: {took:.0f} s"


def walk(page: Path, stage: Stage, *marks: str) -> None:
    """Every marked block of a page, top to bottom; further ``marks`` are run as ``run`` is."""
    for block in blocks(page):
        if MARKED.match(block.mark):
            stage.put(block)
        elif block.mark in marks:
            stage.put(block._replace(mark="run"))


def test_the_front_page_and_its_console(stage: Stage) -> None:
    with as_promised(README):
        walk(README, stage)
    link = stage.run("wayside console token --rotate").strip().splitlines()[-1]
    base, _, token = link.partition("#token=")
    assert token and base.endswith("/console/")
    with urllib.request.urlopen(base, timeout=5) as page:
        assert b"<div id=" in page.read()
    body = json.dumps({"token": token}).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"{base}api/login", data=body, headers=headers)
    with urllib.request.urlopen(asked, timeout=5) as answer:
        cookie = answer.headers["set-cookie"].partition(";")[0]
    asked = urllib.request.Request(f"{base}api/me", headers={"cookie": cookie})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert json.loads(answer.read())["role"] == "admin"


def test_a_decision_of_ones_own(stage: Stage) -> None:
    with as_promised(DECISION):
        walk(DECISION, stage)


def test_a_signal_of_ones_own(tmp_path: Path) -> None:
    """On a copy of the project, every file a link to the real one."""
    root = tmp_path / "project"
    for part in ("src/wayside", "tests/contracts", "tests/signals", "docs/reference/signals"):
        leave = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(ROOT / part, root / part, copy_function=os.symlink, ignore=leave)
    (root / "tests" / "__init__.py").touch()
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (root / "bin").mkdir()
    (root / "bin" / "wayside").write_text('#!/bin/sh\nexec python -m wayside "$@"\n')
    (root / "bin" / "wayside").chmod(0o755)
    with as_promised(SIGNAL):
        for block in blocks(SIGNAL):
            if block.mark.startswith("source: "):
                (root / block.mark.removeprefix("source: ")).write_text(block.text)
            elif block.mark == "here":
                told = in_copy(root, block)
    assert "courteous answers" in told
    assert "politeness:polite" in told and "please, kindly, would you" in told


def in_copy(root: Path, block: Block) -> str:
    """What a block's commands print, where ``wayside`` is the copy's."""
    path = f"{root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(root / "src")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["bash", "-e", "-c", block.text],
        cwd=root, env=env, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_deployment_of_ones_own(stage: Stage) -> None:
    """The part in a cluster is run by the tests of ``tests/deploy`` and ``tests/e2e``."""
    with as_promised(CLUSTER):
        walk(CLUSTER, stage, "deploy")


def test_each_page_leads_to_the_next() -> None:
    """From the front page, by links that a newcomer sees."""
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (DECISION, SIGNAL, CLUSTER):
        assert f"(tutorials/{page.name})" in listed
    assert "(docs/README.md)" in README.read_text(encoding="utf-8")
    assert re.search(r"\(first-own-signal\.md\)", CLUSTER.read_text(encoding="utf-8"))
