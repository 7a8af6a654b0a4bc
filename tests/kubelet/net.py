"""The cluster's network: a bridge in a namespace of its own, and a namespace for each pod.

A socket belongs for ever to the namespace that its thread was in when it was made. So one thread
lives in the cluster's namespace and makes sockets there; the event loop uses them from outside,
beside those that lead to the API server and to the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.kubelet.world import say

CLONE_NEWNET = 0x40000000
NODE = "10.244.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


def _ip(*lines: str) -> None:
    for line in lines:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"ip {line}: {done.stderr.strip()}")


class Network:
    """Pods get addresses of 10.244.0.0/16, one after another; Services keep their clusterIP."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=_leave)
        self._taken = 1
        self._ours: set[str] = set()

    async def start(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        await self._inside(
            _ip,
            "link set lo up",
            "link add cluster type bridge",
            f"addr add {NODE}/16 dev cluster",
            "link set cluster up",
        )

    async def attach(self, name: str) -> str:
        """Make the namespace of a pod; its address."""
        self._taken += 1
        n = self._taken
        address = f"10.244.{n >> 8}.{n & 255}"
        await self._inside(
            _ip,
            f"netns add {name}",
            f"link add v{n} type veth peer name eth0 netns {name}",
            f"link set v{n} master cluster up",
            f"-n {name} addr add {address}/16 dev eth0",
            f"-n {name} link set eth0 up",
            f"-n {name} link set lo up",
            f"-n {name} route add default via {NODE}",
        )
        return address

    async def detach(self, name: str) -> None:
        """Its cable goes with it."""
        with contextlib.suppress(OSError):
            await self._inside(_ip, f"netns del {name}")

    async def own(self, address: str) -> None:
        """Answer for ``address``, too."""
        if address not in self._ours:
            self._ours.add(address)
            await self._inside(_ip, f"addr add {address}/32 dev cluster")

    async def listen(self, address: str, port: int, handle: Handler) -> asyncio.Server:
        """A TCP server within the cluster."""
        made = await self._inside(_bound, socket.SOCK_STREAM, address, port)
        return await asyncio.start_server(handle, sock=made)

    async def datagrams(self, address: str, port: int, make: Callable[[], Any]) -> None:
        made = await self._inside(_bound, socket.SOCK_DGRAM, address, port)
        await asyncio.get_running_loop().create_datagram_endpoint(make, sock=made)

    async def connect(
        self, address: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from the node to a pod. Raises ``OSError``."""
        made = await self._inside(socket.socket)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, port))
            name = address if tls else None
            return await asyncio.open_connection(sock=made, ssl=tls, server_hostname=name)
        except BaseException:
            made.close()
            raise

    async def _inside(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)


def _bound(kind: int, address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.setblocking(False)
    return made


_carrying: set[asyncio.Task[None] | None] = set()
"""The event loop itself would let go of tasks that only wait for each other."""


async def splice(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes both ways until both ends have had enough."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    me = asyncio.current_task()
    _carrying.add(me)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(near[0], far[1]))
            group.create_task(carry(far[0], near[1]))
    except* OSError:  # one end is gone: the other shall see it
        near[1].transport.abort()
        far[1].transport.abort()
    finally:
        _carrying.discard(me)
        near[1].close()
        far[1].close()


class Balancer:
    """One address of a Service: each connection goes to the next of its ``targets``."""

    def __init__(self, network: Network) -> None:
        self.targets: tuple[tuple[str, int], ...] = ()
        self.server: asyncio.Server | None = None
        self._network, self._turn = network, 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.targets:
            self._turn += 1
            try:
                far = await self._network.connect(*self.targets[self._turn % len(self.targets)])
            except OSError as error:
                say("connection refused by an endpoint:", error)
                continue
            await splice((reader, writer), far)
            return
        writer.transport.abort()
