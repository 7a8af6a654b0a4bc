"""A genuine API server for tests, and ``kubectl`` against it.

Found as ``$WAYSIDE_TESTAPI`` (a binary made by ``tests/apiserver/build.sh``), or unpacked from the
shared tools where they are. Without either, tests that need it skip; in CI, where it is present,
they fail instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.vocab.resource import NAMESPACES

SHARED = Path(os.environ.get("WAYSIDE_SHARED", Path(__file__).parents[2] / "shared"))
PACKED = SHARED / "tools" / "apiserver" / "testapi-linux-amd64.zst"
CRDS = SHARED / "data" / "crds"
"""CRDs of Gateway API, KServe, OpenShift and vSR, as their projects publish them."""


def lacking(what: str) -> NoReturn:
    """Skip; fail in CI, where what these tests need has to be there."""
    if os.environ.get("CI") and SHARED.exists():
        pytest.fail(what)
    pytest.skip(what)


def unpacked() -> Path:
    """The API server's binary, unpacked once per version of the packed one."""
    if built := os.environ.get("WAYSIDE_TESTAPI"):
        return Path(built)
    if not PACKED.exists():
        lacking(f"no API server: {PACKED} is not here; tests/apiserver/build.sh makes one")
    zstd = shutil.which("zstd")
    if zstd is None:
        lacking("no API server: zstd is not installed (apt-get install zstd)")
    about = PACKED.stat()
    ready = Path(tempfile.gettempdir()) / f"testapi-{about.st_size}-{int(about.st_mtime)}"
    if not ready.exists():
        half = ready.with_name(f"{ready.name}-{uuid.uuid4().hex}")
        subprocess.run([zstd, "-q", "-d", "-o", str(half), str(PACKED)], check=True)
        half.chmod(0o755)
        half.rename(ready)
    return ready


Done = subprocess.CompletedProcess[str]


class ApiServer:
    """One server process, which may be frozen, killed and started again with its data."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.folder, self.kubeconfig = folder, folder / "kubeconfig"
        self._binary, self._options = binary, options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it takes requests. It goes when we do, however we go."""
        self.kubeconfig.unlink(missing_ok=True)
        setpriv = shutil.which("setpriv")
        tied = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *tied,
                    str(self._binary),
                    "--kubeconfig",
                    str(self.kubeconfig),
                    "--gc=false",
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        ends = time.monotonic() + 60
        while not self.kubeconfig.exists():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < ends, "the API server did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[ApiServer]:
    """A server of one's own, for tests that freeze, fill or restart it."""
    server = ApiServer(unpacked(), folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Kubectl:
    """``kubectl`` as a user has it: ``kubectl("apply", "-f", path)`` is its output. A failure is
    an ``AssertionError`` with what it said; ``run(..., ok=False)`` gives how it ended."""

    def __init__(self, kubeconfig: Path, *, user: str = "") -> None:
        self.kubeconfig = kubeconfig
        self._user = ["--token", user] if user else []

    def run(
        self, *args: str, stdin: str = "", ok: bool = True
    ) -> subprocess.CompletedProcess[str]:
        program = shutil.which("kubectl")
        if program is None:
            lacking("kubectl is not installed (apt-get install kubernetes-client)")
        ends = time.monotonic() + 20
        while True:
            done = subprocess.run(
                [program, "--kubeconfig", str(self.kubeconfig), *self._user, *args],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=60,
            )
            # `kubectl wait` gives up on an object that has no conditions yet, such as a new CRD.
            if "conditions accessor error" not in done.stderr or time.monotonic() > ends:
                break
            time.sleep(0.05)
        assert not ok or done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done

    def __call__(self, *args: str, stdin: str = "") -> str:
        return self.run(*args, stdin=stdin).stdout

    def apply(self, *objects: dict[str, Any], namespace: str = "") -> str:
        """Apply objects under kubectl's own strict validation."""
        where = ["-n", namespace] if namespace else []
        return self(*where, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


@pytest.fixture(scope="session")
def binary() -> Path:
    """The API server, unpacked once per version of the packed one."""
    return unpacked()


@pytest.fixture(scope="session")
def kubeconfig(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A genuine API server that has nothing but what the tests put there; one for each worker."""
    with serving(tmp_path_factory.mktemp("kube")) as server:
        yield server.kubeconfig


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    return Kubectl(kubeconfig)


@pytest.fixture
async def admin(kubeconfig: Path) -> AsyncIterator[Client]:
    client = Client(find_access(str(kubeconfig)))
    yield client
    client.close()
    for _ in range(3):  # its connections end with the loop's next turns
        await asyncio.sleep(0)


@pytest.fixture
async def namespace(admin: Client) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    await admin.create(NAMESPACES, {"metadata": {"name": name}})
    return name
