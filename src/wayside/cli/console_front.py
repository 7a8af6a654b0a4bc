"""The console of several workers as if they were one router.

The parent has the door: login, sessions, audit, pages. Data is asked of the workers, each on its
private socket: what they count is added up, what is configured the first one tells and changes
(the others see the file change), and what passes is told by all of them at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlencode

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from wayside.cli.console_sums import MERGED, merged
from wayside.console import Frame, who
from wayside.console.bare import ABOUT, ENDPOINTS, NOTE_HEADER, heads_of
from wayside.console.inside import note, unchanged
from wayside.gateway.api import MAX_BODY_BYTES, ApiError, Endpoint, Handler

ROOT: Final = "/console/api"
LIVE: Final = "/live"
REPLAYS: Final = "/replays"
PAGE: Final = 100
MOST_REPLAYS: Final = 1000
_PAGE: Final = {"limit": "20", "offset": "0"}
EVERYWHERE: Final = ("/cache/invalidate", "/cache/flush", "/cache/entries")
"""What each worker has of its own: a change there is asked of all of them."""
WAITING: Final = 64
"""Events that wait for one listener."""
MAX_EVENT: Final = 1 << 20
AGAIN_S: Final = 1.0
Told = tuple[int, Mapping[str, str], bytes]
Ask = Callable[[Path, str, str, bytes, Mapping[str, str]], Told]
"""Asks one worker, on a thread: status, headers and body. Raises ``OSError`` and the like."""


class ConsoleFront:
    """The parent's half. ``ask`` puts one question to the worker at a socket."""

    def __init__(self, sockets: Sequence[Path], ask: Ask) -> None:
        self._sockets, self._ask_ = sockets, ask

    async def about(self) -> dict[str, bool]:
        """``Me.has``, of the first worker."""
        found: dict[str, bool] = json.loads((await self._ask(0, "GET", ABOUT))[2])
        return found

    async def app(self, frame: Frame) -> ASGIApp:
        """Everything below ``/console``. Raises :class:`ApiError` where no worker answers."""
        table = json.loads((await self._ask(0, "GET", ENDPOINTS))[2])["endpoints"]
        return frame.door.app([self._endpoint(**row) for row in table])

    def _endpoint(self, method: str, path: str, role: Any, media: str) -> Endpoint:
        handler: Handler
        if path == LIVE:
            handler = self._live
        elif method == "GET" and path in MERGED:
            handler = self._added_up
        elif method != "GET" and path.startswith(EVERYWHERE):
            handler = self._of_all
        elif path == REPLAYS and method == "GET":
            handler = self._replays
        elif path.startswith(f"{REPLAYS}/"):
            handler = self._whose
        else:
            handler = self._first
        return Endpoint(method, path, handler, "", role=role, media=media)

    async def _first(self, http: HttpRequest) -> Response:
        """What the first worker says."""
        return self._passed(http, await self._forward(0, http, await _body(http)))

    async def _whose(self, http: HttpRequest) -> Response:
        """What the first worker says that knows what is asked for."""
        body = await _body(http)
        for i in range(len(self._sockets)):
            told = await self._forward(i, http, body)
            if told[0] != 404:
                break
        return self._passed(http, told)

    async def _replays(self, http: HttpRequest) -> Response:
        """Records of all of them, the newest first; one that a shared store gives to several is
        one record."""
        query = dict(http.query_params)
        limit, offset = (_number(query.get(name, said)) for name, said in _PAGE.items())
        if not limit or limit > PAGE or offset is None or offset > MOST_REPLAYS:
            return await self._first(http)  # which says what is wrong with it
        records: dict[str, dict[str, Any]] = {}
        more = False
        for i in range(len(self._sockets)):
            at = 0
            while at < offset + limit:
                page = {**query, "limit": min(PAGE, offset + limit - at), "offset": at}
                target = f"{REPLAYS}?{urlencode(page)}"
                status, headers, body = await self._ask(i, "GET", target, b"", heads_of(who(http)))
                if status != 200:
                    return self._passed(http, (status, headers, body))
                told = json.loads(body)
                records |= {row["id"]: row for row in told["data"]}
                at += len(told["data"])
                if not told["has_more"] or not told["data"]:
                    break
            else:
                more = True
        rows = sorted(records.values(), key=lambda row: -row["timestamp"])
        shown = rows[offset : offset + limit]
        page = {"count": len(shown), "offset": offset, "limit": limit}
        return JSONResponse(
            {**told, **page, "data": shown, "has_more": more or len(rows) > offset + limit}
        )

    async def _of_all(self, http: HttpRequest) -> Response:
        """The same of each of them; the answer is the first that is not good, or their sum."""
        body = await _body(http)
        found = [await self._forward(i, http, body) for i in range(len(self._sockets))]
        worst = max(found, key=lambda told: told[0] if told[0] != 404 else 0)
        answer = self._passed(http, worst)
        with suppress(ValueError):
            told = [json.loads(body) for status, _, body in found if status == 200]
            if worst[0] == 200 and told and all(isinstance(one, dict) for one in told):
                return JSONResponse(merged(told))
        return answer

    async def _added_up(self, http: HttpRequest) -> Response:
        """The sum of what they count; a worker that does not answer is left out."""
        found = await asyncio.gather(
            *(self._forward(i, http, b"") for i in range(len(self._sockets))),
            return_exceptions=True,
        )
        told = [f for f in found if not isinstance(f, BaseException)]
        good = [json.loads(body) for status, _, body in told if status == 200]
        if not good:
            if not told:
                raise ApiError(503, "WORKER_UNAVAILABLE", "no worker answers")
            return self._passed(http, told[0])
        return JSONResponse(merged(good))

    def _passed(self, http: HttpRequest, told: Told) -> Response:
        status, headers, body = told
        noted = headers.get(NOTE_HEADER, "")
        if noted == "-":
            unchanged(http)
        elif noted:
            note(http, unquote(noted))
        kind = headers.get("content-type", "application/json")
        return Response(body, status_code=status, media_type=kind)

    async def _forward(self, i: int, http: HttpRequest, body: bytes) -> Told:
        path = http.url.path.removeprefix(ROOT)
        target = path + (f"?{http.url.query}" if http.url.query else "")
        return await self._ask(i, http.method, target, body, heads_of(who(http)))

    async def _ask(
        self,
        i: int,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        sent = {"content-type": "application/json", **(headers or {})}
        try:
            return await asyncio.to_thread(
                self._ask_, self._sockets[i], method, ROOT + target, body, sent
            )
        except (OSError, HTTPException) as error:
            said = f"worker {i}: {type(error).__name__}"
            raise ApiError(503, "WORKER_UNAVAILABLE", said) from None

    # what passes

    async def _live(self, http: HttpRequest) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        events = self._events(heads_of(who(http)))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _events(self, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Events of all workers, as they come; their states as one, when the first tells its."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        states: dict[int, dict[str, Any]] = {}

        def told(i: int, event: bytes) -> None:
            if event.startswith(b"event: state"):
                states[i] = json.loads(event.partition(b"data:")[2])
                if i != min(states):
                    return
                whole = json.dumps(merged(list(states.values())))
                event = f"event: state\ndata: {whole}\n\n".encode()
            if not queue.full():  # who does not read loses what comes meanwhile
                queue.put_nowait(event)

        listening = [
            asyncio.create_task(self._listen(i, headers, told, states))
            for i in range(len(self._sockets))
        ]
        try:
            while True:
                yield await queue.get()
        finally:
            for task in listening:
                task.cancel()

    async def _listen(
        self,
        i: int,
        headers: Mapping[str, str],
        told: Callable[[int, bytes], None],
        states: dict[int, dict[str, Any]],
    ) -> None:
        """Tell what worker ``i`` tells, again when it has died and is back."""
        while True:
            with suppress(
                OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                async for event in _stream(self._sockets[i], headers):
                    told(i, event)
            states.pop(i, None)
            await asyncio.sleep(AGAIN_S)


async def _stream(path: Path, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Events of one worker, each whole, out of the chunks (RFC 9112, 7.1) that they come in."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_EVENT)
    try:
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {ROOT}{LIVE} HTTP/1.1\r\nhost: worker\r\n{sent}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0] or b"transfer-encoding: chunked" not in head:
            raise OSError("refused")
        held = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            if size == 0 or len(held) + size > MAX_EVENT:
                return
            held += (await reader.readexactly(size + 2))[:-2]
            *events, held = held.split(b"\n\n")
            for event in events:
                yield event + b"\n\n"
    finally:
        writer.close()


def _number(said: str) -> int | None:
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else None


async def _body(http: HttpRequest) -> bytes:
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, "REQUEST_BODY_TOO_LARGE", f"more than {MAX_BODY_BYTES >> 20} MiB")
    return bytes(body)
