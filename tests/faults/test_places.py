"""Faults 37 to 40: pages, operators, processes, and what is installed."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.gateway.api_rig import listening
from wayside.engines import modelfile

ROOT = Path(__file__).parents[2]
CRD = ROOT / "deploy/operator/config/crd/bases/vllm.ai_semanticrouters.yaml"
MARKUP = "<img src=x onerror=alert(1)>"


async def test_fault_37_pages_of_the_management_api_show_names_as_text() -> None:
    """Expected: names with markup are text, a policy allows nothing from elsewhere and no frame
    around it, no other site may read an answer."""
    config = yaml.safe_dump(
        {
            "models": {MARKUP: {"endpoints": ["http://127.0.0.1:1"]}},
            "routing": {"default_model": MARKUP},
        }
    )
    async with listening(None, config) as api, aiohttp.ClientSession() as session:
        async with session.get(f"{api.url}/docs", headers={"origin": "http://evil"}) as answer:
            page, headers = await answer.text(), answer.headers
        assert MARKUP not in page
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        for path in ("/docs", "/info/models", "/v1/models"):
            async with session.get(api.url + path, headers={"origin": "http://evil"}) as answer:
                assert "access-control-allow-origin" not in answer.headers
                if answer.content_type == "text/html":
                    assert MARKUP not in await answer.text()
        async with session.options(f"{api.url}/api/v1") as answer:
            assert answer.status in (404, 405)
        for path in (
            "/../../etc/passwd",
            "/docs/../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
        ):
            async with session.get(api.url + path) as answer:
                assert b"root:" not in await answer.read() and answer.status in (404, 200)


def test_fault_38_absurd_values_are_refused_by_the_schema() -> None:
    """Expected: a schema refuses what no cluster can do before anybody acts on it. (The rest of
    the row is shown on the genuine API server, by the tests that the register names.)"""
    crd = yaml.safe_load(CRD.read_text("utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    replicas = schema["properties"]["replicas"]
    assert replicas["type"] == "integer" and replicas["minimum"] >= 0
    assert replicas.get("maximum", 2**31) <= 2**31


GOOD = "models: {m: {endpoints: [http://127.0.0.1:1]}}\nlimits: {drain_s: 1}\n"


class Served:
    """``wayside serve`` as a process."""

    def __init__(self, folder: Path, text: str, **env: str) -> None:
        config = folder / "wayside.yaml"
        config.write_text(text)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wayside", "serve", "-c", str(config)],
                stderr=log,
                cwd=folder,
                env={**os.environ, **env},
            )

    def url(self, event: str = "serving") -> str:
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                said = json.loads(line) if line.startswith("{") else {}
                if said.get("event") == event:
                    return str(said["url"])
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait(20)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_fault_39_a_port_in_use_is_told_with_its_key(tmp_path: Path, taken: int) -> None:
    """Expected: a clear message and an exit status, no traceback."""
    served = Served(tmp_path, GOOD + f"listen: {{port: {taken}}}\nmanagement: {{port: 0}}\n")
    assert served.process.wait(20) not in (0, -9)
    said = served.log.read_text()
    assert "listen.port" in said and str(taken) in said and "Traceback" not in said


def test_fault_39_a_term_drains_and_a_kill_is_survived(tmp_path: Path) -> None:
    """Expected: a signal drains and ends within its time with status 0; after a kill the next
    start serves at once, without a folder for temporary files and with few files to open."""
    text = GOOD + "listen: {port: 0}\nmanagement: {port: 0}\n"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    served = Served(tmp_path, text, TMPDIR="/nowhere")
    try:
        url = served.url()
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (40, before[1]))
        port = int(url.rsplit(":", 1)[1].partition("/")[0])
        crowd = []
        for _ in range(60):
            crowd.append(socket.create_connection(("127.0.0.1", port), 2))
        for held in crowd:
            held.close()
        time.sleep(0.3)
        with urllib.request.urlopen(f"{url}/models", timeout=5) as answer:
            assert answer.status == 200, "it is still there after it ran out of files"
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(10)
        began = time.monotonic()
        served = Served(tmp_path, text)
        with urllib.request.urlopen(f"{served.url()}/models", timeout=5) as answer:
            assert answer.status == 200
        assert time.monotonic() - began < 15
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0
        assert "stopped" in served.log.read_text()
    finally:
        served.end()


def test_fault_40_every_package_of_the_lock_has_its_hashes_and_none_is_missing() -> None:
    """Expected: hashes are enforced for whatever is installed from the lock, and the lock is not
    older than what the project asks for."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    locked = {package["name"] for package in lock["package"]}
    for package in lock["package"]:
        if "registry" in package["source"]:
            files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
            assert files and all(f["hash"].startswith("sha256:") for f in files), package["name"]
    extras = project["project"].get("optional-dependencies", {})
    wanted = [*project["project"]["dependencies"], *(d for more in extras.values() for d in more)]
    for need in wanted:
        name = re.split(r"[\[<>=!~; ]", need, maxsplit=1)[0].lower()
        name = re.sub(r"[._]", "-", name)
        assert name in locked or name == "wayside", name


def test_fault_40_nothing_that_is_installed_runs_when_python_starts() -> None:
    """Expected: no dependency brings a ``.pth`` that runs code at every start."""
    ours = metadata.requires("wayside") or []
    assert ours
    site = Path(pytest.__file__).parents[1]
    running = [
        path.name
        for path in site.glob("*.pth")
        for line in path.read_text("utf-8", "replace").splitlines()
        if line.startswith(("import ", "import\t"))
    ]
    known = ("_virtualenv.pth", "distutils-precedence.pth", "_editable_impl_wayside.pth")
    assert [name for name in running if name not in known] == []


def test_fault_40_a_model_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    """Expected: a file of weights that is cut short or damaged is none."""
    found = ROOT / "src" / "wayside" / "engines" / "weights" / "complexity.model"
    raw = found.read_bytes()
    for damaged in (raw[: len(raw) // 2], b"", b"PK" + raw[2:], b"\0" * 64 + raw[64:]):
        path = tmp_path / found.name
        path.write_bytes(damaged)
        with pytest.raises((ValueError, OSError)):
            modelfile.read(path)
