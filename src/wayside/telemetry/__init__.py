"""What happened to each request: one log line, and the metrics, from the same facts."""

from __future__ import annotations

import itertools
import os
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wayside.telemetry import calls, compatible, conversation
from wayside.telemetry.accounts import NO_ACCOUNT, Accounts, Price
from wayside.telemetry.attempts import Attempts, told
from wayside.telemetry.context import TRACEPARENT
from wayside.telemetry.log import Log
from wayside.telemetry.meter import Meter
from wayside.telemetry.metrics import MICRO, Metrics
from wayside.telemetry.tracing import MAX_BODY, KeepingMeter, Trace, Tracer
from wayside.vocab.access import Caller, Hold
from wayside.vocab.outcome import Record, Tried
from wayside.vocab.usage import Tokens, prompt_guess

__all__ = [
    "Exchange",
    "Log",
    "Meter",
    "Metrics",
    "Price",
    "Telemetry",
    "Tokens",
    "Watcher",
]

MAX_PROMPT = 4096
"""Characters of a prompt in the log, where prompts are logged."""
_NOTHING = Record(path="error")
_OURS = frozenset(
    {"shell", "status", "model", "path", "endpoint", "attempts", "fallback_from", "decision"}
    | {"algorithm", "signals", "session", "usage_estimated", "trace"}
)
"""Fields of a request's line that hold nothing but names of the configuration, and words and
numbers of our own: there is no secret to be looked for in them."""


class Exchange:
    """One request on its way. A shell reports to it; :meth:`ended` tells everybody else, once."""

    __slots__ = (
        "_done",
        "_telemetry",
        "account",
        "asked",
        "asked_at",
        "caller",
        "endpoint",
        "first",
        "hold",
        "meter",
        "record",
        "request_id",
        "routed_at",
        "shell",
        "started",
        "trace",
        "tries",
        "watched",
    )

    def __init__(self, telemetry: Telemetry, shell: str, request_id: str) -> None:
        self._telemetry = telemetry
        self._done = False
        self.shell, self.request_id = shell, request_id
        self.record = _NOTHING
        self.endpoint = ""
        self.tries: list[Tried] = []
        self.started = telemetry.now()
        self.routed_at = self.asked_at = self.first = 0.0
        self.watched = ""
        """The model that a watcher counts this request for."""
        self.caller: Caller | None = None
        self.hold: Hold | None = None
        """Who asks, and what is held of what they may take: whichever model answers in the end."""
        self.account = NO_ACCOUNT
        """What it took and cost, once it has ended."""
        self.meter: Meter | None = None
        """Of the answer that goes to the client, where the shell sees one."""
        self.trace: Trace | None = None
        self.asked = b""
        """The request's body, where its prompt is to be logged."""

    def routed(self, record: Record) -> None:
        """The core has decided; the time until here is what routing cost."""
        self.record = record
        # A shell that refuses what was routed says so with a record that knows of neither.
        self.caller, self.hold = record.caller or self.caller, record.hold or self.hold
        self.routed_at = self.asked_at = self._telemetry.now()
        for watcher in self._telemetry.watchers:
            watcher.began(self)

    def attempt(self, endpoint: str) -> None:
        """A connection to a replica is about to be used."""
        self.endpoint = endpoint

    def rerouted(self, record: Record) -> None:
        """Another model is asked in the place of the one that was chosen."""
        self.record = record
        self.asked_at = self._telemetry.now()
        for watcher in self._telemetry.watchers:
            watcher.began(self)

    def tried(self, attempt: Tried) -> None:
        """An attempt is over; the one that answered comes last."""
        self.tries.append(attempt)
        if self.trace is not None:
            self.trace.ends.append(self._telemetry.now())
        if attempt.outcome == "ok":
            self.endpoint = attempt.endpoint

    def measure(self, *, stream: bool, leads: bool = False, sent: int = 0) -> Meter:
        """An answer begins; what is returned is fed its body. ``sent`` is the size of the request
        that was answered, ``leads``: its API counts the input at the beginning."""
        asked = prompt_guess(self.record.tokens, sent)
        trace = self.trace
        make = Meter if trace is None or not trace.keeps else KeepingMeter
        self.meter = meter = make(stream=stream, leads=leads, asked=asked)
        return meter

    def outgoing(self) -> tuple[str, str]:
        """An attempt begins: the id of its span, and the ``traceparent`` that its server gets;
        both empty where the client's own goes on untouched."""
        return ("", "") if self.trace is None else self.trace.attempt()

    @property
    def inside(self) -> str:
        """``traceparent`` of what is asked on behalf of this request; empty without a trace."""
        return "" if self.trace is None else self.trace.inside

    def first_byte(self, status: int = 0) -> None:
        if not self.first:
            self.first = self._telemetry.now()

    def ended(self, *, status: int, reason: str = "") -> None:
        """The last byte is out, or nothing more will come: ``reason`` says why not.

        Later calls do nothing.
        """
        if not self._done:
            self._done = True
            try:
                self._telemetry.finish(self, status, reason)
            except Exception as error:  # noqa: BLE001 - who counts an answer must not cost others
                frame = traceback.extract_tb(error.__traceback__)[-1]
                said = {"error": type(error).__name__, "at": f"{frame.filename}:{frame.lineno}"}
                self._telemetry.log("not counted", level="error", **said)


