"""Many clients at once, with every fate that requests have; then nothing counts as under way."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trustme

from wayside.epp.serve import Epp

from . import proto
from .rig import HEAD, channel, serving

pytest.importorskip("grpc")

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
FLOW = (
    HEAD
    + """
featureGates: [flowControl]
plugins:
- {type: active-request-scorer}
- {type: prefix-cache-scorer}
- {type: concurrency-detector, name: few, parameters: {maxConcurrency: 4}}
flowControl:
  defaultRequestTTL: 300ms
  saturationDetector: {pluginRef: few}
  defaultPriorityBand: {maxRequests: 30}
"""
)
BODY = b'{"model":"m","stream":true,"prompt":"' + b"x" * 3000 + b'"}'
FATES = [
    "gone after its headers",
    "gone before its body ended",
    "gone while it waits",
    "gone once it was placed",
    "gone within the answer",
    "bodiless",
    "refused",
    "answered",
]


async def one(stub: Any, fate: str, dice: random.Random) -> str:
    """One request with this fate; what became of it."""
    call = stub()
    try:
        pairs = {":path": "/v1/completions", "x-llm-d-inference-fairness-id": f"f{dice.random()}"}
        pairs["x-llm-d-inference-objective"] = dice.choice(["sql-lora", "sheddable", ""])
        await call.write(proto.request_headers(pairs, last=fate == "bodiless"))
        if fate == "gone after its headers":
            return "left"
        if fate != "bodiless":
            await call.write(proto.request_body(BODY[:700], last=False))
            if fate == "gone before its body ended":
                return "left"
            rest = b"no json" if fate == "refused" else BODY[700:]
            await call.write(proto.request_body(rest))
        if fate == "gone while it waits":
            await asyncio.sleep(dice.random() / 50)
            return "left"
        data = await call.read()
        if not isinstance(data, bytes):
            return "ended"
        reply = proto.reply(data)
        if reply.HasField("immediate"):
            return f"refused {reply.immediate.status.code}"
        if fate == "gone once it was placed":
            return "left"
        await asyncio.sleep(dice.random() / 20)
        await call.write(proto.response_headers({":status": "200"}))
        await call.write(proto.response_body(b"data: {}\n\n", last=False))
        if fate == "gone within the answer":
            return "left"
        await call.write(proto.response_body(b"data: [DONE]\n\n"))
        await call.done_writing()
        return "answered"
    finally:
        call.cancel()


def still(epp: Epp) -> dict[str, float]:
    """What counts as under way."""
    flow = epp.picker.flow
    assert flow is not None
    return {
        "in flight": sum(e.in_flight for e in epp.store.roster.endpoints),
        "running": sum(epp.metrics.running.values()),
        "held": epp.door.held,
        "in line": flow.lanes.count,
        "bytes in line": flow.lanes.bytes,
        "tasks": len(epp.server.tasks),
        "streams": sum(len(c.http.streams) for c in epp.server.connections),
    }


async def storm(epp: Epp, count: int, seed: int) -> Counter[str]:
    dice = random.Random(seed)
    found: Counter[str] = Counter()
    async with channel(epp) as to:
        stub = to.stream_stream(METHOD)
        queue = [dice.choice(FATES) for _ in range(count)]

        async def client() -> None:
            import grpc

            while queue:
                try:
                    found[await one(stub, queue.pop(), dice)] += 1
                except grpc.aio.AioRpcError as error:
                    found[error.code().name] += 1
                except (asyncio.CancelledError, asyncio.InvalidStateError):
                    found["cut"] += 1

        await asyncio.gather(*(client() for _ in range(60)))
    return found


async def test_nothing_stays_of_a_storm_of_requests() -> None:
    async with serving([(0, 0.1)] * 3, FLOW) as epp:
        found = await storm(epp, 600, seed=5)
        assert sum(found.values()) == 600
        assert {"left", "answered", "refused 400", "refused 429", "refused 503"} <= set(found)
        async with asyncio.timeout(10):
            while any(still(epp).values()):
                await asyncio.sleep(0.02)
        waited = {labels[2] for labels in epp.metrics.waited.values}
        assert {"Dispatched", "EvictedTTL", "RejectedCapacity"} <= waited


async def test_a_picker_that_stops_in_a_storm_ends_everything() -> None:
    async with serving([(0, 0.1)] * 3, FLOW, drain_s=0.6) as epp:
        going = asyncio.create_task(storm(epp, 2000, seed=6))
        await asyncio.sleep(0.3)
        await epp.stop()
        assert not any(v for name, v in still(epp).items() if name != "streams"), still(epp)
        assert not epp.server.connections
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


async def test_a_certificate_changes_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that stand go on, new ones see the new certificate, and no request fails."""
    import grpc.aio

    authority = trustme.CA()

    async def renew(pause_s: float) -> None:
        made = authority.issue_cert("localhost")
        (tmp_path / "tls.crt").write_bytes(made.cert_chain_pems[0].bytes())
        await asyncio.sleep(pause_s)  # a moment in which they do not belong together
        (tmp_path / "tls.key").write_bytes(made.private_key_pem.bytes())

    monkeypatch.setattr("wayside.epp.certificates.LOOK_S", 0.01)
    await renew(0)
    async with serving([(0, 0.1)], cert_path=tmp_path, reload_certs=True) as epp:
        where = ("127.0.0.1", epp.server.port)
        done, stop = 0, asyncio.Event()

        async def client(fresh: bool) -> None:
            nonlocal done
            while not stop.is_set():
                credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
                options = [
                    ("grpc.ssl_target_name_override", "localhost"),
                    ("grpc.use_local_subchannel_pool", 1),
                ]
                target = f"{where[0]}:{where[1]}"
                async with grpc.aio.secure_channel(target, credentials, options=options) as to:
                    while not stop.is_set():
                        call = to.stream_stream(METHOD)()
                        await call.write(proto.request_headers({":path": "/"}))
                        await call.write(proto.request_body(b'{"model":"m","prompt":"x"}'))
                        assert proto.reply(await call.read()).HasField("request_headers")
                        call.cancel()
                        done += 1
                        if fresh:
                            break

        tasks = [asyncio.create_task(client(i % 2 == 0)) for i in range(4)]
        for _ in range(4):
            before = await asyncio.to_thread(ssl.get_server_certificate, where)
            await renew(0.05)
            async with asyncio.timeout(20):
                while await asyncio.to_thread(ssl.get_server_certificate, where) == before:
                    await asyncio.sleep(0.02)
        stop.set()
        await asyncio.gather(*tasks)
        assert done > 20
