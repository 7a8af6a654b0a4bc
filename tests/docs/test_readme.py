"""README and the examples do what they say: files are written, commands run, servers answer.

Three comments steer it, each on the line above a fenced block: ``<!-- file: NAME -->`` writes the
block, ``<!-- run -->`` runs it, ``<!-- background: PORTS -->`` starts it and waits for the ports.
Ports are replaced by free ones, so that tests can run side by side.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, Block, blocks

PORTS = ("9001", "9002", "9003", "8801", "8080")
PATIENCE_S = 60.0
NEWCOMERS = (
    ROOT / "README.md",
    ROOT / "docs/tutorials/first-own-decision.md",
    ROOT / "docs/tutorials/from-nothing-to-a-routed-cluster.md",
)
"""Pages that ``test_newcomer.py`` runs."""
MARKED = re.compile(r"file: |run$|background: ")


def pages() -> list[Path]:
    """Every page with blocks that are to be run."""
    found = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").glob("*/README.md")),
    ]
    return [p for p in found if any(MARKED.match(b.mark) for b in blocks(p))]


class Stage:
    """A folder, free ports, and the process groups started in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._groups: list[subprocess.Popen[bytes]] = []
        self._env = {k: v for k, v in os.environ.items() if k != "WAYSIDE_CONFIG"}
        here = Path(sys.executable).parent
        self._env |= {"PATH": f"{here}:{os.environ['PATH']}", "NO_PROXY": "*"}

    def bring(self, folder: Path) -> None:
        """The files beside an example's page."""
        for file in folder.glob("*.yaml"):
            self._write(self._folder / file.name, self._moved(file.read_text()))

    def put(self, block: Block) -> None:
        what, _, argument = block.mark.partition(":")
        text = self._moved(block.text)
        if what == "file":
            self._write(self._folder / argument.strip(), text)
        elif what == "run":
            assert self.run(text).strip(), f"{block} printed nothing"
        elif what == "background":
            self._start(text, [int(self._moved(port)) for port in argument.split()])

    def close(self) -> None:
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group.pid, signal.SIGTERM)
            try:
                group.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(group.pid, signal.SIGKILL)
                group.wait()

    def _moved(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"(?<![0-9]){port}(?![0-9])", str(free), text)
        return text

    def _write(self, path: Path, text: str) -> None:
        """A configuration of ours also gets the ports that it leaves at their defaults."""
        found = list(yaml.safe_load_all(text)) if path.suffix == ".yaml" else []
        if len(found) == 1 and "models" in found[0] and "target" not in found[0]:
            for key, port in (("listen", "8801"), ("management", "8080")):
                if key not in found[0]:
                    text += f"{key}: {{port: {self._ports[port]}}}\n"
        path.write_text(text)

    def run(self, text: str) -> str:
        """What it prints; ports are replaced before."""
        text = self._moved(text)
        found = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", text],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert found.returncode == 0, f"{text}\n{found.stdout}\n{found.stderr}"
        return found.stdout

    def _start(self, text: str, ports: list[int]) -> None:
        log = (self._folder / f"background-{len(self._groups)}.log").open("wb")
        with log:
            group = subprocess.Popen(
                # the shell stays until its children have ended, so that they can be waited for
                ["bash", "-c", f"trap 'wait; exit' TERM\n{text}\nwait"],
                cwd=self._folder,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._groups.append(group)
        for port in ports:
            until(lambda port=port: listens(port), log.name)
        if "wayside serve" in text:
            until(lambda: ready(self._ports["8080"]), log.name)


def free_ports(count: int) -> list[str]:
    """One after the other, as simulators take them."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError, OverflowError):
            first = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return [str(first + i) for i in range(count)]


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def ready(port: str) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    return False


def until(true: object, log: str) -> None:
    assert callable(true)
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, Path(log).read_text()
        time.sleep(0.05)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize(
    "page", [p for p in pages() if p not in NEWCOMERS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_page_does_what_it_says(page: Path, stage: Stage) -> None:
    marked = [b for b in blocks(page) if MARKED.match(b.mark)]
    assert any(b.mark == "run" for b in marked)
    if page.parent != ROOT:
        stage.bring(page.parent)
    for block in marked:
        stage.put(block)


def test_the_first_page_is_tried() -> None:
    assert ROOT / "README.md" in pages()


def test_every_page_is_found_from_the_list_of_pages() -> None:
    """Pages of a family of kinds stand in that family's own list, which is generated."""
    docs = ROOT / "docs"
    listed = (docs / "README.md").read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", listed)}
    for page in set(docs.rglob("*.md")) - {docs / "README.md"}:
        place = page.relative_to(docs)
        family = place.parent if (page.parent / "README.md").exists() else docs
        ways = {str(place), str(place.parent), str(family / "README.md")}
        assert ways & links, f"{place} stands nowhere in docs/README.md"
