"""The gateway as a library would write it: uvicorn, a bare ASGI function and aiohttp's client.

Slow and plain, and answers the same corpus the same way; what differs is a bug in one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn
from yarl import URL

from wayside.flow.report import ERROR, failed
from wayside.vocab.headers import CONTROLS, HOP_BY_HOP, is_internal
from wayside.vocab.outcome import Forward, HeaderPairs, Reply, Request

from .rig import StubRuntime

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Pairs = list[tuple[str, str]]


class Reference:
    def __init__(self, runtime: StubRuntime, upstream_port: int, max_body_bytes: int) -> None:
        self.runtime, self.max_body_bytes = runtime, max_body_bytes
        self.upstream = f"http://127.0.0.1:{upstream_port}"
        self.session: aiohttp.ClientSession
        self.made = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        pairs = [(n.decode().lower(), v.decode("latin-1")) for n, v in scope["headers"]]
        given = dict(pairs).get("x-request-id", "")
        if not re.fullmatch(r"[\x21-\x7e]{1,128}", given):
            given = f"made-{self.made}"
        self.made += 1
        ours: Pairs = [("x-request-id", given)]
        if scope["method"] in ("CONNECT", "TRACE"):
            await self._error(send, 405, "method_not_allowed", ours)
            return
        body = b""
        declared = int(dict(pairs).get("content-length", "0"))
        if declared <= self.max_body_bytes:
            body = await _body(receive)
        if max(declared, len(body)) > self.max_body_bytes:
            await self._error(send, 413, "request_too_large", ours)
            return
        passed = _passed(pairs)
        headers: dict[str, str] = {}
        for name, value in passed:
            if name not in ("content-length", "expect"):
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        headers["x-request-id"] = given
        path = scope["raw_path"].decode()
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode()
        try:
            outcome = self.runtime.handle(Request(scope["method"], path, headers, body))
            if inspect.isawaitable(outcome):
                outcome = await outcome
        except RuntimeError:
            await self._error(send, 500, "internal_error", ours)
            return
        if isinstance(outcome, Reply):
            answer: Pairs = [("content-type", outcome.content_type), *outcome.report, *ours]
            await _answer(send, outcome.status, answer, outcome.body)
        else:
            await self._forward(scope["method"], outcome, passed, ours, send)

    async def _forward(
        self, method: str, forward: Forward, passed: Pairs, ours: Pairs, send: Send
    ) -> None:
        replaced = {n for n, _ in forward.set_headers} | set(forward.remove_headers)
        replaced |= {"host", "content-length", "expect", "accept-encoding", "x-request-id"}
        replaced |= CONTROLS
        if not forward.target.keeps_authorization:
            replaced.add("authorization")
        out = [p for p in passed if p[0] not in replaced]
        out += [*forward.set_headers, ("accept-encoding", "identity"), *ours]
        sends = forward.body if forward.body or method in ("POST", "PUT", "PATCH") else None
        try:
            async with self.session.request(
                method, URL(self.upstream + forward.path, encoded=True), data=sends, headers=out
            ) as got:
                back = [(n.lower(), v) for n, v in got.headers.items()]
                named = _named(back)
                back = [
                    (n, v)
                    for n, v in back
                    if not is_internal(n) and n not in HOP_BY_HOP | named | {"x-request-id"}
                ]
                back += [*forward.report, *ours]
                await _start(send, got.status, back)
                async for piece in got.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except aiohttp.ServerDisconnectedError:
            await self._error(send, 502, "upstream_closed", ours, failed(forward.report))

    async def _error(
        self, send: Send, status: int, code: str, ours: Pairs, report: HeaderPairs = ERROR
    ) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": "", "type": kind, "param": None, "code": code}
        headers = [("content-type", "application/json"), *report, *ours]
        await _answer(send, status, headers, json.dumps({"error": error}).encode())


def _passed(pairs: Pairs) -> Pairs:
    gone = HOP_BY_HOP | _named(pairs)
    return [
        (n, v)
        for n, v in pairs
        if n not in gone and (n in CONTROLS or not is_internal(n.replace("_", "-")))
    ]


def _named(pairs: Pairs) -> set[str]:
    return {t.strip().lower() for n, v in pairs if n == "connection" for t in v.split(",")}


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            return body


async def _start(send: Send, status: int, headers: Pairs) -> None:
    raw = [(n.encode(), v.encode("latin-1")) for n, v in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _answer(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    await _start(send, status, [("content-length", str(len(body))), *headers])
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def reference(upstream_port: int, max_body_bytes: int) -> AsyncIterator[tuple[int, Any]]:
    """The port it listens on, and its runtime."""
    runtime = StubRuntime()
    app = Reference(runtime, upstream_port, max_body_bytes)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    skipped = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with aiohttp.ClientSession(
            skip_auto_headers=skipped, auto_decompress=False
        ) as app.session:
            task = asyncio.create_task(server.serve(sockets=[sock]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield sock.getsockname()[1], runtime
            finally:
                server.should_exit = True
                await task
