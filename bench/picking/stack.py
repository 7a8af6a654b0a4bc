"""The rules of production-stack's Python router, in a proxy of a hundred lines.

    python stack.py ROUTING PORT BACKEND_PORT...

That router is on no package registry (``vllm-router`` on PyPI is another program), so where
``bench/.venvs/production-stack`` does not hold it, its decisions are made here as its
documentation and tests describe them: ``roundrobin``, ``session`` (hash ring; without a session
the fewest requests a second) and ``prefixaware`` (trie of 128-character chunks, a random one of
those that share the longest prefix, nothing evicted). What it costs to run is not told by this.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

WINDOW_S = 60.0
CHUNK = 128
REROUTES = 2
HEALTH_S = 2.0
SESSION = "x-session-id"

Rule = Callable[[web.Request, dict[str, Any], Sequence[str]], str]


class Rates:
    """Requests a second to each server over the last minute."""

    def __init__(self) -> None:
        self._sent: dict[str, deque[float]] = {}

    def add(self, url: str) -> None:
        self._sent.setdefault(url, deque()).append(time.monotonic())

    def least(self, urls: Sequence[str]) -> str:
        """The first server that never had a request, else the one with the fewest."""
        old = time.monotonic() - WINDOW_S
        for url in urls:
            if url not in self._sent:
                return url
            while self._sent[url] and self._sent[url][0] < old:
                self._sent[url].popleft()
        return min(urls, key=lambda url: len(self._sent[url]))


class RoundRobin:
    """Servers in the order of their addresses; one counter per set of them."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, ...], int] = {}

    def __call__(self, request: web.Request, body: dict[str, Any], urls: Sequence[str]) -> str:
        key = tuple(sorted(urls))
        turn = self._counters.get(key, 0)
        self._counters[key] = turn + 1
        return key[turn % len(key)]


class Session:
    """A hash ring over the session's id."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def __call__(self, request: web.Request, body: dict[str, Any], urls: Sequence[str]) -> str:
        session = request.headers.get(SESSION) or body.get(SESSION)
        if not session:
            return self._rates.least(urls)
        ring = sorted((_hash(f"{url}-{i}"), url) for url in urls for i in range(160))
        at = bisect.bisect(ring, (_hash(str(session)), ""))
        return ring[at % len(ring)][1]


class PrefixAware:
    """A trie of chunks that remembers who was sent each of them, for ever."""

    def __init__(self) -> None:
        self._root: dict[int, tuple[dict[Any, Any], set[str]]] = {}

    def __call__(self, request: web.Request, body: dict[str, Any], urls: Sequence[str]) -> str:
        text = "\n".join(_texts(body))
        chunks = [_hash(text[i : i + CHUNK]) for i in range(0, len(text), CHUNK)]
        level, matched = self._root, set(urls)
        for chunk in chunks:
            node = level.get(chunk)
            if node is None or not node[1] & set(urls):
                break
            level, matched = node[0], node[1] & set(urls)
        chosen = random.choice(sorted(matched))
        level = self._root
        for chunk in chunks:
            below, seen = level.setdefault(chunk, ({}, set()))
            seen.add(chosen)
            level = below
        return chosen


def _texts(body: dict[str, Any]) -> list[str]:
    return [m["content"] for m in body.get("messages", ()) if isinstance(m.get("content"), str)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Proxy:
    def __init__(self, rule: Rule, rates: Rates, urls: list[str]) -> None:
        self._rule, self._rates, self._urls = rule, rates, urls
        self._well = list(urls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw)
        tried: list[str] = []
        session: ClientSession = request.app["session"]
        for _ in range(REROUTES + 1):
            left = [url for url in self._well if url not in tried]
            if not left:
                break
            url = self._rule(request, body, left)
            self._rates.add(url)
            tried.append(url)
            headers = {"content-type": "application/json"}
            out: web.StreamResponse | None = None
            try:
                async with session.post(url + request.path, data=raw, headers=headers) as answer:
                    out = web.StreamResponse(status=answer.status)
                    out.content_type = answer.content_type
                    await out.prepare(request)
                    async for data in answer.content.iter_any():
                        await out.write(data)
                    await out.write_eof()
                    return out
            except (ClientError, OSError):
                if out is not None:  # the client has had a part of it: nothing can be mended
                    if request.transport is not None:
                        request.transport.close()
                    return out
        return web.json_response({"error": "no server answered"}, status=503)

    async def watch(self, session: ClientSession) -> None:
        """Leave servers out whose health check fails, until one succeeds."""
        while True:
            await asyncio.sleep(HEALTH_S)
            found = await asyncio.gather(*[self._is_well(session, url) for url in self._urls])
            self._well = [url for url, well in zip(self._urls, found, strict=True) if well]

    async def _is_well(self, session: ClientSession, url: str) -> bool:
        try:
            async with session.get(url + "/health", timeout=ClientTimeout(5)) as answer:
                return answer.status == 200
        except (ClientError, OSError, TimeoutError):
            return False


async def _started(app: web.Application) -> None:
    app["session"] = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(None))
    app["watch"] = asyncio.create_task(app["proxy"].watch(app["session"]))


def main(routing: str, port: int, backends: list[int]) -> None:
    rates = Rates()
    rules: dict[str, Rule] = {
        "roundrobin": RoundRobin(),
        "session": Session(rates),
        "prefixaware": PrefixAware(),
    }
    app = web.Application(client_max_size=32 << 20)
    app["proxy"] = Proxy(rules[routing], rates, [f"http://127.0.0.1:{p}" for p in backends])
    app.on_startup.append(_started)
    app.router.add_post("/v1/chat/completions", app["proxy"].handle)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(port) for port in sys.argv[3:]])
