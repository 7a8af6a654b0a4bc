"""An MCP server that is our child process: one message a line on its stdin and stdout.

It is started when first asked, restarted with growing pauses when it ends, and killed when it
says more than it may. It gets the environment variables that it was promised and no others.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

from wayside.engines.rpc import (
    HELLO,
    Json,
    as_json,
    as_line,
    declined,
    notification,
    numbered,
    result_of,
)
from wayside.vocab.errors import AskFailed

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 10.0
"""A child that lived this long is started again without a pause."""
KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "SYSTEMROOT")
"""Of our environment, what a child gets without being named: nothing that is secret."""


class ChildPeer:
    """A child that is there when it is asked. Safe to close from outside of its loop."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        variables: Sequence[str] = (),
        deadline_s: float = 2.0,
        start_s: float = 20.0,
        queue: int = 64,
        max_bytes: int = 1 << 20,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``deadline_s`` is for a call, ``start_s`` for the child's start and greeting."""
        self._name, self._command = name, tuple(command)
        wanted = (*KEPT_VARIABLES, *variables)
        self._environment = {key: environment[key] for key in wanted if key in environment}
        self._deadline_s, self._start_s = deadline_s, start_s
        self._queue, self._max_bytes = queue, max_bytes
        self._child: _Child | None = None
        self._starting: asyncio.Task[_Child] | None = None
        self._deaths, self._not_before, self._calls = 0, 0.0, 0
        self._closed = False

    async def call(self, method: str, params: Json) -> Json:
        if self._closed:
            raise AskFailed(f"engine {self._name!r} is closed")
        if self._calls >= self._queue:
            raise AskFailed(f"engine {self._name!r} is busy: {self._queue} asks wait already")
        self._calls += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                child = await self._ready()
                return result_of(await child.request(method, params), self._name)
        except TimeoutError as error:
            raise TimeoutError(
                f"engine {self._name!r} did not answer in {self._deadline_s * 1e3:.0f} ms"
            ) from error
        finally:
            self._calls -= 1

    def close(self) -> None:
        self._closed = True
        if self._starting is not None:
            with suppress(RuntimeError):  # its loop may be gone
                self._starting.cancel()
        if self._child is not None:
            self._child.kill()

    async def _ready(self) -> _Child:
        """The child that runs, or a fresh one; starting goes on when one asker gives up."""
        loop = asyncio.get_running_loop()
        if self._child is not None and self._child.alive(loop):
            return self._child
        if self._starting is None or self._starting.done() or self._starting.get_loop() != loop:
            self._note_death(loop.time())
            wait = self._not_before - loop.time()
            if wait > 0:
                raise AskFailed(
                    f"engine {self._name!r}: its process ended; next start in {wait:.1f} s"
                )
            self._starting = loop.create_task(self._start())
            self._starting.add_done_callback(_seen)
        return await asyncio.shield(self._starting)

    async def _start(self) -> _Child:
        self._not_before = self._pause(asyncio.get_running_loop().time())
        child = await _Child.start(self._command, self._environment, self._max_bytes, self._name)
        try:
            async with asyncio.timeout(self._start_s):
                result_of(await child.request("initialize", HELLO), self._name)
            child.greeted = True
            await child.say(notification("notifications/initialized"))
        except BaseException:
            child.kill()
            raise
        self._child = child
        return child

    def _note_death(self, now: float) -> None:
        """A child that had lived long enough makes the next start immediate."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            if now - child.born > STEADY_S:
                self._deaths, self._not_before = 0, 0.0

    def _pause(self, now: float) -> float:
        """When the start after this one may be: each failure in a row doubles the pause."""
        pause: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._deaths, 10))
        self._deaths += 1
        return now + pause


class _Child:
    """A running process and the calls it has not answered."""

    def __init__(
        self, process: Process, transport: asyncio.SubprocessTransport, name: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._process, self._transport, self._name = process, transport, name
        self.born = self._loop.time()
        self._ids = count(1)
        self._pending: dict[int, asyncio.Future[Json]] = {}
        self._said: deque[bytes] = deque(maxlen=1)
        self.greeted = False
        self._tasks = [
            self._loop.create_task(self._listen()),
            self._loop.create_task(self._drain()),
        ]

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], max_bytes: int, name: str
    ) -> _Child:
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(limit=max_bytes, loop=loop),
                *command,
                env=dict(environment),
            )
        except OSError as error:
            raise AskFailed(
                f"engine {name!r}: cannot start {command[0]}: {error.strerror or error}"
            ) from error
        return cls(Process(transport, protocol, loop), transport, name)

    def alive(self, loop: asyncio.AbstractEventLoop) -> bool:
        return (
            self._loop is loop and self._process.returncode is None and not self._tasks[0].done()
        )

    async def request(self, method: str, params: Json) -> Json:
        number = next(self._ids)
        future: asyncio.Future[Json] = self._loop.create_future()
        self._pending[number] = future
        try:
            await self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await future
        except asyncio.CancelledError:
            if self._process.stdin is not None:
                note = notification("notifications/cancelled", {"requestId": number})
                self._process.stdin.write(as_line(note))
            raise
        finally:
            self._pending.pop(number, None)

    async def say(self, message: Json) -> None:
        assert self._process.stdin
        if self._tasks[0].done():
            raise self._ended()
        self._process.stdin.write(as_line(message))
        try:
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise self._ended() from error

    def kill(self) -> None:
        if self._loop.is_closed():
            return
        self._transport.close()  # kills it, and lets go of its pipes even if it floods them
        for task in self._tasks:
            task.cancel()
        self._fail_all()

    async def _listen(self) -> None:
        """Answers go to their calls; what the server asks of us is declined."""
        assert self._process.stdout
        try:
            while line := await self._process.stdout.readline():
                message = as_json(line)
                if message is None:
                    continue  # a log line on the wrong stream
                if "method" in message:
                    if "id" in message:
                        await self.say(declined(message))
                    continue
                future = self._pending.get(message["id"]) if numbered(message) else None
                if future is not None and not future.done():
                    future.set_result(message)
        except (ValueError, ConnectionError, AskFailed):  # a line longer than it may be
            pass
        finally:
            self._fail_all()
            self._transport.close()

    async def _drain(self) -> None:
        """Keep the last thing it said on stderr, for the error when it ends."""
        assert self._process.stderr
        with suppress(ValueError, ConnectionError):
            while said := await self._process.stderr.read(4096):
                self._said.append(said)

    def _fail_all(self) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(self._ended())

    def _ended(self) -> AskFailed:
        status = self._process.returncode
        told = f" with status {status}" if status is not None else ""
        # later it may speak of prompts, and those are told to nobody
        said = self._said[0] if self._said and not self.greeted else b""
        lines = said.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return AskFailed(
            f"engine {self._name!r}: its process ended{told}" + (f": {last[:200]}" if last else "")
        )


def _seen(task: asyncio.Task[Any]) -> None:
    """Look at the outcome, so that a start nobody waits for any more is no unseen error."""
    if not task.cancelled():
        task.exception()
