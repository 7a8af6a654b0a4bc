"""What tracing and the log's redaction cost a request: ``python -m bench.tracing``.

The hot path's share (begin, a header for the attempt, the facts into the queue), the thread's
share (spans and their bytes; nobody waits for it, but it takes processor time), and what a line of
the request log costs with its secrets looked for. No network: batches are made and thrown away.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from wayside.telemetry import Log, Telemetry, redaction
from wayside.telemetry.spans import spans_of
from wayside.telemetry.traces import Collector
from wayside.telemetry.tracing import Facts, Spool, Tracer
from wayside.vocab.outcome import Record, Tried
from wayside.vocab.verdict import SignalRef, Verdict

N = 20_000
BODY = b'{"model":"auto","messages":[{"role":"user","content":"What is the integral of x?"}]}'
TAIL = (
    b'{"id":"chatcmpl-1","choices":[{"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}'
)
RECORD = Record(
    requested="auto", model="m", recipe="default", decision="sums", algorithm="static",
    verdicts={SignalRef("keyword", f"k{i}"): Verdict(i == 0) for i in range(6)},
)  # fmt: skip


def request(telemetry: Telemetry, headers: dict[str, str]) -> None:
    exchange = telemetry.begin(shell="gateway")
    if (reads := telemetry.reads) is not None:
        reads(exchange, "/v1/chat/completions", dict(headers), BODY)
    exchange.routed(RECORD)
    span, _ = exchange.outgoing()
    exchange.measure(stream=False).feed(TAIL)
    exchange.first_byte(200)
    exchange.tried(Tried(endpoint="10.0.0.1:8000", model="m", outcome="ok", status=200,
                         seconds=0.1, span=span))  # fmt: skip
    exchange.ended(status=200)


def per_request(run: Callable[[], None], n: int = N) -> float:
    """Microseconds, the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(n // 5):
            run()
        best = min(best, (time.perf_counter() - began) / (n // 5))
    return best * 1e6


def main() -> None:
    facts: deque[Facts] = deque(maxlen=2048)
    plain = Telemetry()
    print(f"without tracing       {per_request(lambda: request(plain, {})):8.2f} us")
    for name, ratio in (("not sampled", 0.0), ("sampled", 1.0)):
        telemetry = Telemetry()
        spool = Spool(lambda batch: None, telemetry.metrics, max_items=1 << 30, max_bytes=1 << 40)
        spool.put = facts.append  # type: ignore[method-assign]
        telemetry.tracer = Tracer(spool, ratio=ratio)
        print(f"{name:22}{per_request(lambda t=telemetry: request(t, {})):8.2f} us")
    some = list(facts)
    collector = Collector(version="0", resource={})

    def made() -> None:
        encode_spans(
            [collector._made(one, span) for one in some for span in spans_of(one, {})]
        ).SerializeToString()

    began = time.perf_counter()
    made()
    print(f"the thread, a request {(time.perf_counter() - began) / len(some) * 1e6:8.2f} us")
    log = Log(io.StringIO(), console=False)
    logged = Telemetry(log, log)
    clean = redaction.fields
    with_redaction = per_request(lambda: request(logged, {}))
    redaction.fields = lambda given, trusted=(): dict(given)
    without = per_request(lambda: request(logged, {}))
    redaction.fields = clean
    print(
        f"a line of the log     {without:8.2f} us, {with_redaction - without:.2f} us of redaction"
    )


if __name__ == "__main__":
    main()
