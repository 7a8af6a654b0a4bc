"""A picker that goes by what servers tell of their KV caches."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import msgspec
import pytest

from wayside.epp.store import Seat

from . import proto
from .rig import HEAD, Talk, destination, serving

pytest.importorskip("grpc")
zmq = pytest.importorskip("zmq")

CONFIG = """
plugins:
- type: precise-prefix-cache-producer
  parameters: {kvEventsConfig: {zmqEndpoint: "tcp://127.0.0.1:%d", discoverPods: false}}
- type: prefix-cache-scorer
dataLayer: {injectDefaults: false}
"""
PLACES = ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]
TOKENS = list(range(100, 164))


async def test_a_prompt_goes_where_its_blocks_are() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    publisher = zmq.Context.instance().socket(zmq.PUB)
    publisher.linger = 0
    blocks = [["BlockStored", [1, 2, 3, 4], None, TOKENS, 16, None, "gpu"]]
    body = msgspec.msgpack.encode([0.0, blocks])
    try:
        async with serving([], HEAD + CONFIG % port) as epp:
            epp.store.seat([Seat(place, place) for place in PLACES])
            publisher.connect(f"tcp://127.0.0.1:{port}")
            topic = f"kv@{PLACES[1]}@m".encode()
            number = 0
            async with asyncio.timeout(20):
                while not epp.metrics.kv.values.get(("ok",)):
                    publisher.send_multipart((topic, struct.pack(">Q", number), body))
                    number += 1
                    await asyncio.sleep(0.02)
            for _ in range(8):  # once could be luck
                talk = Talk(epp.door.session())
                asked = json.dumps({"model": "m", "prompt": TOKENS}).encode()
                replies = talk.say(
                    proto.request_headers({":path": "/"}), proto.request_body(asked)
                )
                assert destination(replies) == PLACES[1]
                talk.session.close()
    finally:
        publisher.close()


async def test_servers_that_have_more_than_was_heard_are_guessed_at() -> None:
    """The picker starts after they have read the prompts' beginning: what they tell from then on
    cannot be placed, so that what was sent to them has to do."""
    import aiohttp

    from wayside.sim import SimModel, SimServer, serve_sim
    from wayside.sim.settings import KvEvents

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    events = KvEvents(endpoint=f"tcp://127.0.0.1:{port}", bind=False)
    servers = [SimServer((SimModel("m", kv_blocks=4000),), kv_events=events) for _ in range(3)]
    system = "You are a helpful assistant. " * 80

    def body(text: str) -> dict[str, object]:
        said = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return {"model": "m", "messages": said, "max_tokens": 2}

    async with serve_sim(servers) as sims, aiohttp.ClientSession() as http:

        async def ask(where: str, text: str) -> None:
            url = f"http://{where}/v1/chat/completions"
            async with http.post(url, json=body(text)) as answer:
                assert answer.status == 200

        places = [sim.url.removeprefix("http://") for sim in sims]
        for place in places:
            await ask(place, "before")
        async with serving([], HEAD + CONFIG % port) as epp:
            epp.store.seat([Seat(place, place) for place in places])
            async with asyncio.timeout(20):
                while not all(sim.kv_events.subscribers for sim in sims):
                    await asyncio.sleep(0.02)
                    for sim in sims:
                        sim.kv_events._heed()
            chosen = set()
            for i in range(8):
                talk = Talk(epp.door.session())
                asked = json.dumps(body(f"question {i}")).encode()
                replies = talk.say(
                    proto.request_headers({":path": "/v1/chat/completions"}),
                    proto.request_body(asked),
                )
                chosen.add(destination(replies))
                await ask(destination(replies), f"question {i} " * 20)
                talk.session.close()
            assert len(chosen) == 1, "prompts follow the first that was sent"
            async with asyncio.timeout(20):
                while not epp.metrics.kv.values.get(("orphan",)):
                    await asyncio.sleep(0.02)
