"""A data plane to test: a runtime that decides nothing, and model servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from wayside.fleet import Fleet
from wayside.gateway import HttpServer, serve_http
from wayside.settings.model import (
    EndpointSettings,
    LimitSettings,
    ListenSettings,
    ModelSettings,
    TimeoutSettings,
    TlsSettings,
)
from wayside.telemetry import Meter
from wayside.vocab.outcome import Forward, Outcome, Record, Reply, Request, Target, Tried

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REPORT = (("x-vsr-schema-version", "2"), ("x-vsr-response-path", "upstream"))
PATIENCE_S = 10.0


@dataclass
class StubExchange:
    request_id: str
    record: Record | None = None
    attempts: list[str] = field(default_factory=list)
    tries: list[Tried] = field(default_factory=list)
    first: int = 0
    ends: list[tuple[int, str, bytes]] = field(default_factory=list)
    meter: Meter | None = None

    def routed(self, record: Record) -> None:
        self.record = record

    def attempt(self, endpoint: str) -> None:
        self.attempts.append(endpoint)

    def rerouted(self, record: Record) -> None:
        self.record = record

    def tried(self, attempt: Tried) -> None:
        assert not self.ends, "an attempt that is counted too late"
        self.tries.append(attempt)

    @property
    def outcomes(self) -> list[str]:
        return [tried.outcome for tried in self.tries]

    def first_byte(self, status: int) -> None:
        self.first = status

    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter:
        self.meter = Meter(stream=stream, leads=leads, asked=sent)
        return self.meter

    def ended(self, *, status: int, reason: str = "") -> None:
        self.ends.append((status, reason, b"" if self.meter is None else self.meter.end))


class StubTelemetry:
    def __init__(self) -> None:
        self.exchanges: list[StubExchange] = []

    def begin(self, *, shell: str, request_id: str | None = None) -> StubExchange:
        exchange = StubExchange(request_id or f"made-{len(self.exchanges)}")
        self.exchanges.append(exchange)
        return exchange

    @property
    def last(self) -> StubExchange:
        return self.exchanges[-1]


class StubRuntime:
    """Forwards what is under /v1 to ``target``; answers the rest itself, for the corpus."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.target = Target(name="m", upstream_name="m")
        self.set_headers: tuple[tuple[str, str], ...] = (("x-selected-model", "m"),)
        self.gate: asyncio.Event | None = None

    def turned_away(self, request: Request) -> None:
        """Everybody is let in."""

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]:
        self.requests.append(request)
        outcome = self.decide(request)
        return outcome if self.gate is None else self._later(outcome)

    async def _later(self, outcome: Outcome) -> Outcome:
        assert self.gate is not None
        await self.gate.wait()
        return outcome

    def decide(self, request: Request) -> Outcome:
        if request.path == "/boom":
            raise RuntimeError("a bug")
        if request.path.startswith("/v1/"):
            return Forward(
                target=self.target,
                path=request.path,
                body=request.body,
                changed=False,
                set_headers=self.set_headers,
                report=(*REPORT, ("x-vsr-selected-model", "m")),
                record=Record(model="m", requested="m"),
            )
        status = 404 if request.path == "/missing" else 200
        body = b'{"path":"%b","size":%d}' % (request.path.encode(), len(request.body))
        return Reply(status=status, body=body, report=REPORT, record=Record(path="upstream"))


class Upstream:
    """A model server on a raw socket. ``serve`` is called for every connection."""

    def __init__(self, serve: Handler) -> None:
        self._serve = serve
        self.connections = 0
        self.closed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, **kwargs: Any) -> None:
        self.server = await asyncio.start_server(
            self._handle, kwargs.pop("host", "127.0.0.1"), 0, **kwargs
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.closed.set()
            writer.close()

    async def stop(self) -> None:
        self.server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.sleep(0)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request's head and body, as a model server reads it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


def answering(*pieces: bytes, pause: float = 0.0, close: bool = False) -> Handler:
    """Answer every request of a connection with these bytes, in pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            if close:
                return

    return serve


OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'


@dataclass
class Plane:
    """Everything one test needs to hold on to."""

    server: HttpServer
    fleet: Fleet
    runtime: StubRuntime
    telemetry: StubTelemetry

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def settled(self) -> StubExchange:
        """The last exchange, once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self.telemetry.exchanges and self.telemetry.last.ends):
                await asyncio.sleep(0.005)
        assert all(len(e.ends) == 1 for e in self.telemetry.exchanges)
        return self.telemetry.last


@contextlib.asynccontextmanager
async def plane(
    *ports: int,
    limits: LimitSettings | None = None,
    timeouts: TimeoutSettings | None = None,
    tls: TlsSettings | None = None,
    scheme: str = "http",
    host: str = "127.0.0.1",
    runtime: StubRuntime | None = None,
    dice: Callable[[], float] = lambda: 0.0,
    others: Mapping[str, Sequence[int]] = MappingProxyType({}),
    **model_settings: Any,
) -> AsyncIterator[Plane]:
    """``others`` are further models, by name, with the ports of their servers."""
    runtime = runtime or StubRuntime()
    telemetry = StubTelemetry()
    endpoints = tuple(EndpointSettings(url=f"{scheme}://{host}:{p}", name=str(p)) for p in ports)
    model = ModelSettings(
        endpoints=endpoints,
        timeouts=timeouts or TimeoutSettings(),
        tls=tls or TlsSettings(),
        **model_settings,
    )
    more = {
        name: ModelSettings(
            endpoints=tuple(EndpointSettings(url=f"http://{host}:{p}") for p in ps)
        )
        for name, ps in others.items()
    }
    fleet = Fleet({"m": model, **more})
    server = await serve_http(
        ListenSettings(port=0), runtime, fleet, telemetry, limits or LimitSettings(), dice=dice
    )
    try:
        yield Plane(server, fleet, runtime, telemetry)
    finally:
        await server.drain(0)
        fleet.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def upstream(serve: Handler, **kwargs: Any) -> AsyncIterator[Upstream]:
    up = Upstream(serve)
    await up.start(**kwargs)
    try:
        yield up
    finally:
        await up.stop()


async def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces and read until the server closes. A reset ends the answer with RESET."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            while data := await reader.read(65536):
                got += data
    except ConnectionError:
        got += RESET
    finally:
        writer.close()
    return got


RESET = b"<reset>"


def post(body: bytes = b"{}", *headers: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    """A request whose connection ends with its answer."""
    lines = [b"POST %b HTTP/1.1" % path, b"host: x", b"content-length: %d" % len(body)]
    return b"\r\n".join([*lines, *headers, b"connection: close", b"", body])


def status_of(answer: bytes) -> int:
    return int(answer[9:12])


def head_and_body(answer: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = [line.decode("latin-1").partition(": ") for line in head.split(b"\r\n")[1:]]
    return {name: value for name, _, value in fields}, body
