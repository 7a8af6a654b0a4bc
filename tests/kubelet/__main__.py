"""The process that plays the cluster; :class:`tests.kubelet.Cluster` starts it.

It is told things by lines of JSON, and answers each with one. It ends with its standard input;
whatever it started ends with it, for it is process 1 of its own process numbers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kubelet import stand_ins
from tests.kubelet.deployments import Claims, Deployments
from tests.kubelet.images import Image
from tests.kubelet.net import Network
from tests.kubelet.pods import Kubelet, Node, release
from tests.kubelet.services import Services
from tests.kubelet.world import World, say
from wayside.kube.client import Client
from wayside.kube.errors import KubeError
from wayside.kube.kubeconfig import find_access
from wayside.vocab.resource import (
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
)

FOLLOWED = (DEPLOYMENTS, PODS, SERVICES, ENDPOINT_SLICES, CONFIG_MAPS, SECRETS, CLAIMS)


class Playing:
    """Everything, wired."""

    async def begin(self, said: dict[str, Any]) -> None:
        access = find_access(said["kubeconfig"])
        scratch = Path(said["folder"]) / "scratch"
        scratch.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(scratch)], check=True)
        scratch.chmod(0o755)
        self.world = World(Client(access), said["namespaces"])
        await self.world.follow(*FOLLOWED, SERVICE_ACCOUNTS, STORAGE_CLASSES)
        self.network = Network()
        await self.network.start()
        node = Node(
            world=self.world,
            network=self.network,
            images={name: Image(**about) for name, about in said["images"].items()},
            scratch=scratch,
            logs=Path(said["folder"]),
            authority=access.ca.read().encode() if access.ca else b"",
            haste=said["haste"],
            delay_s=said["delay_s"],
        )
        self.kubelet = Kubelet(node)
        server = access.server
        api = server.host, server.port
        self.services = Services(self.world, self.network, api, said["outside"])
        await self.services.start()
        self.world.keep(Claims(self.world).step)
        self.world.keep(Deployments(self.world).step)
        self.world.keep(self.kubelet.step)
        for name in said["stand_ins"]:
            await stand_ins.play(self.world, name)

    async def do(self, said: dict[str, Any]) -> Any:
        if said["do"] == "adopt":
            return self.world.adopt(said["namespace"])
        if said["do"] == "forward":
            return await self.services.forward(said["namespace"], said["service"], said["port"])
        found = self.kubelet.find(said["namespace"], said["pod"], said["container"])
        if said["do"] == "signal":
            return found.signal(said["number"])
        code, output = await found.execute(said["argv"])
        if code:
            raise RuntimeError(f"exit status {code}: {output}")
        return output

    async def end(self) -> None:
        """Let go of the pods, so that nobody waits for us; the processes end by themselves."""
        for pod in self.world.all(PODS):
            try:
                await release(self.world, pod)
            except KubeError as error:
                say(error)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, reader.feed_eof)
    playing = Playing()
    await playing.begin(json.loads(await reader.readline()))
    print(json.dumps({"value": None}), flush=True)
    while line := await reader.readline():
        try:
            answer = {"value": await playing.do(json.loads(line))}
        except Exception as problem:
            answer = {"problem": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(answer), flush=True)
    await playing.end()
    os._exit(0)  # what is asked of the processes takes its time; they are killed with us


asyncio.run(main())
