"""Spans by OpenTelemetry's SDK, sent over OTLP/HTTP: the one module that knows the SDK.

Its tracers are not used: what a span says is known only when the request has ended, and then it is
made here, on the thread of :class:`~wayside.telemetry.tracing.Spool`. What the SDK does for us is
the exporter (retries, compression, and the ``OTEL_EXPORTER_OTLP_*`` variables), the resource (with
``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME``), and the format.

Needs the extra ``otel``; importing this without it raises ``ImportError``.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from wayside.telemetry.spans import Span, spans_of
from wayside.telemetry.tracing import Facts, Unsent

_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_TRACED = TraceFlags(TraceFlags.SAMPLED)
_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"


class Collector:
    """Sends batches to a collector. ``headers`` are asked for with every batch, so that a key that
    was rotated is the new one."""

    def __init__(
        self,
        *,
        version: str,
        resource: Mapping[str, str],
        endpoint: str | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
        ca_file: str | None = None,
        timeout_s: float | None = None,
        providers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``None`` is what ``OTEL_EXPORTER_OTLP_*`` say, or the exporter's own default."""
        # Its complaints have the collector's address in them; ours go through our own log.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self._resource = Resource.create(dict(resource))
        self._scope = InstrumentationScope("wayside", version, _SCHEMA)
        self._headers, self._providers = headers, providers
        self._dice = random.Random()
        self._given: Mapping[str, str] = {}
        self._where, self._ca_file, self._timeout_s = endpoint, ca_file, timeout_s
        self._exporter: OTLPSpanExporter | None = None

    def send(self, batch: Sequence[Facts]) -> None:
        """Make spans of the facts and send them; raises :class:`Unsent`."""
        given = dict(self._headers())
        if self._exporter is None or given != self._given:
            self._given = given
            self._exporter = OTLPSpanExporter(
                endpoint=self._where,
                headers=given or None,
                certificate_file=self._ca_file,
                timeout=self._timeout_s,
            )
        providers = self._providers()
        spans = [self._made(facts, span) for facts in batch for span in spans_of(facts, providers)]
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise Unsent("the collector did not take them")

    def _made(self, facts: Facts, span: Span) -> ReadableSpan:
        trace = facts.trace
        state = TraceState.from_header([trace.state]) if trace.state else None
        trace_id = int(trace.trace_id, 16)
        span_id = int(span.span_id, 16) if span.span_id else self._dice.getrandbits(64) or 1
        parent = None
        if span.parent_id:
            parent = SpanContext(
                trace_id, int(span.parent_id, 16), span.remote_parent, _TRACED, state
            )
        return ReadableSpan(
            span.name,
            SpanContext(trace_id, span_id, False, _TRACED, state),
            parent,
            self._resource,
            span.attributes,
            [Event(event.name, event.attributes, span.ended) for event in span.events],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.started,
            end_time=max(span.ended, span.started),
            instrumentation_scope=self._scope,
        )
