"""A picker for tests, whole or its sessions alone, with pods that say what they are told."""

from __future__ import annotations

import contextlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from wayside.epp.build import Picker
from wayside.epp.door import Door
from wayside.epp.metrics import EppMetrics
from wayside.epp.options import Options
from wayside.epp.serve import Epp
from wayside.epp.session import Session
from wayside.epp.store import Seat, Store
from wayside.telemetry.metrics import Metrics
from wayside.translate.endpoint_picker_config import read
from wayside.translate.picker_config import PickerConfig
from wayside.vocab.endpoint import Vitals
from wayside.vocab.inference import Objective, Rewrite, RewriteRule, Rewrites, Target

from . import proto

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
HERMETIC = (
    HEAD
    + """
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: lora-affinity-scorer
- type: openai-parser
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
  - pluginRef: kv-cache-utilization-scorer
  - pluginRef: prefix-cache-scorer
  - pluginRef: lora-affinity-scorer
dataLayer: {injectDefaults: false}
requestHandler: {parsers: [{pluginRef: openai-parser}]}
"""
)
PASSTHROUGH = (
    HEAD
    + """
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: passthrough-parser
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
  - pluginRef: kv-cache-utilization-scorer
requestHandler: {parsers: [{pluginRef: passthrough-parser}]}
"""
)

Pod = tuple[Any, ...]
"""Requests waiting, KV cache in use, adapters that run."""


def host_port(i: int) -> str:
    return f"192.168.1.{i + 1}:8000"


def populate(store: Store, pods: Sequence[Pod], now: float, max_loras: int = 2) -> None:
    """The pods, with what they say of themselves."""
    store.seat([Seat(f"default/pod-{i}", host_port(i)) for i in range(len(pods))])
    for endpoint, pod in zip(store.roster.endpoints, pods, strict=True):
        waiting, kv, *loras = pod
        endpoint.vitals = Vitals(
            at=now, waiting=waiting, kv=kv, loras=frozenset(loras), max_loras=max_loras
        )
    store.refresh()


def declare(store: Store) -> None:
    """The hermetic tests' objectives and rewrite."""
    priorities = {"sql-lora": 2, "sql-lora-sheddable": 0, "my-model": 2, "direct-model": 2}
    priorities["sheddable"] = -1
    known = {
        name: Objective(name=name, namespace="default", priority=priority)
        for name, priority in priorities.items()
    }
    store.objective = known.get
    rule = RewriteRule(("model-to-be-rewritten",), (Target("rewritten-model"),))
    rewrites = Rewrites([Rewrite(name="rewrite", namespace="default", rules=(rule,))])
    store.rewrites = lambda: rewrites


