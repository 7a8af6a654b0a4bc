"""Tells over ZeroMQ what a KV cache holds, in vLLM's words.

A message has three frames: the topic `kv@<pod's address>@<model>`, a sequence number (8 bytes,
big-endian), and in MessagePack `[seconds, [events], data-parallel rank]`. Events are arrays:

    ["BlockStored", [hashes], parent hash, [token ids], block size, lora id, medium, lora name]
    ["BlockRemoved", [hashes], medium]
    ["AllBlocksCleared"]

Sources: vLLM, vllm/distributed/kv_events.py, 0.11; llm-d, pkg/kvevents. There is no replay: one
who comes late, or reads too slowly, misses messages and sees it in the numbers.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from .block_hash import BlockHasher, told_hash
from .kv import Text
from .settings import KvEvents
from .tokens import CHARACTERS_PER_TOKEN, token_ids

if TYPE_CHECKING:
    import zmq

MEDIUM = "GPU"
_SUBSCRIBES = b"\x01"
_SEQUENCE = struct.Struct(">Q")
_FIRST_ADAPTER = 1
"""vLLM numbers adapters from one."""


class Publisher:
    """The socket of one server. Numbers start again at 0 when it opens again, as after a crash.

    The first one to subscribe after that hears `AllBlocksCleared` first: what was told before a
    restart holds no longer, and nobody else would say so. Where blocks were told to nobody
    meanwhile, it is not said: they are there.
    """

    def __init__(self, settings: KvEvents, *, today: Callable[[], float]) -> None:
        """Raises RuntimeError when pyzmq is missing."""
        self.settings = settings
        self.endpoint = settings.endpoint
        self.subscribers = 0
        self.sent = 0
        self._today = today
        self._zmq = _load()
        self._socket: zmq.Socket[bytes] | None = None
        self._descriptor = -1
        self._topics: list[bytes] = []
        self._greeted = False

    def open(self, topics: list[str]) -> None:
        """Bind, or connect; `topics` are those that will be spoken of. Raises OSError."""
        zmq = self._zmq
        # The library's own context: its threads then serve every replica of this process.
        self._socket = zmq.Context.instance().socket(zmq.XPUB)  # PUB that hears of subscribers
        self._socket.linger = 0
        self._socket.sndhwm = self.settings.most_unsent
        self._topics = [topic.encode() for topic in topics]
        self.sent, self.subscribers, self._greeted = 0, 0, False
        try:
            if self.settings.bind:
                self._socket.bind(self.settings.endpoint)
                self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
            else:
                self._socket.connect(self.settings.endpoint)
        except zmq.ZMQError as error:
            self._socket.close()
            self._socket = None
            raise OSError(f"kv_events.endpoint {self.settings.endpoint}: {error}") from error
        self._descriptor = int(self._socket.getsockopt(zmq.FD))
        asyncio.get_running_loop().add_reader(self._descriptor, self._heed)

    def close(self) -> None:
        """Close at once; what has not left is lost."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._socket.close()
            self._socket = None
            self.subscribers = 0

    def send(self, topic: str, events: list[list[Any]]) -> None:
        """Send one message with these events; dropped when nobody listens."""
        self._heed()
        self._send(topic.encode(), events)
        self._heed()  # sending can swallow the signal of a subscriber who came meanwhile

    def _send(self, topic: bytes, events: list[list[Any]]) -> None:
        if self._socket is None:
            return
        body = msgspec.msgpack.encode([self._today(), events, self.settings.rank])
        self._socket.send_multipart((topic, _SEQUENCE.pack(self.sent), body))
        self.sent += 1

    def _heed(self) -> None:
        """Read who subscribed. ZeroMQ signals its descriptor once for all that is to be read."""
        while self._socket is not None and self._socket.poll(0):
            if self._socket.recv()[:1] != _SUBSCRIBES:
                self.subscribers = max(self.subscribers - 1, 0)
                continue
            self.subscribers += 1
            if not self._greeted:
                self._greeted = True
                if self.sent:
                    continue  # nothing was cleared: there are blocks that nobody heard of
                for topic in self._topics:
                    self._send(topic, [["AllBlocksCleared"]])


class Feed:
    """Turns the changes of one engine's cache into messages. A `wayside.sim.kv.Watcher`."""

    def __init__(self, publisher: Publisher, topic: Callable[[], str], block_size: int) -> None:
        self._publisher = publisher
        self._topic = topic
        self._block_size = block_size
        self._hasher = BlockHasher(publisher.settings.hash_seed)
        self._names: dict[int, bytes] = {}  # of every block in the cache, so no more than it has
        self._adapters: dict[str, int] = {}
        self._events: list[list[Any]] = []

    def stored(self, parent: int | None, keys: tuple[int, ...], text: Text, first: int) -> None:
        adapter, salt = text.owner
        before = None if parent is None else self._names[parent]
        step = self._block_size * CHARACTERS_PER_TOKEN
        told: list[int] = []
        tokens: list[int] = []
        name = before
        for number, key in enumerate(keys, first):
            ids = token_ids(text.text[number * step : (number + 1) * step])
            # vLLM marks every block with its adapter, and only the first with the salt.
            extra = [*([adapter] if adapter else []), *([salt] if salt and not number else [])]
            name = self._names[key] = self._hasher.name(name, ids, extra)
            told.append(told_hash(name))
            tokens += ids
        self._events.append(
            [
                "BlockStored",
                told,
                None if before is None else told_hash(before),
                tokens,
                self._block_size,
                self._number(adapter),
                MEDIUM,
                adapter,
            ]
        )

    def _number(self, adapter: str | None) -> int | None:
        if adapter is None:
            return None
        return self._adapters.setdefault(adapter, _FIRST_ADAPTER + len(self._adapters))

    def removed(self, keys: list[int]) -> None:
        told = [told_hash(self._names.pop(key)) for key in keys]
        self._events.append(["BlockRemoved", told, MEDIUM])

    def cleared(self) -> None:
        self._names.clear()
        self._events.append(["AllBlocksCleared"])

    def done(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._publisher.send(self._topic(), events)


def _load() -> Any:
    try:
        import zmq
    except ImportError as error:
        raise RuntimeError(
            "kv_events needs pyzmq, which is not installed; pip install 'wayside[kv-events]'"
        ) from error
    return zmq
