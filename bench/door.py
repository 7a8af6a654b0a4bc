"""What the gateway costs per request: client, door and model server in one process, microseconds.

.venv/bin/python bench/door.py [TREE]

TREE is another checkout to measure (`git worktree add`, `git archive`); compare two in turns, by
their least figures, as client and server share the processor and are in both.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

if len(sys.argv) > 1:
    sys.path.insert(0, f"{sys.argv[1]}/src")

import uvloop

from wayside.fleet import Fleet
from wayside.gateway import serve_http
from wayside.settings import EndpointSettings, LimitSettings, ListenSettings, ModelSettings
from wayside.telemetry import Telemetry
from wayside.vocab.outcome import Forward, Record, Request, Target

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 200}]}).encode()
DONE = b'{"ok":true}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n" + DONE
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"x","choices":[{"delta":{"content":"hello"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
LAST = b"0\r\n\r\n"
EVENTS = 100


class Server(asyncio.Protocol):
    """A model server that answers at once; a stream, one event in each turn of the loop."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b"/stream" not in data:
            self.transport.write(WHOLE)
            return
        self.transport.write(HEAD)
        self.left = EVENTS
        self.step()

    def step(self) -> None:
        self.transport.write(CHUNK if self.left else LAST)
        if self.left:
            self.left -= 1
            asyncio.get_running_loop().call_soon(self.step)


class Client(asyncio.Protocol):
    """Asks ``count`` times, one after another."""

    def __init__(self, request: bytes, end: bytes, count: int) -> None:
        self.request, self.end, self.left = request, end, count
        self.done = asyncio.get_running_loop().create_future()
        self.seen = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.seen = (self.seen + data)[-400:]
        if not self.seen.endswith(self.end):
            return
        self.seen = b""
        self.left -= 1
        if self.left:
            self.transport.write(self.request)
        else:
            self.transport.close()
            self.done.set_result(None)


class Straight:
    """A runtime that decides nothing."""

    target = Target(name="m", upstream_name="m")
    record = Record(model="m", requested="m")

    def turned_away(self, request: Request) -> None:
        """Everybody is let in."""

    def handle(self, request: Request) -> Forward:
        return Forward(
            target=self.target,
            path=request.path,
            body=request.body,
            changed=False,
            set_headers=(("x-selected-model", "m"),),
            report=(("x-vsr-selected-model", "m"),),
            record=self.record,
        )

    def drive(self, flow: Any) -> Any: ...
    def after(self, flow: Any) -> None: ...


async def main() -> None:
    loop = asyncio.get_running_loop()
    model = await loop.create_server(Server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}"
    fleet = Fleet({"m": ModelSettings(endpoints=(EndpointSettings(url=url),))})
    listen, limits = ListenSettings(port=0), LimitSettings()
    server = await serve_http(listen, Straight(), fleet, Telemetry(), limits)
    for name, path, end, count in (
        ("a whole answer", b"/v1/chat/completions", DONE, 3_000),
        (f"a stream of {EVENTS} events", b"/v1/stream", LAST, 150),
    ):
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (path, len(BODY))
        best = float("inf")
        for _ in range(5):
            began = time.process_time()
            _, client = await loop.create_connection(
                lambda: Client(head + BODY, end, count),  # noqa: B023 - called at once
                "127.0.0.1",
                server.port,
            )
            await client.done
            best = min(best, (time.process_time() - began) / count)
        print(f"{name}: {best * 1e6:.1f} µs")


if __name__ == "__main__":
    uvloop.run(main())
