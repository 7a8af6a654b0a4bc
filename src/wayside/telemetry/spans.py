"""What a request's trace says: its spans, with the names and attributes that others look for.

The span of the request and those of its attempts follow OpenTelemetry's conventions for
generative AI (``gen_ai.*``; ``{operation} {model}``); what was decided goes by the names that vLLM
Semantic Router gives it. Nothing here knows how spans are sent.

A span has the times that were measured. Signals, the decision, the choice of a model and the look
into the cache are measured together, as routing, so they are events of its span and not spans
with times that nobody took.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from wayside.telemetry.conversation import asked, said, system
from wayside.telemetry.redaction import redacted
from wayside.telemetry.tracing import Facts
from wayside.vocab.outcome import Tried

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]
MAX_EVENTS: Final = 128
CLIENT_GONE: Final = 499

_FINISH: Final = re.compile(rb'"(?:finish_reason|stop_reason)"\s*:\s*"([a-z_]{1,40})"')
_ID: Final = re.compile(rb'"id"\s*:\s*"((?:chatcmpl|cmpl|resp|msg)[\w-]{1,120})"')


class Event(NamedTuple):
    """Something that happened within a span; its time is the span's end."""

    name: str
    attributes: Attributes


class Span(NamedTuple):
    """One span; ``started`` and ``ended`` in nanoseconds since 1970, ``error`` empty if it went
    well. Without ``span_id`` one is to be drawn."""

    name: str
    kind: Literal["server", "client", "internal"]
    span_id: str
    parent_id: str
    remote_parent: bool
    started: int
    ended: int
    attributes: Attributes
    error: str = ""
    events: tuple[Event, ...] = ()


