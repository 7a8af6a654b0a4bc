"""Which requests are traced, and their facts on the way to whoever makes spans of them.

While a request is served there is next to nothing: two random numbers when it is read, a header
for each attempt. When it has ended its facts, which are there anyway, go into a bounded queue; a
thread takes them out in batches and sends them. A collector that hangs or refuses costs those
batches and a count, and nothing else.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from wayside.telemetry.context import (
    MAX_STATE,
    TRACEPARENT,
    TRACESTATE,
    Parent,
    parent_of,
    written,
)
from wayside.telemetry.meter import Meter, unframed
from wayside.telemetry.metrics import Metrics
from wayside.vocab.outcome import Record, Tried
from wayside.vocab.usage import Tokens

if TYPE_CHECKING:
    from wayside.telemetry import Exchange

MAX_BODY: Final = 64 << 10
"""Bytes of a request that are looked at for what its trace says of it; larger ones are not."""
MAX_ANSWER: Final = 64 << 10
"""Bytes kept of an answer, where answers are part of traces."""
BATCH: Final = 256
"""Requests that are sent at once; so many wake the thread."""
EVERY_S: Final = 1.0
"""How long the facts of a request wait at most."""
PATIENCE_S: Final = 3.0
"""How long the end of the process waits for the last batch."""

OPERATIONS: Final[Mapping[str, str]] = {
    "/chat/completions": "chat",
    "/messages": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
"""What a path does, in the words of OpenTelemetry's conventions for generative AI. Requests for
other paths are no work of a model, and not traced."""


def operation_of(path: str) -> str:
    """``chat`` for ``/v1/chat/completions?x=y``; ``""`` where no model works."""
    path = path.partition("?")[0].rstrip("/")
    for end, operation in OPERATIONS.items():
        if path.endswith(end):
            return operation
    return ""


class Trace:
    """One request's place in a trace. ``ends`` are the times at which its attempts ended."""

    __slots__ = (
        "_dice",
        "body",
        "ends",
        "keeps",
        "operation",
        "parent",
        "path",
        "sampled",
        "sent",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(
        self, dice: random.Random, parent: Parent | None, state: str, operation: str, path: str
    ) -> None:
        self._dice = dice
        self.parent, self.state = parent, state
        self.operation, self.path = operation, path
        self.trace_id = parent.trace_id if parent else f"{dice.getrandbits(128) or 1:032x}"
        self.span_id = f"{dice.getrandbits(64) or 1:016x}"
        self.sampled = False
        self.body = b""
        self.keeps = False
        """Whether what was answered is to be part of it."""
        self.sent = ""
        """The span of the attempt that began last."""
        self.ends: list[float] = []

    def attempt(self) -> tuple[str, str]:
        """The id of the span of an attempt that begins, and ``traceparent`` for its server. A
        request that is not traced goes on as what it came as."""
        if not self.sampled:
            span = self.parent.span_id if self.parent is not None else self.span_id
            return "", written(self.trace_id, span, False)
        self.sent = span = f"{self._dice.getrandbits(64) or 1:016x}"
        return span, written(self.trace_id, span, True)

    @property
    def inside(self) -> str:
        """``traceparent`` for what is asked before it is decided where the request goes."""
        return written(self.trace_id, self.span_id, self.sampled)


class KeepingMeter(Meter):
    """Also keeps what was answered, for a trace that is to have it."""

    __slots__ = ("kept",)

    def __init__(self, *, stream: bool, leads: bool = False, asked: int = 0) -> None:
        super().__init__(stream=stream, leads=leads, asked=asked)
        self.kept = b""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if len(self.kept) < MAX_ANSWER:
            self.kept += data[: MAX_ANSWER - len(self.kept)]


class Facts(NamedTuple):
    """What there is to tell of one request that has ended. Times are those of one clock, of which
    ``epoch`` is the zero, in seconds since 1970."""

    trace: Trace
    shell: str
    request_id: str
    record: Record
    status: int
    reason: str
    usage: Tokens | None
    tries: tuple[Tried, ...]
    endpoint: str
    started: float
    routed: float
    first: float
    ended: float
    epoch: float
    tail: bytes
    """The last bytes of the answer."""
    line: Mapping[str, object]
    """What the log says of tokens and money."""
    answer: bytes
    """What was answered, where it is to be part of the trace."""


Send = Callable[[Sequence[Facts]], None]
"""Sends a batch; raises :class:`Unsent` where it did not arrive."""


class Unsent(Exception):
    """A batch that did not arrive, and why, without secrets."""


class Spool:
    """The bounded queue, and the thread that empties it. :meth:`put` never waits."""

    def __init__(self, send: Send, metrics: Metrics, *, max_items: int, max_bytes: int) -> None:
        self._send = send
        self._max_items, self._max_bytes = max_items, max_bytes
        self._waiting: deque[Facts] = deque()
        self._bytes = 0
        self._taken = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.trouble = ""
        """Why the last batch did not arrive."""
        self.busy = False
        """Whether a batch is under way."""
        self._count = metrics.counter(
            "wayside_traces_total",
            "Traced requests: sent to the collector, dropped as too many waited, or failed.",
            "outcome",
        )
        metrics.gauge(
            "wayside_traces_waiting",
            "Traced requests that are not sent yet.",
            read=lambda: [((), float(len(self._waiting)))],
        )

    def put(self, facts: Facts) -> None:
        waiting = self._waiting
        if len(waiting) >= self._max_items:
            self._count.add(("dropped",))
            return
        size = len(facts.trace.body)
        if size and self._bytes - self._taken + size > self._max_bytes:
            facts.trace.body, size = b"", 0
        self._bytes += size
        waiting.append(facts)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        elif len(waiting) == BATCH:
            self._wake.set()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Send what waits, for as long as that; then it is lost."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            while self._waiting:
                self.busy = True
                self._send_some()
            self.busy = False
            if self._closing:
                return

    def _send_some(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._taken += sum([len(facts.trace.body) for facts in batch])
        try:
            self._send(batch)
        except Unsent as error:
            self.trouble = str(error)
            self._count.add(("failed",), len(batch))
        except Exception as error:  # noqa: BLE001 - the thread has to live
            self.trouble = type(error).__name__
            self._count.add(("failed",), len(batch))
        else:
            self.trouble = ""
            self._count.add(("sent",), len(batch))


class Tracer:
    """Decides which requests are traced, and hands them on when they have ended."""

    def __init__(
        self,
        spool: Spool,
        *,
        ratio: float = 1.0,
        parent_based: bool = True,
        content: bool = False,
        dice: random.Random | None = None,
        epoch: Callable[[], float] = lambda: time.time() - time.monotonic(),
    ) -> None:
        self.spool = spool
        self._parent_based, self._content = parent_based, content
        self._below = round(ratio * (1 << 64))
        self._dice = dice or random.Random()
        self._epoch = epoch

    def begin(self, path: str, headers: Mapping[str, str], body: bytes) -> Trace | None:
        """The request's place in a trace; ``None`` for one that no model works on."""
        operation = operation_of(path)
        if not operation:
            return None
        given = headers.get(TRACEPARENT)
        parent = None if given is None else parent_of(given)
        state = headers.get(TRACESTATE, "")[:MAX_STATE] if parent is not None else ""
        trace = Trace(self._dice, parent, state, operation, path)
        if parent is not None and self._parent_based:
            trace.sampled = parent.sampled
        else:  # the lower 64 bits, as OpenTelemetry's sampler by ratio has it
            trace.sampled = int(trace.trace_id[16:], 16) < self._below
        if trace.sampled:
            trace.keeps = self._content
            if len(body) <= MAX_BODY:
                trace.body = body
        return trace

    def now(self) -> float:
        """The zero of the monotonic clock, in seconds since 1970."""
        return self._epoch()

    def ended(
        self,
        exchange: Exchange,
        trace: Trace,
        status: int,
        reason: str,
        usage: Tokens | None,
        ended: float,
    ) -> None:
        """The request is over, and its answer with the client."""
        if not trace.sampled:
            return
        meter = exchange.meter
        self.spool.put(
            Facts(
                trace,
                exchange.shell,
                exchange.request_id,
                exchange.record,
                status,
                reason,
                usage,
                tuple(exchange.tries),
                exchange.endpoint,
                exchange.started,
                exchange.routed_at,
                exchange.first,
                ended,
                self._epoch(),
                b"" if meter is None else meter.tail,
                exchange.account.line,
                unframed(meter.kept) if isinstance(meter, KeepingMeter) else b"",
            )
        )
