"""Listens to what model servers tell of their KV caches, over ZeroMQ.

Servers publish as vLLM does (``--kv-events-config``): three frames, a topic, a number of eight
bytes, and a MessagePack body that :mod:`wayside.vocab.kv` reads. We dial each server, or listen
and let them dial us. Nothing is ever replayed: what is missed shows in the numbers, and whoever
hears forgets what it knew of that server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, Protocol

from wayside.fleet.kv_sockets import Socket, Take, Told, Turns
from wayside.fleet.tokenize import Tokenizers
from wayside.vocab.endpoint import Endpoint
from wayside.vocab.errors import ConfigError
from wayside.vocab.kv import Heard

TICK_S: Final = 0.5
"""How soon servers that came are listened to."""


class Where(Protocol):
    """Where events are; the settings of ``precise_prefix_cache``."""

    @property
    def port(self) -> int: ...
    @property
    def ranks(self) -> int: ...
    @property
    def bind(self) -> str | None: ...
    @property
    def topic(self) -> str: ...


class Hearer(Protocol):
    """Who wants to hear of them: a part of a profile."""

    tokenizer: Tokenizers | None

    @property
    def rule(self) -> Where: ...
    def hear(self, endpoint: Endpoint, source: bytes, number: int, body: bytes) -> Heard: ...
    def forget(self, endpoint: Endpoint) -> None: ...


Groups = Callable[[], Iterable[tuple[Hearer, Sequence[Endpoint]]]]
"""Who hears, and of which servers; asked again and again."""


def hearers(parts: Iterable[Any]) -> list[Hearer]:
    """Those parts of a profile that go by KV cache events."""
    return [p for p in parts if "kv_events" in getattr(p, "reads", ()) and hasattr(p, "hear")]


class KvEvents:
    """Listens for as long as :meth:`run` does.

    ``told`` hears a word per message (ok, orphan, gap, restart, malformed, stranger); ``failed``
    why a server cannot be listened to, once.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        tokenizers: Tokenizers | None = None,
        told: Told = lambda word: None,
        failed: Callable[[str, str], None] = lambda where, why: None,
    ) -> None:
        self._zmq: Any = None
        """Loaded when somebody wants to hear: importing it takes 30 ms."""
        self._groups, self._told, self._failed = groups, told, failed
        self._tokenizers = tokenizers
        self._dialled: dict[tuple[Hearer, Endpoint], list[Socket]] = {}
        self._bound: dict[Hearer, _Bound] = {}
        self._refused: set[str] = set()
        self._turns = Turns()

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                self.look()
                await asyncio.sleep(TICK_S)
        finally:
            self.close()

    def look(self) -> None:
        """Listen to servers that came, and no more to those that went. Raises
        :class:`ConfigError` where somebody wants to hear and pyzmq is not installed."""
        dialled: set[tuple[Hearer, Endpoint]] = set()
        bound = set()
        everybody: set[Endpoint] = set()
        for hearer, endpoints in self._groups():
            if self._zmq is None:
                self._zmq = required()
            hearer.tokenizer = self._tokenizers
            everybody.update(endpoints)
            if hearer.rule.bind is None:
                dialled |= {(hearer, e) for e in endpoints}
            else:
                bound.add(hearer)
                if hearer in self._bound or self._bind(hearer, hearer.rule.bind):
                    self._bound[hearer].follow(endpoints)
        for pair in dialled - self._dialled.keys():
            self._dial(*pair)
        for pair in self._dialled.keys() - dialled:
            for socket in self._dialled.pop(pair):
                socket.close()
            pair[0].forget(pair[1])  # a last message may have come after the pool said so
        for hearer in self._bound.keys() - bound:
            self._bound.pop(hearer).close()
        if self._tokenizers is not None:
            self._tokenizers.keep(everybody)

    def close(self) -> None:
        for sockets in self._dialled.values():
            for socket in sockets:
                socket.close()
        for each in self._bound.values():
            each.close()
        self._dialled, self._bound = {}, {}
        if self._tokenizers is not None:
            self._tokenizers.close()

    def _dial(self, hearer: Hearer, endpoint: Endpoint) -> None:
        rule = hearer.rule
        sockets = self._dialled[hearer, endpoint] = list[Socket]()
        for rank in range(rule.ranks):
            where = f"tcp://{_host(endpoint)}:{rule.port + rank}"
            source = str(rank).encode()

            def take(topic: bytes, number: int, body: bytes, source: bytes = source) -> None:
                self._told(hearer.hear(endpoint, source, number, body))

            socket = self._opened(where, "connect", rule.topic, take)
            if socket is not None:
                sockets.append(socket)

    def _bind(self, hearer: Hearer, where: str) -> bool:
        bound = _Bound(hearer, self._told)
        bound.socket = self._opened(where, "bind", hearer.rule.topic, bound.take)
        if bound.socket is None:
            return False
        self._bound[hearer] = bound
        return True

    def _opened(
        self, where: str, how: Literal["connect", "bind"], topic: str, take: Take
    ) -> Socket | None:
        """A socket that is connected or bound; ``None`` where that cannot be, which is told."""
        socket = None
        try:
            socket = Socket(self._zmq, topic, take, self._told, self._turns)
            socket.open(how, where)
        except self._zmq.ZMQError as error:
            if socket is not None:
                socket.close()
            if where not in self._refused:
                self._refused.add(where)
                self._failed(where, str(error))
            return None
        self._refused.discard(where)
        return socket


class _Bound:
    """A socket that servers connect to; their topics say who they are: ``kv@ADDRESS@MODEL``."""

    def __init__(self, hearer: Hearer, told: Told) -> None:
        self._hearer, self._told = hearer, told
        self._servers: dict[bytes, Endpoint] = {}
        self.socket: Socket | None = None

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """By address and port, and by address alone where that is enough to tell them apart."""
        named = {e.host_port.encode("utf-8", "surrogatepass"): e for e in endpoints}
        hosts: dict[bytes, Endpoint | None] = {}
        for e in endpoints:
            host = _host(e).encode("utf-8", "surrogatepass")
            hosts[host] = None if host in hosts else e
        before = set(self._servers.values())
        self._servers = {h: e for h, e in hosts.items() if e is not None} | named
        for gone in before - set(endpoints):
            self._hearer.forget(gone)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()

    def take(self, topic: bytes, number: int, body: bytes) -> None:
        server = self._servers.get(topic.split(b"@")[1] if topic.count(b"@") >= 2 else b"")
        if server is None:
            self._told("stranger")
        else:
            self._told(self._hearer.hear(server, topic, number, body))


def _host(endpoint: Endpoint) -> str:
    """Its address without the port; IPv6 in its brackets."""
    return endpoint.host_port.rpartition(":")[0] or endpoint.host_port


def required(where: str = "") -> Any:
    """The library. Raises :class:`ConfigError` where it is not installed."""
    try:
        import zmq
    except ImportError as error:
        raise ConfigError.one(
            "precise_prefix_cache listens to servers over ZeroMQ, and pyzmq is not installed",
            where=where,
            fix="pip install 'wayside[kv-events]', or use prefix_cache, which listens to nobody",
        ) from error
    return zmq