class Parameters(msgspec.Struct):
    """What a request's body says of how it wants to be answered, of any API. What is not as its
    API has it is not told."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    seed: Any = None
    n: Any = None
    stop: Any = None
    stop_sequences: Any = None
    conversation: Any = None
    encoding_format: Any = None


_parameters: Final = msgspec.json.Decoder(Parameters)


def spans_of(facts: Facts, providers: Mapping[str, str]) -> Iterator[Span]:
    """The spans of one request, its own first. ``providers`` says by model who serves it."""
    yield _request(facts, providers)
    routed = facts.routed or facts.ended
    if facts.record.recipe or facts.record.path not in ("upstream", "error"):
        yield _routing(facts, routed)
    tries = facts.tries
    for i, tried in enumerate(tries):
        ended = facts.trace.ends[i] if i < len(facts.trace.ends) else facts.ended
        yield _attempt(facts, tried, ended, providers)
    if not tries and facts.trace.sent and facts.record.model:
        # Envoy makes the attempts then; from the outside they are one.
        outcome = "ok" if 0 < facts.status < 400 and not facts.reason else facts.reason
        whole = Tried(
            endpoint=facts.endpoint,
            model=facts.record.model,
            outcome=outcome or f"status_{facts.status}",
            status=facts.status,
            seconds=facts.ended - routed,
            span=facts.trace.sent,
        )
        yield _attempt(facts, whole, facts.ended, providers)


def _at(facts: Facts, time: float) -> int:
    return int((facts.epoch + time) * 1e9)


def _request(facts: Facts, providers: Mapping[str, str]) -> Span:
    trace, record = facts.trace, facts.record
    asked_for = redacted(record.requested or record.model)
    found: Attributes = {
        "gen_ai.operation.name": trace.operation,
        "gen_ai.request.model": asked_for,
        "http.request.method": "POST",
        "url.path": redacted(trace.path.partition("?")[0])[:256],
        "request.id": redacted(facts.request_id),
        "wayside.shell": facts.shell,
        "wayside.path": record.path,
    }
    if facts.status:
        found["http.response.status_code"] = facts.status
    if record.model:
        found["gen_ai.response.model"] = record.model
        found["gen_ai.provider.name"] = providers.get(record.model, "vllm")
    if record.stream:
        found["gen_ai.request.stream"] = True
    if record.fallback_from:
        found["wayside.fallback.from"] = record.fallback_from
        found["wayside.fallback.reason"] = record.fallback_reason
    if facts.first and record.model:
        found["gen_ai.response.time_to_first_chunk"] = facts.first - facts.started
    found |= _usage(facts) | _told(facts.tail) | _wanted(facts.trace.body)
    if trace.keeps:
        found |= _content(facts)
    error = facts.reason or record.reason
    if not error and facts.status >= 400:
        error = str(facts.status)
    if error:
        found["error.type"] = redacted(error)
    # As HTTP's conventions have it, what a client did wrong is no error of its server.
    broke = facts.status >= 500 or bool(facts.reason and facts.status < 400)
    parent = trace.parent
    return Span(
        f"{trace.operation} {asked_for}".rstrip(),
        "server",
        trace.span_id,
        "" if parent is None else parent.span_id,
        parent is not None,
        _at(facts, facts.started),
        _at(facts, facts.ended),
        found,
        error if broke else "",
    )


def _usage(facts: Facts) -> Attributes:
    usage = facts.usage
    found: Attributes = {}
    if usage is not None:
        found["gen_ai.usage.input_tokens"] = usage.prompt
        found["gen_ai.usage.output_tokens"] = usage.completion
        for name, count in (
            ("cache_read.input_tokens", usage.cached),
            ("cache_creation.input_tokens", usage.written),
            ("reasoning.output_tokens", usage.reasoning),
        ):
            if count:
                found[f"gen_ai.usage.{name}"] = count
        if usage.estimated:
            found["wayside.usage.estimated"] = usage.estimated
    cost = facts.line.get("cost")
    if isinstance(cost, float):
        found["wayside.cost"] = cost
    return found


def _told(tail: bytes) -> Attributes:
    """What the last bytes of the answer say of it."""
    found: Attributes = {}
    finish = dict.fromkeys([reason.decode() for reason in _FINISH.findall(tail)])
    if finish:
        found["gen_ai.response.finish_reasons"] = tuple(finish)
    if (given := _ID.search(tail)) is not None:
        found["gen_ai.response.id"] = redacted(given[1].decode())
    return found


def _wanted(body: bytes) -> Attributes:
    """How the client wanted to be answered."""
    try:
        given = _parameters.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    found: Attributes = {}
    most = given.max_tokens or given.max_completion_tokens or given.max_output_tokens
    for name, value in (
        ("max_tokens", most),
        ("top_k", given.top_k),
        ("seed", given.seed),
        ("choice.count", given.n if given.n != 1 else None),
    ):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
            found[f"gen_ai.request.{name}"] = value
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        value = getattr(given, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[f"gen_ai.request.{name}"] = float(value)
    stop = given.stop if given.stop is not None else given.stop_sequences
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, list) and stops and all([isinstance(one, str) for one in stops]):
        found["gen_ai.request.stop_sequences"] = tuple([redacted(one[:64]) for one in stops[:16]])
    talk = given.conversation
    talk = talk.get("id") if isinstance(talk, dict) else talk
    if isinstance(talk, str):
        found["gen_ai.conversation.id"] = redacted(talk[:128])
    return found


def _content(facts: Facts) -> Attributes:
    """Prompt and answer, where they are asked for."""
    found: Attributes = {}
    for name, text in (
        ("gen_ai.system_instructions", system(facts.trace.body)),
        ("gen_ai.input.messages", asked(facts.trace.body)),
        ("gen_ai.output.messages", said(facts.answer)),
    ):
        if text:
            found[name] = redacted(text)
    return found


def _routing(facts: Facts, routed: float) -> Span:
    record = facts.record
    found: Attributes = {
        "routing.original_model": redacted(record.requested),
        "routing.selected_model": record.model,
        "routing.strategy": record.algorithm,
        "decision.name": record.decision,
        "decision.confidence": float(record.confidence),
        "wayside.recipe": record.recipe,
        "processing.time_ms": (routed - facts.started) * 1e3,
    }
    if record.why:
        found["routing.reason"] = redacted(record.why)
    if record.category:
        found["category.name"] = record.category
    if record.reasoning is not None:
        found["reasoning.enabled"] = record.reasoning
    if record.session:
        found["wayside.session"] = record.session
    return Span(
        "semantic_router.routing.decision",
        "internal",
        "",
        facts.trace.span_id,
        False,
        _at(facts, facts.started),
        _at(facts, routed),
        found,
        events=tuple(_took_part(facts))[:MAX_EVENTS],
    )


def _took_part(facts: Facts) -> Iterator[Event]:
    """What took part in the decision, in its order."""
    record = facts.record
    for ref, verdict in record.verdicts.items():
        told: Attributes = {
            "signal.type": ref.kind,
            "signal.name": ref.name,
            "signal.matched": verdict.matched,
        }
        if verdict.matched:
            told["signal.confidence"] = float(verdict.confidence)
        if verdict.unknown:
            told["signal.unknown"] = True
        yield Event(_SIGNALS.get(ref.kind, "semantic_router.signal.evaluation"), told)
    if record.decision:
        told = {"decision.name": record.decision, "decision.confidence": float(record.confidence)}
        yield Event("semantic_router.decision.evaluation", told)
    if record.cache or record.path == "cache":
        told = {"cache.hit": record.path == "cache"}
        if record.cache == "off":
            told["cache.write_skipped_reason"] = "off"
        yield Event("semantic_router.cache.lookup", told)
    for call in record.calls:
        told = {
            "gen_ai.request.model": call.model,
            "wayside.call.purpose": call.purpose,
            "wayside.call.seconds": call.seconds,
            "http.response.status_code": call.status,
            "gen_ai.usage.input_tokens": call.prompt_tokens,
            "gen_ai.usage.output_tokens": call.completion_tokens,
        }
        yield Event("wayside.call", told)
    if record.candidate or record.model:
        told = {"routing.selected_model": record.candidate or record.model}
        yield Event("semantic_router.backend.selection", told)


_SIGNALS: Final = {
    kind: f"semantic_router.signal.{kind}"
    for kind in ("keyword", "embedding", "domain", "fact_check", "language", "latency",
                 "preference", "reask", "user_feedback")
} | {
    "pii": "semantic_router.security.pii_detection",
    "jailbreak": "semantic_router.security.jailbreak_detection",
}  # fmt: skip


def _attempt(facts: Facts, tried: Tried, ended: float, providers: Mapping[str, str]) -> Span:
    found: Attributes = {
        "gen_ai.operation.name": facts.trace.operation,
        "gen_ai.request.model": tried.model,
        "gen_ai.provider.name": providers.get(tried.model, "vllm"),
        "wayside.attempt.kind": tried.kind,
        "wayside.attempt.outcome": tried.outcome,
    }
    if tried.endpoint:
        host, _, port = tried.endpoint.rpartition(":")
        named = bool(host) and port.isdigit()
        found["server.address"] = host.strip("[]") if named else tried.endpoint
        if named:
            found["server.port"] = int(port)
    if tried.status:
        found["http.response.status_code"] = tried.status
    failed = "" if tried.outcome in ("ok", "hedge_lost", "cancelled") else tried.outcome
    if failed:
        found["error.type"] = failed
    return Span(
        f"{facts.trace.operation} {tried.model}",
        "client",
        tried.span,
        facts.trace.span_id,
        False,
        _at(facts, ended - tried.seconds),
        _at(facts, ended),
        found,
        failed,
    )
