"""An MCP server over streamable HTTP: every message is a POST, answered by JSON or by events."""

from __future__ import annotations

from itertools import count
from typing import Final

from wayside.engines.rpc import HELLO, REVISION, Json, as_json, notification, result_of
from wayside.net.http import Client

_OK: Final = (200, 202)


class HttpPeer:
    """A session with a server, begun with the first call and again when the server forgot it."""

    def __init__(self, client: Client) -> None:
        self._client, self._ids = client, count(1)
        self._session: str | None = None
        self._greeted = False

    async def call(self, method: str, params: Json) -> Json:
        if not self._greeted:
            await self._greet()
        answer = await self._send(method, params)
        if answer is None:  # the server has forgotten the session (2025-06-18, transports)
            await self._greet()
            answer = await self._send(method, params)
        if answer is None:
            raise self._client.failed("forgets its sessions")
        return result_of(answer, self._client.name)

    def close(self) -> None:
        self._client.close()

    async def _greet(self) -> None:
        self._session, self._greeted = None, False
        answer = await self._send("initialize", HELLO)
        if answer is None:
            raise self._client.failed("answered 404: nothing is at this path; look at `url`")
        result_of(answer, self._client.name)
        self._greeted = True
        await self._client.post(
            "", notification("notifications/initialized"), headers=self._headers(), accepted=_OK
        )

    async def _send(self, method: str, params: Json) -> Json | None:
        number = next(self._ids)
        events = _Events(number)
        reply = await self._client.post(
            "",
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params},
            headers=self._headers(),
            enough=events.complete,
            accepted=(*_OK, 404),
        )
        if reply.status == 404:
            return None
        if method == "initialize":
            self._session = reply.headers.get("mcp-session-id")
        if reply.headers.get("content-type", "").startswith("text/event-stream"):
            events.complete(reply.body)
            found = events.found
        else:
            found = as_json(reply.body)
        if found is None or found.get("id") != number:
            raise self._client.failed("did not answer with JSON-RPC")
        return found

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json, text/event-stream"}
        if self._greeted:
            headers["mcp-protocol-version"] = REVISION
        if self._session:
            headers["mcp-session-id"] = self._session
        return headers


class _Events:
    """Reads an event stream (WHATWG HTML, 9.2) until the answer to one call is in it."""

    def __init__(self, number: int) -> None:
        self._number, self._read = number, 0
        self.found: Json | None = None

    def complete(self, body: bytearray) -> bool:
        while self.found is None:
            end, width = _blank_line(body, self._read)
            if end < 0:
                return False
            event = bytes(body[self._read : end]).replace(b"\r\n", b"\n").split(b"\n")
            self._read = end + width
            data = [x[5:].removeprefix(b" ") for x in event if x.startswith(b"data:")]
            message = as_json(b"\n".join(data)) if data else None
            if (
                message is not None
                and message.get("id") == self._number
                and "method" not in message
            ):
                self.found = message
        return True


def _blank_line(body: bytearray, start: int) -> tuple[int, int]:
    """Where the next event ends, and how long what ends it is; -1 when it has not."""
    found = [
        (at, len(mark)) for mark in (b"\n\n", b"\r\n\r\n") if (at := body.find(mark, start)) >= 0
    ]
    return min(found) if found else (-1, 0)
