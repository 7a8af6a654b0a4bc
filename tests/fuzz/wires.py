"""A network without sockets: a loop that runs when told, transports that remember, a clock.

What escapes from a callback escapes from :meth:`Loop.settle`, so a fuzzer sees it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.fuzz.targets import Finding, check
from wayside.fleet import Fleet, Replica
from wayside.gateway import attempt as attempt_module
from wayside.gateway.door import Door
from wayside.gateway.upstream import Upstream
from wayside.settings.model import EndpointSettings, LimitSettings, ModelSettings
from wayside.telemetry import Meter
from wayside.vocab.outcome import Forward, Outcome, Record, Reply, Request, Target, Tried

TURNS = 5_000
"""Callbacks one input may cause before it counts as a hang."""
CHOKE = 700
"""Bytes after which a choking transport asks its protocol to pause."""


class Loop:
    """What a protocol needs of an event loop. ``now`` is seconds and stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._turns = 0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._ready.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object]) -> Timer:
        timer = Timer(self.now + delay, callback)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Time passes, and what was to be called by then is called."""
        self.now += seconds
        due = [timer for timer in self._timers if timer.when <= self.now]
        self._timers = [timer for timer in self._timers if timer.when > self.now]
        for timer in due:
            if not timer.cancelled:
                timer.callback()

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        return Task(self, coroutine)

    def settle(self) -> None:
        """Run until nothing is left to do."""
        while self._ready:
            self._turns += 1
            check(self._turns < TURNS, "it never comes to rest")
            callback, args = self._ready.popleft()
            callback(*args)


class Timer:
    """What is called at ``when``, unless it was cancelled."""

    def __init__(self, when: float, callback: Callable[..., object]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Task:
    """A coroutine that goes one step per turn; cancelled as asyncio does it, a turn later."""

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop, self._coroutine = loop, coroutine
        self._cancelled = self._done = False
        self._callbacks: list[Callable[[Any], object]] = []
        loop.call_soon(self._step)

    def _step(self) -> None:
        if self._done:
            return
        try:
            if self._cancelled:
                self._coroutine.throw(asyncio.CancelledError())
            else:
                self._coroutine.send(None)
        except (StopIteration, asyncio.CancelledError):
            self._done = True
            for callback in self._callbacks:
                self._loop.call_soon(callback, self)
        else:
            self._loop.call_soon(self._step)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self._callbacks.append(callback)

    def cancel(self) -> bool:
        self._cancelled = True
        return not self._done


class _Turn:
    """``await _Turn()`` lets the others go first."""

    def __await__(self) -> Generator[None, None, None]:
        yield None


class Transport:
    """Keeps what is written; ends a turn after it was closed, as the real ones do."""

    def __init__(self, loop: Loop, protocol: Any, *, choking: bool = False) -> None:
        self._loop, self.protocol, self._choking = loop, protocol, choking
        self.sent = bytearray()
        self.closing = self.aborted = self.lost = self.paused = self.ended = False
        self._room = CHOKE
        self.on_write: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        if self.ended:
            raise RuntimeError("write after write_eof")
        if self.closing or not data:
            return
        self.sent += data
        if self.on_write is not None:
            self._loop.call_soon(self.on_write)
        self._room -= len(data)
        if self._choking and self._room < 0:
            self._room = CHOKE
            self.protocol.pause_writing()
            self._loop.call_soon(self._drained)

    def _drained(self) -> None:
        if not self.lost:
            self.protocol.resume_writing()

    def writelines(self, pieces: Sequence[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.aborted = True
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The connection ends, whoever ended it."""
        if not self.closing:
            self.closing = True
            self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        self.lost = True
        self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    # What a socket does

    def receive(self, data: bytes) -> bool:
        """Deliver bytes; ``False`` if the protocol does not read (any more)."""
        self._loop.settle()
        if self.closing or self.paused:
            return False
        self.protocol.data_received(data)
        self._loop.settle()
        return True

    def hang_up(self) -> None:
        """The other side closes tidily."""
        self._loop.settle()
        if not self.closing:
            self.protocol.eof_received()
            self.lose(None)
        self._loop.settle()

    def reset(self) -> None:
        self._loop.settle()
        self.lose(ConnectionResetError())
        self._loop.settle()


