"""What passes, as it passes: ``GET /live``, server-sent events.

Nothing is done while nobody looks on. While somebody does, one task tells everybody the same, four
times a second. Who does not read loses what came meanwhile, and is let go after a while.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wayside.console.inside import Inside
from wayside.console.passed import Passing
from wayside.console.shapes import LiveState
from wayside.console.told import encoded
from wayside.gateway.api import ApiError, Endpoint

LISTENERS: Final = 64
"""Who may look on at once."""
TICK_S: Final = 0.25
PASSED: Final = 10
"""Requests that are told in one second; the rest are counted."""
WAITING: Final = 16
"""Events that wait for one listener: about four seconds of them."""
PATIENCE_S: Final = 10.0
"""How long a listener may take to read before it is let go."""
LONGEST_S: Final = 600.0
"""After so long an answer ends; a page asks again, and so shows that it is still logged in."""
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_BODY: Final = {"type": "http.response.body", "more_body": True}


class Listener:
    """Somebody who looks on."""

    __slots__ = ("events", "lost", "ready")

    def __init__(self) -> None:
        self.events: deque[bytes] = deque()
        self.lost = 0
        """Requests that were told while its queue was full."""
        self.ready = asyncio.Event()

    def put(self, event: bytes, requests: int = 0) -> None:
        if len(self.events) >= WAITING:
            self.lost += requests
            return
        self.events.append(event)
        self.ready.set()

    def take(self) -> bytes:
        """All that waits, as one."""
        found = b"".join(self.events)
        self.events.clear()
        self.ready.clear()
        return found


class Live:
    """Tells listeners what :class:`~wayside.console.passed.Passing` saw."""

    def __init__(self, inside: Inside, passing: Passing) -> None:
        self._telemetry, self._passing = inside.telemetry, passing
        self.listeners: dict[Listener, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._missed = 0
        self._budget = 0
        self._before: deque[tuple[float, int, int]] = deque(maxlen=6)
        """When, and how many requests there had been, and how many had failed: once a second."""

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/live",
                self._get,
                "What passes, as server-sent events: passed, at most ten a second, and state.",
                media="text/event-stream",
                refusals=((503, f"{LISTENERS} look on already"),),
            )
        ]

    async def _get(self, _: HttpRequest) -> Response:
        if len(self.listeners) >= LISTENERS:
            said = f"{LISTENERS} listeners look on already; close a page"
            raise ApiError(503, "TOO_MANY_LISTENERS", said)
        return Events(self)

    def join(self) -> Listener:
        listener = Listener()
        self.listeners[listener] = None
        if self._telling is None or self._telling.done():
            self._passing.fold()
            self._passing.news = deque()
            self._passing.untold = self._missed = 0
            self._before.clear()
            self._telling = asyncio.ensure_future(self._tell())
        return listener

    def leave(self, listener: Listener) -> None:
        self.listeners.pop(listener, None)
        if not self.listeners and self._telling is not None:
            self._telling.cancel()
            self._telling = None
            self._passing.news = None

    async def _tell(self) -> None:
        clock = asyncio.get_running_loop().time
        ticks = round(1 / TICK_S)
        turn = 0
        while True:
            try:
                if turn % ticks == 0:
                    self._budget = PASSED
                    self._passing.fold()
                    self._state(clock())
                self.tick()
            except Exception as bug:  # noqa: BLE001 - one odd request must not end it for all
                self._telemetry.log("live failed", level="error", error=type(bug).__name__)
            turn += 1
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Tell what has ended since, as far as this second allows."""
        passing = self._passing
        passing.fold()
        news = passing.news
        if not news:
            return
        some = [passing.told(news.popleft()) for _ in range(min(self._budget, len(news)))]
        self._budget -= len(some)
        self._missed += len(news) + passing.untold
        passing.untold = 0
        news.clear()
        if some:
            event = _event("passed", some)
            for listener in self.listeners:
                listener.put(event, len(some))

    def _state(self, now: float) -> None:
        passing = self._passing
        self._before.append((now, passing.count, passing.failed))
        began, count, failed = self._before[0]
        seconds = max(now - began, 1e-9)
        for listener in self.listeners:
            state: LiveState = {
                "at": round(passing.clock(), 3),
                "in_flight": self._telemetry.in_flight,
                "requests_per_s": round((passing.count - count) / seconds, 2),
                "errors_per_s": round((passing.failed - failed) / seconds, 2),
                "missed": self._missed + listener.lost,
            }
            listener.put(_event("state", state))


class Events(Response):
    """The answer to one listener: as long as they stay, and read, and not for ever."""

    def __init__(
        self, live: Live, patience_s: float = PATIENCE_S, longest_s: float = LONGEST_S
    ) -> None:
        super().__init__()
        self._live, self._patience_s, self._longest_s = live, patience_s, longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._live.join()
        gone = asyncio.ensure_future(_left(receive))
        until = asyncio.get_running_loop().time() + self._longest_s
        try:
            start = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
            await self._sent(send, start)
            while not gone.done() and asyncio.get_running_loop().time() < until:
                waiting = asyncio.ensure_future(listener.ready.wait())
                try:
                    await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                if listener.events and not gone.done():
                    await self._sent(send, {**_BODY, "body": listener.take()})
            if not gone.done():
                await self._sent(send, {**_BODY, "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return  # they do not read, or are gone
        finally:
            self._live.leave(listener)
            gone.cancel()

    async def _sent(self, send: Callable[[Any], Any], message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._patience_s):
            await send(message)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: str, data: Any) -> bytes:
    """JSON has no line ends of its own, so one ``data`` line is all of it."""
    return b"event: " + name.encode() + b"\ndata: " + encoded(data) + b"\n\n"