class Watcher(Protocol):
    """Learns from requests as they begin and end; costs nothing where there is none."""

    def began(self, exchange: Exchange) -> None:
        """It is decided where the request goes. May be told again, when that changes."""
        ...

    def ended(
        self, exchange: Exchange, status: int, reason: str, usage: Tokens | None
    ) -> None: ...


Reads = Callable[[Exchange, str, dict[str, str], bytes], None]
"""Told of a request when all of it has come: its path, headers and body."""


class Telemetry:
    """Metrics, the request log and the traces of one process."""

    def __init__(self, log: Log | None = None, access: Log | None = None) -> None:
        self.log = log or Log()
        self.access = access
        self.metrics = m = Metrics()
        self.now = time.monotonic
        self.watchers: tuple[Watcher, ...] = ()
        self.always: tuple[Watcher, ...] = ()
        """Those of them that no reload takes away."""
        self._prefix = "req_" + os.urandom(6).hex()
        self._count = itertools.count(1)
        self.in_flight = 0
        self.tracer: Tracer | None = None
        """Set before anything listens, and not changed after."""
        self._trouble = ""
        self.prompts = False
        """Whether the log is to have what was asked."""
        self._requests = m.counter(
            "wayside_requests_total", "Requests.", "shell", "model", "decision", "status"
        )
        self._errors = m.counter(
            "wayside_request_errors_total", "Requests that did not succeed.", "model", "reason"
        )
        self.accounts = Accounts(m)
        self._signals = m.counter(
            "wayside_signal_matches_total", "Signals that matched.", "kind", "name"
        )
        self._unknown = m.counter(
            "wayside_signals_unknown_total", "Signals that nobody could read.", "kind", "name"
        )
        self._attempts = Attempts(m)
        self._cached = m.counter(
            "wayside_cache_hits_total", "Answers from the response cache.", "decision"
        )
        self._missed = m.counter(
            "wayside_cache_misses_total",
            "Requests the response cache had no answer for.",
            "decision",
        )
        self._replaced = m.counter(
            "wayside_fast_responses_total", "Answers given in a model's place.", "decision"
        )
        self._calls = m.counter(
            "wayside_calls_total", "Models asked from inside a request.", "model", "outcome"
        )
        self._total = m.histogram(
            "wayside_request_duration_seconds", "From the request's last byte to the end.", "model"
        )
        self._first = m.histogram(
            "wayside_time_to_first_byte_seconds",
            "From the request to the answer's first byte.",
            "model",
        )
        self._pace = m.histogram(
            "wayside_time_per_output_token_seconds",
            "Of streamed answers: from the first token to the last, over those after the first.",
            "model",
        )
        self._routing = m.histogram(
            "wayside_routing_seconds", "Reading, deciding, choosing.", "kind", bounds=MICRO
        )
        m.gauge(
            "wayside_requests_in_flight",
            "Requests under way.",
            read=lambda: [((), float(self.in_flight))],
        )
        compatible.copy(m)

    @property
    def prices(self) -> Mapping[str, Price]:
        """By model."""
        return self.accounts.prices

    @prices.setter
    def prices(self, prices: Mapping[str, Price]) -> None:
        self.accounts.prices = prices

    @property
    def reads(self) -> Reads | None:
        """Whom a shell has to tell of each request; ``None`` where nobody wants to know."""
        return self._read if self.tracer is not None or self.prompts else None

    def _read(self, exchange: Exchange, path: str, headers: dict[str, str], body: bytes) -> None:
        if self.prompts and len(body) <= MAX_BODY:
            exchange.asked = body
        if self.tracer is None:
            return
        exchange.trace = trace = self.tracer.begin(path, headers, body)
        if trace is not None:  # for whatever passes the client's headers on
            headers[TRACEPARENT] = trace.inside

    def begin(self, *, shell: str, request_id: str | None = None) -> Exchange:
        """A request has been read. Without an id of its own it gets one."""
        self.in_flight += 1
        return Exchange(self, shell, request_id or f"{self._prefix}{next(self._count):06x}")

    def finish(self, exchange: Exchange, status: int, reason: str) -> None:
        now = self.now()
        self.in_flight -= 1
        record, trace = exchange.record, exchange.trace
        model = record.model
        total = now - exchange.started
        routing = (exchange.routed_at or now) - exchange.started
        self._requests.add((exchange.shell, model, record.decision, str(status)))
        if status >= 400 or reason:
            self._errors.add((model, reason or record.reason or str(status)))
        if model:
            mark = "" if trace is None or not trace.sampled else trace.trace_id
            self._total.observe((model,), total, mark)
            if exchange.first:
                self._first.observe((model,), exchange.first - exchange.started, mark)
            way = "composed" if record.path == "looper" else "routed"
            self._routing.observe((way if record.recipe else "direct",), routing, mark)
        elif record.path == "fast_response":
            self._replaced.add((record.decision,))
        elif record.path == "cache":
            self._cached.add((record.decision,))
        if record.cache == "miss":
            self._missed.add((record.decision,))
        self._attempts.count(exchange.tries, record, reason)
        matched = []
        unknown = []
        for ref, verdict in record.verdicts.items():
            if verdict.matched:
                self._signals.add(ref)
                matched.append(f"{ref.kind}:{ref.name}")
            elif verdict.unknown:
                self._unknown.add(ref)
                unknown.append(f"{ref.kind}:{ref.name}: {verdict.because}")
        usage = self.accounts.usage(exchange.meter, record, status, reason)
        exchange.account = account = self.accounts.settle(record, usage, exchange.tries, status)
        if record.stream and exchange.first and usage is not None and usage.completion > 1:
            self._pace.observe((model,), (now - exchange.first) / (usage.completion - 1))
        for watcher in self.watchers:
            watcher.ended(exchange, status, reason, usage)
        if trace is not None and self.tracer is not None:
            self.tracer.ended(exchange, trace, status, reason, usage, now)
        if self.access is not None:
            line = self._line(exchange, status, reason, total, routing, matched, account.unserved)
            line |= account.line
            if unknown:
                line["unknown"] = unknown
            if record.calls:
                calls.tell(line, record.calls, self.accounts.priced)
            if trace is not None and trace.sampled:
                line["trace"] = trace.trace_id
            if exchange.asked:
                line["prompt"] = conversation.prompt(exchange.asked, MAX_PROMPT)
            self.access.write("request", "info", line, _OURS)

    def called(self, model: str, outcome: str, tokens: Tokens | None) -> None:
        """A model was asked from inside a request; counted at once, for its client may leave."""
        self._calls.add((model, outcome))
        if tokens is not None:
            self.accounts.served(model, tokens)

    def _line(
        self,
        exchange: Exchange,
        status: int,
        reason: str,
        total: float,
        routing: float,
        matched: list[str],
        unserved: tuple[int, ...],
    ) -> dict[str, Any]:
        record = exchange.record
        line: dict[str, Any] = {
            "id": exchange.request_id,
            "shell": exchange.shell,
            "status": status,
            "requested": record.requested,
            "model": record.model,
            "total_ms": round(total * 1e3, 3),
            "routing_ms": round(routing * 1e3, 3),
        }
        if exchange.first:
            line["first_byte_ms"] = round((exchange.first - exchange.started) * 1e3, 3)
        if record.path in ("fast_response", "cache"):
            line["path"] = record.path
        if exchange.endpoint:
            line["endpoint"] = exchange.endpoint
        if exchange.tries and (attempts := told(exchange.tries, unserved)) is not None:
            line["attempts"] = attempts
        if record.fallback_from:
            line["fallback_from"] = record.fallback_from
        if record.recipe:
            line["decision"] = record.decision
            line["algorithm"] = record.algorithm
            line["confidence"] = round(record.confidence, 4)
            line["signals"] = matched
            if record.why:
                line["why"] = record.why
            if record.session:
                line["session"] = record.session
        if record.stream:
            line["stream"] = True
        if reason or record.reason:
            line["reason"] = reason or record.reason
        return line

    def close(self) -> None:
        """Send the traces that wait. Takes its time: not for the event loop's thread."""
        if self.tracer is not None:
            self.tracer.spool.close()

    def flush(self) -> None:
        if self.tracer is not None and self.tracer.spool.trouble != self._trouble:
            self._trouble = why = self.tracer.spool.trouble
            if why:
                self.log("traces not sent", level="warning", why=why)
        self.log.flush()
        if self.access is not None and self.access is not self.log:
            self.access.flush()
