"""A few connections to a server that speaks Redis's protocol, shared by all requests.

Commands of many requests are under way on one connection at once, and answered in order; a
library that lends a connection to one request at a time cannot do that, so that only the parser
is a library's (hiredis). No request ever waits for a connection to be made: a task of its own
makes them, tries again by itself while the server is away, and until then every question fails at
once. So a server that is down, or slow, costs one request ``timeout_s``, not each.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wayside.vocab.errors import AskFailed, WaysideError

Command = tuple[str | bytes | int | float | memoryview, ...]
"""A command's name and its arguments."""
MAX_PENDING = 10_000
"""Commands under way on one connection; more are refused."""
LAG_S = 0.01
"""A timer this late shows that we were slow, not the server: it gets its time again, once."""
IDLE_S = 1.0
"""How often a server is asked whether it is still there."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
STEADY_S = 10.0
"""A connection that held so long was a good one: the next attempt comes soon."""
MAX_REASONS = 20
"""Told about one absence."""
TRIALS = 3
"""Answers of which one must be quick, since a slow one may be our own fault."""


_IN_SCRIPT = re.compile(r"^(?:ERR Error running script .*?|@user_script: ?\d+): -([A-Z]+) ")


class Refusal(Exception):
    """An error the server answered with. ``code`` is its first word: ``OOM``, ``READONLY``.

    Before version 7 the error of a command in a script stands inside the script's own:
    ``ERR Error running script (call to f_1f2e): @user_script:7: -OOM command not allowed``, or
    ``@user_script: 7: -OOM ...`` where the script caught it.
    """

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]

    def __str__(self) -> str:
        text = super().__str__()
        inner = _IN_SCRIPT.search(text)
        return text[inner.start(1) :] if inner else text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is: a host and a port, or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    tls: bool = False

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Wire(asyncio.Protocol):
    """One connection. Replies belong to questions in the order of both."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        import hiredis  # here: the extra ``redis`` brings it

        self._reader = hiredis.Reader(replyError=Refusal)
        self._pack = hiredis.pack_command
        self._lost = lost
        self._asked: deque[tuple[int, list[Any], asyncio.Future[list[Any]]]] = deque()
        self._transport: asyncio.Transport | None = None
        self.pending = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def ask(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """One reply for each command; one that the server refused is a :class:`Refusal`."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        if self.pending + len(commands) > MAX_PENDING:
            raise AskFailed("too much is being asked of this store at once")
        future = asyncio.get_running_loop().create_future()
        self._asked.append((len(commands), [], future))
        self.pending += len(commands)
        self._transport.write(b"".join([self._pack(c) for c in commands]))  # type: ignore[arg-type]
        return future

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while self._asked and (reply := self._reader.gets()) is not False:
                self._deliver(reply)
        except Exception as error:  # noqa: BLE001 - a parser may raise anything on garbage
            self._lost(f"it does not speak Redis's protocol: {error}")

    def _deliver(self, reply: Any) -> None:
        wanted, replies, future = self._asked[0]
        replies.append(reply)
        self.pending -= 1
        if len(replies) == wanted:
            self._asked.popleft()
            if not future.done():
                future.set_result(replies)

    def connection_lost(self, error: Exception | None) -> None:
        lost, why = self._lost, f"the connection is closed{f': {error}' if error else ''}"
        self.close(why)
        lost(why)

    def close(self, why: str = "the connection is closed") -> None:
        """Whoever waits is told; nobody is told of the loss."""
        self._lost = _nobody
        if self._transport is not None:
            self._transport.abort()
        self._transport = None
        while self._asked:
            _, _, future = self._asked.popleft()
            if not future.done():
                future.set_exception(AskFailed(why))


class Link:
    """Connections to one server, kept up by a task of their own."""

    def __init__(
        self,
        place: Place,
        *,
        login: Callable[[], tuple[str, str]] = lambda: ("", ""),
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        server_name: str | None = None,
        connections: int = 2,
        timeout_s: float = 0.05,
        connect_timeout_s: float = 1.0,
    ) -> None:
        """``login`` gives user and password, ``""`` for none, at each attempt; so does ``tls``
        how to verify the server, whose certificate is for ``server_name``, or its host."""
        self.place = place
        self._login, self._tls, self._server_name = login, tls, server_name
        self._count, self._timeout_s = connections, timeout_s
        self._connect_timeout_s = connect_timeout_s
        self.greet: Callable[[Wire], Awaitable[None]] = _greet_nobody
        """Asked once per attempt before anybody may ask; what it raises ends the attempt."""
        self.changed: Callable[[bool, str], None] = lambda up, why: None
        """Told each time the server comes, goes, or is away for another reason."""
        self._wires: list[Wire] = []
        self._keeper: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._began = 0.0
        self._told: set[str] = set()
        self.up = False
        self.why = ""
        """Why it is down; nothing while it is up, or was never tried."""

    def open(self) -> None:
        """Begin to connect; needs a running loop. Once is enough."""
        if self._keeper is None:
            self._began = asyncio.get_running_loop().time()
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def ask(self, *commands: Command) -> list[Any]:
        """Raise :class:`AskFailed` at once while the server is away, and after ``timeout_s`` when
        it goes."""
        if not self.up:
            await self._first()
        wire = min(self._wires, key=_pending)
        try:
            future = wire.ask(commands)
        except OSError as error:
            self.broke(str(error))
            raise AskFailed(f"{self.place}: {error}") from error
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout_s
        timer = loop.call_at(due, self._late, future, due, True)
        try:
            return await future
        finally:
            timer.cancel()

    def close(self) -> None:
        """For good."""
        if self._keeper is not None and not self._keeper.get_loop().is_closed():
            self._keeper.cancel()
            for wire in self._wires:
                wire.close()
        self._wires, self.up, self.why = [], False, "closed"

    async def _first(self) -> None:
        """Nobody has been answered yet: all who ask in the first moment wait, together, for no
        longer than for an answer."""
        self.open()
        left = self._began + self._timeout_s - asyncio.get_running_loop().time()
        if not self.why and left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
        if not self.up:
            raise AskFailed(f"{self.place}: {self.why or 'not connected yet'}")

    def _late(self, future: asyncio.Future[list[Any]], due: float, again: bool) -> None:
        if future.done() or not self.up:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if again and now - due > LAG_S:
            due = now + self._timeout_s
            loop.call_at(due, self._late, future, due, False)
        else:
            self.broke(f"no answer within {self._timeout_s * 1000:g} ms")

    def broke(self, why: str) -> None:
        """Everybody who waits is told at once; the keeper begins anew."""
        if self.up:
            self.up = False
            self._drop(why)
            self._say(why)
            self._news.set()

    def _drop(self, why: str) -> None:
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.close(f"{self.place}: {why}")

    def _say(self, why: str) -> None:
        """Tell about each state once: up, down, and down for a reason not told since it was up."""
        self.why = why
        if not why:
            self._told.clear()
            self.changed(True, "")
        elif why not in self._told and len(self._told) < MAX_REASONS:
            self._told.add(why)
            self.changed(False, why)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may do
                why = reason(error, self._connect_timeout_s)
                self._drop(why)
                self._say(why)
                self._news.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            self.up, began = True, clock()
            self._say("")
            self._news.set()
            await self._watch()
            if clock() - began > STEADY_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _watch(self) -> None:
        """Until the connection breaks, which is noticed even while nobody asks."""
        while self.up:
            self._news.clear()
            try:
                # Not wait_for: in 3.11 it loses a cancellation that comes with the news.
                async with asyncio.timeout(IDLE_S):
                    await self._news.wait()
            except TimeoutError:
                with suppress(AskFailed):
                    await self.ask(("PING",))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            wire = await self._dial()
            self._wires.append(wire)
            user, password = self._login()
            hello: list[Command] = []
            if password:
                hello.append(("AUTH", user, password) if user else ("AUTH", password))
            if self.place.database:
                hello.append(("SELECT", self.place.database))
            for reply in await wire.ask([*hello, ("PING",)]):
                if isinstance(reply, Refusal):
                    raise reply
        await self.greet(self._wires[0])
        took = []
        for _ in range(TRIALS):
            began = loop.time()
            await self._wires[0].ask([("PING",)])
            took.append(loop.time() - began)
            if took[-1] <= self._timeout_s:
                return
        raise AskFailed(
            f"too slow: an answer takes {min(took) * 1000:.0f} ms, timeout_ms is "
            f"{self._timeout_s * 1000:g}"
        )

    async def _dial(self) -> Wire:
        loop, place = asyncio.get_running_loop(), self.place
        made = Wire(self.broke)
        if place.path:
            await loop.create_unix_connection(lambda: made, place.path)
        else:
            context = self._tls() if place.tls else None
            name = (self._server_name or place.host) if context else None
            await loop.create_connection(
                lambda: made, place.host, place.port, ssl=context, server_hostname=name
            )
        return made


async def _greet_nobody(wire: Wire) -> None:
    """Stands where there is nothing to prepare."""


def _nobody(why: str) -> None:
    """Stands where nobody wants to know."""


def _pending(wire: Wire) -> int:
    return wire.pending


def reason(error: Exception, patience_s: float = 0.0) -> str:
    """Why a server cannot be used, for people."""
    if isinstance(error, Refusal):
        if error.code in ("WRONGPASS", "NOAUTH") or "invalid password" in str(error):
            return "it refuses the user or the password"
        if error.code == "LOADING":
            return "it is loading its data"
        if "without any password configured" in str(error):
            return "it knows no password, and one is configured"
        return f"it answers: {str(error)[:200]}"
    if isinstance(error, TimeoutError):
        return f"no connection within {patience_s * 1000:g} ms"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason}"  # noqa: E501
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, WaysideError):
        return str(error)
    return f"{type(error).__name__}: {error}"[:200]
