"""A proxy before a genuine API server: it counts, refuses, loses answers and cuts watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from wayside.kube.access import Access
from wayside.settings.address import parse_address

WRITES = ("POST", "PUT", "PATCH", "DELETE")
Fault = int | Literal["", "lost", "dead", "slow"]
"""A status; ``lost``: done, and its answer lost; ``dead``: nothing is done and the connection
closed; ``slow``: after a tenth of a second."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    watch: bool
    agent: str = ""

    @property
    def writes(self) -> bool:
        """Of an object: Leases and Events are not what an object shall be."""
        return self.method in WRITES and not ("/leases" in self.path or "/events" in self.path)


@dataclass
class Proxy:
    """``fault`` is asked about each request as it comes; its answer is what befalls it."""

    access: Access
    asked: list[Asked] = field(default_factory=list)
    fault: Callable[[Asked], Fault] = lambda asked: ""
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, but for a while in which everything is taken and nothing answered."""

    def writes(self) -> list[Asked]:
        return [a for a in self.asked if a.writes]

    def cut(self) -> None:
        """End all watches, in the middle."""
        for task in list(self.streams):
            task.cancel()


@asynccontextmanager
async def proxying(upstream: Access) -> AsyncIterator[Proxy]:
    """A plain-http door to ``upstream``; what comes through it is whoever it says it is."""
    proxy = Proxy(upstream)
    proxy.thawed.set()
    tls = upstream.tls()
    async with ClientSession(
        connector=TCPConnector(ssl=tls or False, limit=0),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
    ) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = Asked(request.method, request.path, "watch" in request.query)
            proxy.asked.append(asked)
            await proxy.thawed.wait()
            fault = proxy.fault(asked)
            if isinstance(fault, int):
                return refusal(fault)
            if fault == "slow":
                await asyncio.sleep(0.1)
            if fault == "dead":
                assert request.transport is not None
                request.transport.close()
                return web.Response(status=500)
            kept = ("authorization", "content-type", "accept")
            async with session.request(
                request.method,
                f"{upstream.server}{request.path_qs}",
                data=await request.read(),
                headers={k: v for k, v in request.headers.items() if k.lower() in kept},
            ) as answer:
                if fault == "lost":
                    await answer.read()
                    assert request.transport is not None
                    request.transport.close()
                    return web.Response(status=500)
                if not asked.watch or answer.status != 200:
                    return web.Response(
                        status=answer.status,
                        body=await answer.read(),
                        content_type=answer.content_type,
                    )
                stream = web.StreamResponse(headers={"content-type": "application/json"})
                await stream.prepare(request)
                task = asyncio.current_task()
                assert task is not None
                proxy.streams.add(task)
                try:
                    async for chunk in answer.content.iter_any():
                        await stream.write(chunk)
                except asyncio.CancelledError:
                    if request.transport is not None:
                        request.transport.abort()
                    raise
                finally:
                    proxy.streams.discard(task)
                return stream

        app = web.Application(client_max_size=1 << 30)

        async def through(request: web.Request) -> web.StreamResponse:
            try:
                return await handle(request)
            except ClientError:  # the server is away, and so are we
                assert request.transport is not None
                request.transport.abort()
                return web.Response(status=500)

        app.router.add_route("*", "/{path:.*}", through)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        proxy.access = replace(upstream, server=parse_address(f"http://127.0.0.1:{port}"))
        try:
            yield proxy
        finally:
            proxy.cut()
            with contextlib.suppress(Exception):
                await runner.cleanup()


def refusal(status: int) -> web.Response:
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
    body = {"kind": "Status", "status": "Failure", "code": status, "message": "by the proxy"}
    headers = {"retry-after": "1"} if status == 429 else {}
    return web.json_response(
        {**body, "reason": reasons.get(status, "")}, status=status, headers=headers
    )
