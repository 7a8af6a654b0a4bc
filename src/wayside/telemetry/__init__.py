"""What happened to each request: one log line, and the metrics, from the same facts."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec

from wayside.telemetry import calls
from wayside.telemetry.attempts import Attempts, told
from wayside.telemetry.log import Log
from wayside.telemetry.metrics import MICRO, Metrics
from wayside.vocab.calls import Tokens
from wayside.vocab.outcome import Record, Tried

__all__ = ["Exchange", "Log", "Metrics", "Price", "Telemetry", "Usage", "Watcher", "usage_of"]

_NOTHING = Record(path="error")


class Price(msgspec.Struct, frozen=True):
    """Per million tokens, in ``currency``: input, output, cached input, input put in the cache."""

    currency: str
    prompt: float
    completion: float
    cached: float
    written: float


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
"""A model server may write any number; one that is no count must not reach the metrics."""


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None


class Usage(msgspec.Struct, gc=False):
    """Tokens as the model's server counted them; ``prompt_tokens`` includes cached ones.

    The Messages API has other names, and leaves what was cached out of its ``input_tokens``.
    """

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    cache_creation_input_tokens: _Count | None = None
    """Anthropic's count of input written to its cache, part of ``prompt_tokens``."""
    input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    output_tokens: _Count | None = None

    @property
    def cached(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


_usage = msgspec.json.Decoder(Usage)


def usage_of(tail: bytes) -> Usage | None:
    """The last ``"usage": {...}`` in the final bytes of a response, without parsing the rest.

    Text in an answer cannot pass for it: quotes inside a JSON string are escaped. A stream of the
    Messages API counts its input in its first event, and repeats it in its last only if it likes:
    ``tail`` begins with that event there.
    """
    found = _last_usage(tail)
    if found is None or found.output_tokens is None:
        return found
    at = tail.find(b'"usage":')
    start = tail.find(b"{", at)
    return _of_messages(found, (_usage_at(tail, start) if start >= 0 else None) or found)


def _of_messages(last: Usage, first: Usage) -> Usage:
    """In OpenAI's counts: what the end does not say again stands as the beginning said it."""

    def count(name: str) -> int:
        said = getattr(last, name)
        return (getattr(first, name) if said is None else said) or 0

    cached, written = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    return Usage(
        prompt_tokens=count("input_tokens") + cached + written,
        completion_tokens=last.output_tokens,
        prompt_tokens_details=_Details(cached_tokens=cached),
        cache_creation_input_tokens=written,
    )


def _last_usage(tail: bytes) -> Usage | None:
    at = tail.rfind(b'"usage":')
    while at >= 0:
        start = tail.find(b"{", at + 8)
        if start >= 0 and not tail[at + 8 : start].strip():
            return _usage_at(tail, start)
        at = tail.rfind(b'"usage":', 0, at)  # this one was null, as in a chunk of a stream
    return None


def _usage_at(tail: bytes, start: int) -> Usage | None:
    end = start
    for _ in range(6):  # nested *_details objects close before the usage object does
        end = tail.find(b"}", end) + 1
        if not end:
            return None
        try:
            return _usage.decode(tail[start:end])
        except (msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            return None
        except msgspec.DecodeError:
            continue
    return None


class Exchange:
    """One request on its way. A shell reports to it; :meth:`ended` tells everybody else, once."""

    __slots__ = (
        "_done",
        "_telemetry",
        "asked_at",
        "endpoint",
        "first",
        "record",
        "request_id",
        "routed_at",
        "shell",
        "started",
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

    def routed(self, record: Record) -> None:
        """The core has decided; the time until here is what routing cost."""
        self.record = record
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
        if attempt.outcome == "ok":
            self.endpoint = attempt.endpoint

    def first_byte(self, status: int = 0) -> None:
        if not self.first:
            self.first = self._telemetry.now()

    def ended(self, *, status: int, reason: str = "", tail: bytes = b"") -> None:
        """The last byte is out, or nothing more will come: ``reason`` says why not.

        ``tail`` are the response's last bytes, read for ``usage``. Later calls do nothing.
        """
        if not self._done:
            self._done = True
            self._telemetry.finish(self, status, reason, tail)


class Watcher(Protocol):
    """Learns from requests as they begin and end; costs nothing where there is none."""

    def began(self, exchange: Exchange) -> None:
        """It is decided where the request goes. May be told again, when that changes."""
        ...

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Usage | None) -> None: ...


class Telemetry:
    """Metrics and the request log of one process."""

    def __init__(self, log: Log | None = None, access: Log | None = None) -> None:
        self.log = log or Log()
        self.access = access
        self.metrics = m = Metrics()
        self.now = time.monotonic
        self.prices: Mapping[str, Price] = {}
        self.watchers: tuple[Watcher, ...] = ()
        self._prefix = "req_" + os.urandom(6).hex()
        self._count = itertools.count(1)
        self.in_flight = 0
        self._requests = m.counter(
            "wayside_requests_total", "Requests.", "shell", "model", "decision", "status"
        )
        self._errors = m.counter(
            "wayside_request_errors_total", "Requests that did not succeed.", "model", "reason"
        )
        self._tokens = m.counter(
            "wayside_tokens_total", "Tokens, as model servers count them.", "model", "type"
        )
        self._cost = m.counter("wayside_cost_total", "Cost of tokens.", "model", "currency")
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
        self._routing = m.histogram(
            "wayside_routing_seconds", "Reading, deciding, choosing.", "kind", bounds=MICRO
        )
        m.gauge(
            "wayside_requests_in_flight",
            "Requests under way.",
            read=lambda: [((), float(self.in_flight))],
        )
        m.copy("wayside_requests_total", "llm_model_requests_total", {"model": "model"})
        m.copy(
            "wayside_request_errors_total",
            "llm_request_errors_total",
            {"model": "model", "reason": "reason"},
        )
        m.copy("wayside_requests_total", "llm_decision_match_total", {"decision": "decision_name"})
        m.copy(
            "wayside_cache_hits_total",
            "llm_cache_plugin_hits_total",
            {"decision": "decision_name"},
        )
        m.copy(
            "wayside_signal_matches_total",
            "llm_signal_match_total",
            {"kind": "signal_type", "name": "signal_name"},
        )
        m.copy("wayside_tokens_total", "llm_model_tokens_total", {"model": "model"})
        m.copy(
            "wayside_cost_total",
            "llm_model_cost_total",
            {"model": "model", "currency": "currency"},
        )
        m.copy("wayside_time_to_first_byte_seconds", "llm_model_ttft_seconds", {"model": "model"})
        m.copy(
            "wayside_request_duration_seconds",
            "llm_model_completion_latency_seconds",
            {"model": "model"},
        )

    def begin(self, *, shell: str, request_id: str | None = None) -> Exchange:
        """A request has been read. Without an id of its own it gets one."""
        self.in_flight += 1
        return Exchange(self, shell, request_id or f"{self._prefix}{next(self._count):06x}")

    def finish(self, exchange: Exchange, status: int, reason: str, tail: bytes) -> None:
        now = self.now()
        self.in_flight -= 1
        record = exchange.record
        model = record.model
        total = now - exchange.started
        routing = (exchange.routed_at or now) - exchange.started
        self._requests.add((exchange.shell, model, record.decision, str(status)))
        if status >= 400 or reason:
            self._errors.add((model, reason or record.reason or str(status)))
        if model:
            self._total.observe((model,), total)
            if exchange.first:
                self._first.observe((model,), exchange.first - exchange.started)
            way = "composed" if record.path == "looper" else "routed"
            self._routing.observe((way if record.recipe else "direct",), routing)
        elif record.path == "fast_response":
            self._replaced.add((record.decision,))
        elif record.path == "cache":
            self._cached.add((record.decision,))
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
        usage = usage_of(tail) if tail else None
        for watcher in self.watchers:
            watcher.ended(exchange, status, reason, usage)
        cost = self._account(model, usage) if usage is not None else None
        if self.access is not None:
            line = self._line(exchange, status, reason, total, routing, matched, usage, cost)
            if unknown:
                line["unknown"] = unknown
            if record.calls:
                calls.tell(line, record.calls, self._priced)
            self.access.write("request", "info", line)

    def called(self, model: str, outcome: str, tokens: Tokens | None) -> None:
        """A model was asked from inside a request; counted at once, for its client may leave."""
        self._calls.add((model, outcome))
        if tokens is not None:
            self._tokens.add((model, "prompt"), tokens.prompt)
            self._tokens.add((model, "completion"), tokens.completion)
            cost = self._priced(model, tokens)
            if cost is not None:
                self._cost.add((model, self.prices[model].currency), cost)

    def _priced(self, model: str, tokens: Tokens) -> float | None:
        price = self.prices.get(model)
        if price is None:
            return None
        return tokens.cost(price.prompt, price.completion, price.cached, price.written)

    def _account(self, model: str, usage: Usage) -> float | None:
        prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
        self._tokens.add((model, "prompt"), prompt)
        self._tokens.add((model, "completion"), completion)
        price = self.prices.get(model)
        if price is None:
            return None
        cached = min(usage.cached, prompt)
        written = min(usage.cache_creation_input_tokens or 0, prompt - cached)
        cost = (
            (prompt - cached - written) * price.prompt
            + cached * price.cached
            + written * price.written
            + completion * price.completion
        ) / 1e6
        self._cost.add((model, price.currency), cost)
        return cost

    def _line(
        self,
        exchange: Exchange,
        status: int,
        reason: str,
        total: float,
        routing: float,
        matched: list[str],
        usage: Usage | None,
        cost: float | None,
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
        if exchange.tries and (attempts := told(exchange.tries)) is not None:
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
        if usage is not None:
            line["prompt_tokens"] = usage.prompt_tokens
            line["completion_tokens"] = usage.completion_tokens
        if cost is not None:
            line["cost"] = round(cost, 9)
        if reason or record.reason:
            line["reason"] = reason or record.reason
        return line

    def flush(self) -> None:
        self.log.flush()
        if self.access is not None and self.access is not self.log:
            self.access.flush()
