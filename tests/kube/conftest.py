"""A fake API server for bad days, and a genuine one for what its answers mean."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.kube.resource import NAMESPACES

from .fake import FakeApi, serving

SHARED = Path(os.environ.get("WAYSIDE_SHARED", Path(__file__).parents[3] / "shared"))
PACKED = SHARED / "tools" / "apiserver" / "testapi-linux-amd64.zst"


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: object, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What goes over the wire runs on uvloop, which carries production, and on plain asyncio."""
    plain = {"asyncio": asyncio.SelectorEventLoop}
    if item.path.name not in ("test_client.py", "test_watch.py"):
        return plain
    return {"uvloop": uvloop.new_event_loop, **plain}


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serving() as api:
        yield api


@pytest.fixture(scope="session")
def binary() -> Path:
    """The API server, unpacked once per version of the packed one."""
    if not PACKED.exists():
        pytest.skip(f"{PACKED} is not here")
    zstd = shutil.which("zstd")
    if zstd is None:
        pytest.skip("zstd is not installed")
    about = PACKED.stat()
    unpacked = Path(tempfile.gettempdir()) / f"testapi-{about.st_size}-{int(about.st_mtime)}"
    if not unpacked.exists():
        half = unpacked.with_name(f"{unpacked.name}-{uuid.uuid4().hex}")
        subprocess.run([zstd, "-q", "-d", "-o", str(half), str(PACKED)], check=True)
        half.chmod(0o755)
        half.rename(unpacked)
    return unpacked


@pytest.fixture(scope="session")
def kubeconfig(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A genuine API server that has nothing but what the tests put there."""
    folder = tmp_path_factory.mktemp("kube")
    config = folder / "kubeconfig"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(binary), "--kubeconfig", str(config)], stdout=log, stderr=log, cwd=folder
        )
    try:
        ends = time.monotonic() + 60
        while not config.exists():
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < ends, "the API server did not start"
            time.sleep(0.02)
        yield config
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
async def admin(kubeconfig: Path) -> AsyncIterator[Client]:
    client = Client(find_access(str(kubeconfig)))
    yield client
    client.close()


@pytest.fixture
async def namespace(admin: Client) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    await admin.create(NAMESPACES, {"metadata": {"name": name}})
    return name
