"""The trace of a request whose server a picker chose."""

from __future__ import annotations

from wayside.epp.requests import Sent
from wayside.telemetry.tracing import Facts, Trace, Tracer
from wayside.vocab.outcome import Record
from wayside.vocab.usage import Tokens

PICKED = "picked"
"""The algorithm, as a trace tells it."""


def facts(
    tracer: Tracer,
    trace: Trace,
    sent: Sent | None,
    *,
    request_id: str,
    started: float,
    routed: float,
    first: float,
    ended: float,
    usage: Tokens | None,
    tail: bytes,
    refused: str = "",
    status: int = 0,
) -> Facts:
    """What is told of it. Times are of the event loop's clock."""
    record = Record(path="error", reason=refused)
    if sent is not None:
        record = Record(
            requested=sent.model, model=sent.target, recipe="epp", algorithm=PICKED,
            stream=sent.stream,
        )  # fmt: skip
    return Facts(
        trace,
        "epp",
        request_id,
        record,
        status,
        "",
        usage,
        (),
        "" if sent is None else sent.destination,
        started,
        routed,
        first,
        ended,
        tracer.now(),
        tail,
        {},
        b"",
    )
