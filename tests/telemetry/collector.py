"""An OpenTelemetry collector of our own: takes traces over OTLP/HTTP as the protocol has it."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Got(NamedTuple):
    """One span, with plain values."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    resource: dict[str, Any]
    status: int
    started: int
    ended: int


class Collector:
    """``spans`` are what came; ``answers`` what it says to the next batches, 200 after that."""

    def __init__(self) -> None:
        self.spans: list[Got] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.hangs = threading.Event()
        self.hangs.set()
        self.url = ""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.hangs.wait(20)
        status = self.answers.pop(0) if self.answers else 200
        if status != 200:
            return status
        body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.paths.append(path)
        self.headers.append(headers)
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            who = plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [got(span, who) for span in scope.spans]
        return status

    def wait(self, wanted: Callable[[list[Got]], bool], seconds: float = 10.0) -> list[Got]:
        """The spans, once they are as ``wanted``."""
        ends = time.monotonic() + seconds
        while not wanted(self.spans):
            assert time.monotonic() < ends, [span.name for span in self.spans]
            time.sleep(0.02)
        return self.spans


def got(span: Any, who: dict[str, Any]) -> Got:
    return Got(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        plain(span.attributes),
        [(event.name, plain(event.attributes)) for event in span.events],
        who,
        span.status.code,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def plain(attributes: Any) -> dict[str, Any]:
    return {one.key: value(one.value) for one in attributes}


def value(given: Any) -> Any:
    kind = given.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in given.array_value.values]
    return getattr(given, kind)


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            status = found.take(self.path, headers, body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield found
    finally:
        found.hangs.set()
        server.shutdown()
        server.server_close()
        thread.join()
