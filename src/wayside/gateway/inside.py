"""Requests of our own that go the way any client's go, without a connection.

The door of a client's connection does all of it: routing, guards, queue, retries, log and metrics.
Only what it writes goes to nobody but the one who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httptools

from wayside.gateway.door import Door
from wayside.gateway.server import HttpServer
from wayside.vocab.access import Caller
from wayside.vocab.outcome import Forward


class Unanswered(Exception):
    """The router is stopping, or the answer was too long or broke off; it may be asked again
    where ``again``."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Full(Unanswered):
    """All connections are taken, or the router is stopping; nothing was asked."""

    def __init__(self) -> None:
        super().__init__("the router takes no more requests just now", again=True)


class Answered:
    """A whole answer. ``headers`` have lower-case names."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()


async def ask(
    server: HttpServer,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    urgency: int,
    max_bytes: int,
    caller: Caller | None = None,
) -> Answered:
    """POST ``body`` (JSON) to ``path`` of our own data plane, for ``caller`` where it is known who
    that is. Cancelled, the model is let go.

    Raises :class:`Unanswered`, and :class:`Full` of its kind. ``headers`` are trusted: they came
    from a request that was read.
    """
    head = [f"POST {path} HTTP/1.1", "host: wayside", "content-type: application/json"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    head += [f"content-length: {len(body)}", "", ""]
    door = _Inside(server, urgency)
    door.caller = caller
    wire = _Wire(door, max_bytes)
    door.connection_made(wire)
    try:
        if wire.is_closing():
            raise Full
        door.data_received("\r\n".join(head).encode("latin-1") + body)
        return await wire.done
    finally:
        wire.abort()


class _Inside(Door):
    """Lets others go first, whatever its requests' headers say."""

    __slots__ = ("_urgency",)

    def __init__(self, server: HttpServer, urgency: int) -> None:
        super().__init__(server)
        self._urgency = urgency

    def urgency(self, forward: Forward) -> int:
        return self._urgency


class _Wire(asyncio.Transport):
    """Reads what a door writes, as a client would."""

    def __init__(self, door: Door, max_bytes: int) -> None:
        super().__init__()
        self._door, self._left = door, max_bytes
        self._answer = Answered()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._lost = False
        self.done: asyncio.Future[Answered] = door.loop.create_future()

    # What a door does with its connection

    def write(self, data: Any) -> None:
        if self.done.done():
            return
        try:
            self._parser.feed_data(bytes(data))
        except httptools.HttpParserError as error:  # a bug of ours, or a failure below
            self._fail(f"the answer could not be read: {error}", again=False)

    def close(self) -> None:
        self._fail("the answer broke off", again=True)
        self._lose()

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._lost

    def write_eof(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """There is nothing more to come."""

    def resume_reading(self) -> None:
        """There is nothing more to come."""

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._door.loop.call_soon(self._door.connection_lost, None)

    def _fail(self, why: str, *, again: bool) -> None:
        if not self.done.done():
            self.done.set_exception(Unanswered(why, again=again))
            self.done.exception()  # whoever asked may not be there any more

    # The parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._fail("the answer is too long", again=False)
        else:
            self._answer.body += data

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        if not self.done.done():
            self.done.set_result(self._answer)
