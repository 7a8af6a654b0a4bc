"""Listens to what model servers tell of their KV caches, over ZeroMQ.

Servers publish as vLLM does (``--kv-events-config``): three frames, a topic, a number of eight
bytes, and a MessagePack body that :mod:`wayside.vocab.kv` reads. We dial each server, or listen
and let them dial us. Nothing is ever replayed: what is missed shows in the numbers, and whoever
hears forgets what it knew of that server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from wayside.fleet.tokenize import Tokenizers
from wayside.vocab.endpoint import Endpoint
from wayside.vocab.errors import ConfigError
from wayside.vocab.kv import Heard

if TYPE_CHECKING:
    import zmq

TICK_S: Final = 0.5
"""How soon servers that came are listened to."""
TURN_S: Final = 0.002
"""Time that messages, of all servers together, get before others have a turn."""
PART: Final = 8
"""Messages of one server before another's."""
UNREAD: Final = 10_000
"""Messages that wait for us, per server; further ones are lost."""
LARGEST: Final = 8 << 20
"""Bytes of a message, of which a million tokens take 5 MB; a publisher that sends more is left."""
MOST_SOCKETS: Final = 16384
"""Servers and ranks that are dialled; ZeroMQ has 1,023 if nobody asks for more."""
_HEARTBEAT_MS, _SILENCE_MS = 5_000, 15_000
_RECONNECT_MS, _RECONNECT_MOST_MS = 100, 5_000


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
Told = Callable[[str], None]
Take = Callable[[bytes, int, bytes], None]
"""A message: its topic, its number, its body."""


def hearers(parts: Iterable[Any]) -> list[Hearer]:
    """Those parts of a profile that go by KV cache events."""
    return [p for p in parts if "kv_events" in getattr(p, "reads", ()) and hasattr(p, "hear")]


class KvEvents:
    """Listens for as long as :meth:`run` does.

    ``told`` hears a word per message (ok, gap, restart, malformed, stranger); ``failed`` why a
    server cannot be listened to, once.
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
        self._dialled: dict[tuple[Hearer, Endpoint], list[_Socket]] = {}
        self._bound: dict[Hearer, _Bound] = {}
        self._refused: set[str] = set()
        self._turns = _Turns()

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
        sockets = self._dialled[hearer, endpoint] = list[_Socket]()
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
    ) -> _Socket | None:
        """A socket that is connected or bound; ``None`` where that cannot be, which is told."""
        socket = None
        try:
            socket = _Socket(self._zmq, topic, take, self._told, self._turns)
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
        self.socket: _Socket | None = None

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


class _Turns:
    """Sockets that may have messages: each has some read, in turn, for ``TURN_S`` of the event
    loop's time at once, however many they are."""

    def __init__(self) -> None:
        self._waiting: dict[_Socket, None] = {}
        self._planned = False

    def add(self, socket: _Socket) -> None:
        self._waiting[socket] = None
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._go)

    def drop(self, socket: _Socket) -> None:
        self._waiting.pop(socket, None)

    def _go(self) -> None:
        self._planned = False
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_S
        while self._waiting:
            if loop.time() > until:
                self._planned = True
                # Not at once: what came in meanwhile is looked at first.
                loop.call_later(TURN_S, self._go)
                return
            socket = next(iter(self._waiting))
            del self._waiting[socket]
            try:
                more = socket.read(PART, until)
            except Exception:
                self._waiting[socket] = None
                self._planned = True
                loop.call_later(TURN_S, self._go)
                raise
            if more:
                self._waiting[socket] = None


class _Socket:
    """A subscriber on the event loop. It connects again by itself, however often."""

    def __init__(self, zmq: Any, topic: str, take: Take, told: Told, turns: _Turns) -> None:
        """Raises ``ZMQError`` where there can be no more of them."""
        self._zmq, self._take, self._told, self._turns = zmq, take, told, turns
        self._socket: zmq.Socket[bytes] = _context(zmq).socket(zmq.SUB)
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, UNREAD),
            (zmq.MAXMSGSIZE, LARGEST),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MOST_MS),
            (zmq.IPV6, 1),
        ):
            self._socket.setsockopt(option, value)
        self._socket.subscribe(topic.encode())

    def open(self, how: Literal["connect", "bind"], where: str) -> None:
        """Raises ``ZMQError``; that nobody is there is none."""
        (self._socket.connect if how == "connect" else self._socket.bind)(where)
        self._descriptor = int(self._socket.getsockopt(self._zmq.FD))
        self._loop.add_reader(self._descriptor, self._turns.add, self)
        self._turns.add(self)  # ZeroMQ signals once for all that is there

    @property
    def where(self) -> str:
        """The address that it has."""
        return str(self._socket.getsockopt_string(self._zmq.LAST_ENDPOINT))

    def close(self) -> None:
        self._turns.drop(self)
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = -1
        self._socket.close()

    def read(self, most: int, until: float) -> bool:
        """Take in that many messages at most; whether there may be more. ZeroMQ signals what
        comes only after all was read."""
        for _ in range(most):
            if self._descriptor < 0:
                return False
            try:
                frames = self._socket.recv_multipart(self._zmq.NOBLOCK)
            except self._zmq.Again:
                return False
            if len(frames) == 3 and len(frames[1]) == 8:
                self._take(frames[0], int.from_bytes(frames[1], "big"), frames[2])
            else:
                self._told("malformed")
            if self._loop.time() > until:
                break
        return self._descriptor >= 0


@cache
def _context(zmq: Any) -> Any:
    """One thread serves every socket of this process."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, MOST_SOCKETS)
    return context


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
