"""As much of an API server as a list and a watch need, with faults on demand.

It knows no kinds: whatever was put somewhere is listed there. What an API server means by its
answers is tested against a genuine one (``test_genuine_*.py``); this one is for its bad days.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from wayside.kube.access import Access, Token
from wayside.kube.client import Client
from wayside.settings.address import parse_address

Object = dict[str, Any]


@dataclass
class Asked:
    """One request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeApi:
    url: str = ""
    version: int = 1
    oldest: int = 0
    """Watches from before this version are told 410."""
    objects: dict[str, dict[tuple[str, str], Object]] = field(default_factory=dict)
    log: deque[tuple[int, str, str, Object]] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    refusals: dict[tuple[str, str], tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    """By path and ``list`` or ``watch``: status, reason, headers."""
    tokens: set[str] | None = None
    """Those accepted; ``None`` for all, and for none."""
    says: dict[str, bytes] = field(default_factory=dict)
    """Bytes a watch of that path sends first."""
    expire_continue: bool = False
    _watches: set[_Watch] = field(default_factory=set)

    async def put(self, path: str, name: str, namespace: str = "ns", **rest: Any) -> Object:
        """Make or change the object ``name``; ``rest`` is its fields beside ``metadata``."""
        key = (namespace, name)
        there = self.objects.setdefault(path, {})
        self.version += 1
        meta = {"name": name, "namespace": namespace, **rest.pop("metadata", {})}
        found = {**rest, "metadata": {**meta, "resourceVersion": str(self.version)}}
        self._tell(path, "MODIFIED" if key in there else "ADDED", found)
        there[key] = found
        return found

    async def remove(self, path: str, name: str, namespace: str = "ns") -> None:
        found = self.objects[path].pop((namespace, name))
        self.version += 1
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}
        self._tell(path, "DELETED", found)

    async def bookmark(self, path: str) -> None:
        """Time went by elsewhere: versions move on, and watches hear of it."""
        self.version += 10
        self._tell(path, "BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    async def error(self, path: str, code: int, reason: str) -> None:
        """Watches hear of an error, and are ended."""
        self.version += 1
        self._tell(path, "ERROR", status(code, reason))

    def compact(self) -> None:
        """Forget what happened so far."""
        self.oldest = self.version
        self.log.clear()

    def cut(self) -> None:
        """Break the connection of every watch."""
        for watch in self._watches:
            watch.cut = True
            watch.news.set()

    def client(self, **rest: Any) -> Client:
        token = rest.pop("token", Token("secret-token"))
        return Client(Access(server=parse_address(self.url), token=token), **rest)

    def count(self, kind: str, path: str) -> int:
        """How many lists or watches of ``path`` there were."""
        return sum(
            a.path == path and ("watch" in a.query) == (kind == "watch") for a in self.asked
        )

    def _tell(self, path: str, kind: str, found: Object) -> None:
        self.log.append((self.version, path, kind, found))
        for watch in self._watches:
            watch.news.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(
            Asked(
                request.method,
                request.path,
                query,
                {k.lower(): v for k, v in request.headers.items()},
                await request.read(),
            )
        )
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens is not None and shown not in self.tokens:
            return answer(status(401, "Unauthorized"), 401)
        kind = "watch" if "watch" in query else "list"
        if refusal := self.refusals.get((request.path, kind)):
            code, reason, headers = refusal
            return answer(status(code, reason), code, headers)
        if request.method != "GET":
            return answer({"metadata": {"name": "echo"}}, 200)
        if kind == "watch":
            return await self._watch(request)
        if request.path in self.objects:
            return self._list(request.path, query)
        return web.Response(status=404, text="404 page not found")

    def _list(self, path: str, query: dict[str, str]) -> web.Response:
        items = sorted(self.objects[path].items())
        start = int(query.get("continue", "0"))
        if start and self.expire_continue:
            return answer(status(410, "Expired"), 410)
        limit = int(query.get("limit", "0")) or len(items)
        meta = {"resourceVersion": str(self.version)}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        part = [found for _, found in items[start : start + limit]]
        return answer({"kind": "List", "metadata": meta, "items": part}, 200)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        version, path = int(request.query["resourceVersion"]), request.path
        response = web.StreamResponse(headers={"content-type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if path in self.says:
            await response.write(self.says[path])
        if version < self.oldest:
            gone = {"type": "ERROR", "object": status(410, "Expired")}
            await response.write(json.dumps(gone).encode() + b"\n")
            return response
        watch = _Watch()
        self._watches.add(watch)
        ends = asyncio.get_running_loop().time() + int(request.query["timeoutSeconds"])
        try:
            async with asyncio.timeout_at(ends):
                while not watch.cut:
                    watch.news.clear()
                    for at, _, kind, found in [
                        e for e in self.log if e[0] > version and e[1] == path
                    ]:
                        version = at
                        line = json.dumps({"type": kind, "object": found}).encode() + b"\n"
                        await response.write(line)
                        if kind == "ERROR":
                            return response
                    await watch.news.wait()
                if request.transport is not None:
                    request.transport.abort()
        except TimeoutError:
            pass
        finally:
            self._watches.discard(watch)
        return response


@dataclass(eq=False)
class _Watch:
    news: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False


def status(code: int, reason: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"the server says {reason}",
        "reason": reason,
        "code": code,
    }


def answer(found: Object, code: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=code,
        body=json.dumps(found).encode(),
        content_type="application/json",
        headers=headers,
    )


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[FakeApi]:
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}"
    try:
        yield api
    finally:
        api.cut()
        await runner.cleanup()


def token_file(path: Path, text: str) -> Token:
    path.write_text(text)
    return Token(path=path)
