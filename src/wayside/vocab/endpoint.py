"""One server that may take a request, and what a request needs of it.

What strategies (:mod:`wayside.endpoints`) choose among and by; the shells keep it up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from wayside.vocab.halves import mended

NO_LABELS: Mapping[str, str] = MappingProxyType({})
NEVER = float("-inf")

Fact = Literal["vitals", "capacity", "gpu", "kv_events"]
"""What has to be fetched from servers so that a strategy has something to go by: their own
metrics, those of them that hardly ever change (now and then is enough), an exporter's utilisation
of their GPUs, their KV cache events."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a server said of itself at ``at`` (seconds of the shell's clock).

    ``waiting`` and ``running`` are requests, ``kv`` the share of its KV cache in use (0..1),
    ``blocks`` that cache's size in blocks of ``block_size`` tokens. ``gpu`` is the utilisation of
    its GPUs, 0..1, their mean. Zeros, and ``None``, are what nothing is known of.
    """

    at: float = NEVER
    waiting: float = 0.0
    running: float = 0.0
    kv: float = 0.0
    blocks: int = 0
    block_size: int = 0
    loras: frozenset[str] = frozenset()
    """Adapters it runs at the moment."""
    loras_waiting: frozenset[str] = frozenset()
    max_loras: int = 0
    gpu: float | None = None
    gpu_memory: float | None = None
    """Share of its GPUs' memory in use, 0..1."""
    gpu_at: float = NEVER
    """When an exporter said so of the GPUs, where that was not at ``at``."""


UNKNOWN = Vitals()


class Endpoint:
    """One server, by identity: two objects are two servers. The shell that owns it keeps
    ``in_flight`` (requests that it has sent there and that are not over) and ``vitals`` current.
    """

    __slots__ = ("__weakref__", "host_port", "in_flight", "labels", "name", "vitals", "weight")

    def __init__(
        self,
        name: str,
        host_port: str,
        *,
        weight: float = 1.0,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> None:
        self.name, self.host_port = name, host_port
        self.weight, self.labels = weight, labels
        self.in_flight = 0
        self.vitals = UNKNOWN

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, in_flight={self.in_flight})"


class Roster:
    """The servers of one choice. Never changed: when a server comes or goes, or their vitals have
    been read anew, there is a new roster, so ``memo`` may keep what depends on nothing else."""

    __slots__ = ("_positions", "endpoints", "memo")

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.endpoints = endpoints
        self.memo: dict[object, Any] = {}
        self._positions: dict[Endpoint, int] | None = None

    def __len__(self) -> int:
        return len(self.endpoints)

    @property
    def positions(self) -> dict[Endpoint, int]:
        """Where each server stands in ``endpoints``."""
        found = self._positions
        if found is None:
            found = self._positions = {e: i for i, e in enumerate(self.endpoints)}
        return found


class _Shape(msgspec.Struct):
    """What of a request's body its prompt is in, in the order in which models read it."""

    model: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    cache_salt: msgspec.Raw = msgspec.Raw()
    max_tokens: Any = None
    max_completion_tokens: Any = None
    stream: Any = None


_decode = msgspec.json.Decoder(_Shape).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading a client's JSON may raise: it may hold half of a character, or 10^5 brackets."""
BYTES_PER_TOKEN = 4


def _read(body: bytes) -> _Shape:
    """Empty for what is no JSON, or no object: it has no prompt."""
    try:
        return _decode(body)
    except UNREADABLE:
        whole = mended(body)
    try:
        return _Shape() if whole is body else _decode(whole)
    except UNREADABLE:
        return _Shape()


def _no_dice() -> float:
    return 0.0


class Need:
    """What one request needs of a server. Its prompt is read only when a strategy asks for it.

    ``headers`` have lower-case names. ``now`` is in seconds of the shell's clock, ``dice`` is
    uniform in [0, 1). ``memo`` holds what strategies of one choice share.
    """

    __slots__ = (
        "_shape",
        "_tokens",
        "body",
        "dice",
        "headers",
        "memo",
        "now",
        "priority",
        "took",
        "usual",
    )

    def __init__(
        self,
        model: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = NO_LABELS,
        now: float = 0.0,
        dice: Callable[[], float] = _no_dice,
        priority: int = 0,
    ) -> None:
        self.usual, self.body, self.headers = model, body, headers
        self.now, self.dice, self.priority = now, dice, priority
        self.memo: dict[object, Any] = {}
        self._shape: _Shape | None = None
        self._tokens = 0
        self.took = 0.0
        """Seconds that the last choice took."""

    @property
    def shape(self) -> _Shape:
        shape = self._shape
        if shape is None:
            shape = self._shape = _read(self.body)
        return shape

    @property
    def model(self) -> str:
        """What servers call the model, or the adapter, that is to answer: as the body says, else
        ``usual``."""
        said = self.shape.model
        return said if isinstance(said, str) else self.usual

    @property
    def text(self) -> bytes:
        """The prompt as JSON, beginning with what models read first, so that two requests whose
        prompts begin alike have texts that begin alike. Empty where there is none."""
        found = self.memo.get("text")
        if found is None:
            found = self.memo["text"] = b"".join(self._parts())
        return found

    def _parts(self) -> list[memoryview]:
        s = self.shape
        parts = (s.tools, s.system, s.instructions, s.messages or s.prompt or s.input)
        return [memoryview(part) for part in parts]

    @property
    def salt(self) -> bytes:
        """``cache_salt``: prompts with different ones share no cache."""
        return bytes(self.shape.cache_salt)

    @property
    def tokens(self) -> int:
        """About how many tokens the prompt has."""
        found = self._tokens
        if not found:
            text: bytes | None = self.memo.get("text")
            size = sum([part.nbytes for part in self._parts()]) if text is None else len(text)
            found = self._tokens = size // BYTES_PER_TOKEN + 1
        return found

    @property
    def wanted_tokens(self) -> int | None:
        """The most tokens of an answer, where the request says so."""
        for said in (self.shape.max_completion_tokens, self.shape.max_tokens):
            if isinstance(said, int) and said > 0:
                return said
        return None

    def let_go(self) -> None:
        """Nobody is chosen for it any more: the prompt is not needed, and may be large. What was
        read of the rest stays: ``tokens``, ``model``, whether it is streamed."""
        shape = self._shape
        if shape is not None:
            _ = self.tokens
            self._shape = _Shape(
                model=shape.model,
                max_tokens=shape.max_tokens,
                max_completion_tokens=shape.max_completion_tokens,
                stream=shape.stream,
            )
        self.body = b""
        for large in ("text", "spoken"):
            self.memo.pop(large, None)
