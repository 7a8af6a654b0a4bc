"""A prompt that another server reads while Envoy waits, after a decision that took its time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wayside.extproc import wire
from wayside.runtime.prefill import NoPrefill, Read
from wayside.vocab.outcome import Forward, HeaderPairs

from .frames import HELLO, RST, body_message, frame, grpc, headers_message, opened
from .stand_ins import door
from .test_servers import data, kind, serving

pytest.importorskip("grpc")
__all__ = ["kind"]

SLOWLY = b'{"model":"auto","messages":[{"role":"user","content":"slowly"}]}'
HEAD = grpc(headers_message(protocol=wire.Protocol(wire.BUFFERED)))


class Server:
    """The server that everything goes to, and what is heard of it."""

    hosts = "10.0.0.1:80"
    report: HeaderPairs = ()

    def __init__(self, how: str, forward: Forward) -> None:
        self.how, self.heard = how, []
        self.reading = self._read(forward)

    async def _read(self, forward: Forward) -> Read:
        self.heard.append("reading")
        await asyncio.sleep(3600 if self.how == "for ever" else 0.02)
        if self.how == "nobody":
            raise NoPrefill
        if self.how == "a bug":
            raise RuntimeError("a bug")
        return Read(msgspec.structs.replace(forward, body=b'{"read":1}', changed=True))

    def sent(self, now: float, place: Any) -> None:
        self.heard.append("sent")

    def ended(self, now: float, *, failed: bool = False, unfinished: bool = False) -> None:
        self.heard.append("ended")


class Picks:
    now = 1.0

    def __init__(self, how: str) -> None:
        self.how = how
        self.servers: list[Server] = []

    def choose(self, forward: Forward, headers: Any) -> Any:
        if self.how == "raises":
            raise RuntimeError("a bug")
        self.servers.append(Server(self.how, forward))
        return self.servers[-1]


@pytest.mark.parametrize("how", ["well", "nobody", "a bug", "raises"])
async def test_envoy_gets_one_answer_when_it_was_read(how: str, kind: str, folder: Path) -> None:
    shared = door()
    shared.replicas = picks = Picks(how)  # type: ignore[assignment]
    async with serving(kind, folder, shared) as client:
        client.say(HELLO + opened() + data(HEAD + grpc(body_message(SLOWLY)), flags=1))
        heard = await asyncio.wait_for(client.until_ended(), 5)
    assert heard.status == 0 and len(heard.messages) == 2
    last = heard.messages[-1]
    if how == "well":
        assert b'{"read":1}' in last and b"10.0.0.1:80" in last
    else:
        assert (b"no_healthy_endpoint" in last) == (how == "nobody")
        assert (b"internal_error" in last) == (how != "nobody")
    heards = [server.heard for server in picks.servers]
    sent = ["sent"] if how == "well" else []
    assert heards == ([] if how == "raises" else [["reading", *sent, "ended"]])
    assert shared.held == 0


async def test_who_resets_the_stream_meanwhile_leaves_nothing(kind: str, folder: Path) -> None:
    shared = door()
    shared.replicas = picks = Picks("for ever")  # type: ignore[assignment]
    async with serving(kind, folder, shared) as client:
        client.say(HELLO + opened() + data(HEAD + grpc(body_message(SLOWLY))))
        async with asyncio.timeout(5):
            while not (picks.servers and picks.servers[0].heard):
                await asyncio.sleep(0.001)
            client.say(frame(RST, 0, 1, b"\0\0\0\x08"))
            while picks.servers[0].heard != ["reading", "ended"]:
                await asyncio.sleep(0.001)
    assert shared.held == 0