class Bench:
    """Sessions without a server; the clock stands still unless it is set."""

    def __init__(
        self,
        pods: Sequence[Pod] = ((0, 0.0),),
        config: str | PickerConfig = HERMETIC,
        *,
        scores: bool = False,
        subsets: bool = True,
        seed: int = 7,
        **door: Any,
    ) -> None:
        self.time = 1000.0
        self.store = Store("vllm-qwen3-32b-pool")
        populate(self.store, pods, self.time)
        declare(self.store)
        self.registry = Metrics()
        self.metrics = EppMetrics(self.registry, self.store, self.now)
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.picker = Picker(
            read(config) if isinstance(config, str) else config,
            self.store,
            self.metrics,
            clock=self.now,
            dice=random.Random(seed).random,
            scores=scores,
            subsets=subsets,
        )
        self.door = Door(
            self.picker.director, self.metrics, clock=self.now, **{"log": self._log, **door}
        )

    def now(self) -> float:
        return self.time

    def _log(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.logged.append((event, fields))

    def session(self) -> Talk:
        return Talk(self.door.session())

    def ask(
        self, body: bytes = b'{"model":"m","prompt":"x"}', **headers: str
    ) -> tuple[Talk, list[Any]]:
        """One whole request; the session and its replies."""
        talk = self.session()
        pairs = {":method": "POST", ":path": "/v1/completions"}
        pairs |= {name.replace("_", "-"): value for name, value in headers.items()}
        return talk, talk.say(proto.request_headers(pairs), proto.request_body(body))

    def text(self) -> str:
        return self.registry.text().decode()


class Talk:
    """One session, its replies read by protobuf."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def say(self, *messages: bytes) -> list[Any]:
        found = []
        for message in messages:
            found += [b"".join(m) for m in self.session.receive(message)]
        return [_whole(m) for m in found]

    async def waited(self) -> list[Any]:
        """What is said when what was waited for has come."""
        assert self.session.pending is not None
        outcome = await self.session.pending
        return [_whole(b"".join(m)) for m in self.session.resume(outcome)]


def _whole(message: bytes) -> Any:
    assert message[0] == 0 and int.from_bytes(message[1:5], "big") == len(message) - 5
    return proto.reply(message[5:])


def destination(replies: Sequence[Any]) -> str:
    """Where the request goes; what the header says and what metadata say must be one."""
    found = next(r for r in replies if r.HasField("request_headers") or r.HasField("request_body"))
    common = found.request_headers if found.HasField("request_headers") else found.request_body
    headers = proto.set_headers(common.response.headers)
    where = headers["x-gateway-destination-endpoint"]
    told = proto.metadata(found)["envoy.lb"]["x-gateway-destination-endpoint"]
    assert told == where
    return where


def streamed(replies: Sequence[Any], phase: str = "request_body") -> bytes:
    """The body that the replies make, whose chunks are small and end once, at the end."""
    pieces = [
        getattr(r, phase).response.body.streamed
        for r in replies
        if r.HasField(phase) and getattr(r, phase).response.body.HasField("streamed")
    ]
    assert pieces and all(len(p.body) <= 62_000 for p in pieces)
    assert [p.end_of_stream for p in pieces] == [False] * (len(pieces) - 1) + [True]
    return b"".join(p.body for p in pieces)


Prepare = Callable[[Epp], None]


@contextlib.asynccontextmanager
async def serving(
    pods: Sequence[Pod], config: str = HERMETIC, *, prepare: Prepare | None = None, **more: Any
) -> AsyncIterator[Epp]:
    """A whole picker on free ports of this machine, with these pods."""
    options = {"grpc_port": 0, "health_port": 0, "metrics_port": 0, "drain_s": 0.2}
    given = {"config": read(config), "host": "127.0.0.1", "endpoints": ("127.0.0.1:1",)}
    epp = Epp(Options(**{**options, **given, **more}), lambda *a, **k: None)
    await epp.start()
    populate(epp.store, pods, epp.door.clock())
    declare(epp.store)
    if prepare is not None:
        prepare(epp)
    try:
        yield epp
    finally:
        await epp.stop()


@contextlib.asynccontextmanager
async def channel(epp: Epp, *, port: int | None = None) -> AsyncIterator[Any]:
    """gRPC's own client, over TLS where the picker serves TLS."""
    import asyncio

    import grpc.aio

    where = f"127.0.0.1:{port or epp.server.port}"
    if epp.options.secure and port is None:
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", epp.server.port))
        credentials = grpc.ssl_channel_credentials(root_certificates=pem.encode())
        options = [("grpc.ssl_target_name_override", "localhost")]
        made = grpc.aio.secure_channel(where, credentials, options=options)
    else:
        made = grpc.aio.insecure_channel(where)
    async with made as found:
        yield found


async def exchange(epp: Epp, messages: Sequence[bytes], *, replies: int) -> list[Any]:
    """Say ``messages`` on one stream, and hear so many replies, or all until it ends."""
    async with channel(epp) as found:
        call = found.stream_stream("/envoy.service.ext_proc.v3.ExternalProcessor/Process")()
        for message in messages:
            await call.write(message)
        heard = []
        for _ in itertools.repeat(None, replies):
            data = await call.read()
            if not isinstance(data, bytes):
                break
            heard.append(proto.reply(data))
        call.cancel()
    return heard