class Exchange:
    """Telemetry of one request."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.under_way = 0
        self.ends: list[tuple[int, str]] = []
        self.began = False
        """The upstream's own answer goes to the client."""

    def routed(self, record: Record) -> None:
        check(not self.ends, "routed after its end")

    def rerouted(self, record: Record) -> None:
        check(not self.ends, "rerouted after its end")

    def attempt(self, endpoint: str) -> None:
        check(not self.ends, "an attempt after its end")
        self.under_way += 1

    def tried(self, attempt: Tried) -> None:
        check(not self.ends, "an attempt ends after its request")
        self.under_way -= 1

    def first_byte(self, status: int) -> None:
        check(not self.ends, "a first byte after its end")
        self.began = True

    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter:
        check(not self.ends, "an answer begins after its end")
        return Meter(stream=stream, leads=leads, asked=sent)

    def ended(self, *, status: int, reason: str = "") -> None:
        self.ends.append((status, reason))


class Runtime:
    """Sends what is under /v1 on; answers the rest itself. What is slow takes two turns."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def turned_away(self, request: Request) -> None:
        """Everybody is let in."""

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]:
        self.requests.append(request)
        outcome = self._decide(request)
        return _later(outcome) if "slow" in request.path else outcome

    def _decide(self, request: Request) -> Outcome:
        if request.path.startswith("/v1/"):
            return Forward(
                target=Target(name="m", upstream_name="m"),
                path=request.path,
                body=request.body,
                changed=False,
                set_headers=(("x-selected-model", "m"),),
                report=(("x-vsr-response-path", "upstream"),),
                record=Record(model="m"),
            )
        return Reply(status=200, body=b"{}", record=Record())


async def _later(outcome: Outcome) -> Outcome:
    await _Turn()
    await _Turn()
    return outcome


class Plane:
    """One client's connection to a gateway, and the model server's connections behind it.

    ``serve`` is called a turn after bytes were sent upstream, with that connection.
    """

    def __init__(self, serve: Callable[[Transport], None], *, choking: bool = False) -> None:
        self.loop = Loop()
        self.limits = LimitSettings(max_body_bytes=5_000, max_header_bytes=2_000)
        self.runtime = Runtime()
        self.doors: set[Any] = set()
        self.draining = False
        self.prefill = self.attempting = self.reads = self.admission = None
        self.exchanges: list[Exchange] = []
        self.fleet = Fleet({"m": ModelSettings(endpoints=(EndpointSettings(url="http://m"),))})
        self.dice = lambda: 0.0
        self.telemetry = self
        self.upstreams: list[Transport] = []
        self.said: list[str] = []
        """What the gateway's last resort had to say: each is a finding."""
        self._serve = serve
        door: Any = Door(self)  # type: ignore[arg-type]
        self.client = Transport(self.loop, door, choking=choking)
        self.door = door
        door.connection_made(self.client)

    def begin(self, *, shell: str, request_id: str | None = None) -> Exchange:
        self.exchanges.append(Exchange(request_id or f"made-{len(self.exchanges)}"))
        return self.exchanges[-1]

    def left(self, door: Any) -> None:
        self.doors.discard(door)

    async def dial(
        self, replica: Replica, resolver: object, factory: Callable[[], Upstream]
    ) -> Upstream:
        await _Turn()
        protocol = factory()
        transport = Transport(self.loop, protocol)
        transport.on_write = lambda: self._serve(transport)
        self.upstreams.append(transport)
        protocol.connection_made(transport)  # type: ignore[arg-type]
        return protocol

    def wait(self, seconds: float) -> None:
        """Time passes, and the server's sweep with it."""
        self.loop.settle()
        self.loop.advance(seconds)
        for door in tuple(self.doors):
            if door.deadline <= self.loop.now:
                door.expire()
        self.loop.settle()

    def say(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.said.append(f"{event}: {fields.get('traceback', '')}")

    def finish(self) -> None:
        """The client leaves; nothing may be left behind."""
        self.client.hang_up()
        for upstream in self.upstreams:
            upstream.hang_up()
        check(not self.doors, "a connection is still counted")
        (replica,) = self.fleet.pools["m"].replicas
        check(replica.in_flight == 0, "a replica is still in use", replica.in_flight)
        for exchange in self.exchanges:
            check(len(exchange.ends) == 1, "a request did not end once", exchange.ends)
            check(exchange.under_way == 0, "an attempt was not counted", exchange.under_way)


@contextmanager
def plane(serve: Callable[[Transport], None], *, choking: bool = False) -> Iterator[Plane]:
    """A plane; at the end everybody leaves, and what was caught inside is raised."""
    made = Plane(serve, choking=choking)
    with mock.patch.object(attempt_module, "dial", made.dial):
        yield made
        made.finish()
    if made.said:
        raise Finding(made.said[0])
