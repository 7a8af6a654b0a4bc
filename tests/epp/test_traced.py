"""A picker's requests as traces: what goes to the server, and what is told of each."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.telemetry.metrics import Metrics
from wayside.telemetry.spans import Span, spans_of
from wayside.telemetry.tracing import Facts, Spool, Tracer

from . import proto
from .rig import Bench, destination

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = b'{"model":"m","prompt":"a secret wish","max_tokens":5}'


def traced(bench: Bench) -> list[Facts]:
    found: list[Facts] = []
    spool = Spool(found.extend, Metrics(), max_items=9, max_bytes=1 << 20)
    spool.put = found.append  # type: ignore[method-assign]
    bench.door.tracer = Tracer(spool)
    return found


def spans(found: Sequence[Facts]) -> list[Span]:
    return [span for facts in found for span in spans_of(facts, {})]


def test_a_picked_request_is_a_trace_that_its_server_goes_on_with() -> None:
    bench = Bench()
    found = traced(bench)
    parent = f"00-{TRACE}-{SPAN}-01"
    talk, replies = bench.ask(BODY, traceparent=parent, x_request_id="r1")
    sent = proto.set_headers(replies[0].request_headers.response.headers)["traceparent"]
    talk.session.close()
    root, routing, attempt = spans(found)
    assert found[0].trace.trace_id == TRACE
    assert (root.name, root.parent_id) == ("text_completion m", SPAN)
    assert root.attributes["request.id"] == "r1"
    assert root.attributes["gen_ai.request.max_tokens"] == 5
    assert routing.attributes["routing.strategy"] == "picked"
    where = f"{attempt.attributes['server.address']}:{attempt.attributes['server.port']}"
    assert where == destination(replies)
    assert sent == f"00-{TRACE}-{attempt.span_id}-01"
    assert "secret wish" not in str(spans(found))


def test_one_that_is_not_traced_is_told_so_and_nothing_is_kept() -> None:
    bench = Bench()
    found = traced(bench)
    parent = f"00-{TRACE}-{SPAN}-00"
    talk, replies = bench.ask(BODY, traceparent=parent)
    assert proto.set_headers(replies[0].request_headers.response.headers)["traceparent"] == parent
    talk.session.close()
    assert not found


def test_without_tracing_it_goes_on_as_it_came() -> None:
    parent = f"00-{TRACE}-{SPAN}-01"
    _, replies = Bench().ask(BODY, traceparent=parent)
    assert proto.set_headers(replies[0].request_headers.response.headers)["traceparent"] == parent


def test_a_refusal_is_told_with_its_reason() -> None:
    bench = Bench(pods=())
    found = traced(bench)
    talk, _ = bench.ask(BODY)
    talk.session.close()
    (root,) = spans(found)
    assert root.attributes["error.type"]
