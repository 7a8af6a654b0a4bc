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
