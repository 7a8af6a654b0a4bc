"""Traces of requests, for OpenTelemetry's collectors.

What is not said here is taken from OpenTelemetry's own environment variables (``OTEL_*``), so
that a router is traced like everything else in a cluster that sets them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from wayside.settings.base import Settings
from wayside.settings.credential import CredentialSettings

Share = Annotated[float, Field(ge=0, le=1)]
Attribute = Annotated[str, Field(max_length=1024)]


class TracingSettings(Settings):
    """Where traces of requests go, and of which requests; over OTLP/HTTP. Read at start only.

    Example: ``{endpoint: "http://collector:4318", sample_ratio: 0.1}``
    """

    enabled: bool | None = None
    """Whether requests are traced. Unset: where an endpoint is named, here or by
    `OTEL_EXPORTER_OTLP_ENDPOINT`, and `OTEL_SDK_DISABLED` does not say no."""
    endpoint: str | None = None
    """The collector's address: `http://collector:4318`; traces go to `/v1/traces` there, unless a
    path is given. Unset: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, or
    `http://localhost:4318`."""
    headers: tuple[CredentialSettings, ...] = ()
    """Keys that the collector wants, each by reference: `{env: COLLECTOR_KEY, header: api-key,
    prefix: ""}`. Headers of `OTEL_EXPORTER_OTLP_HEADERS` are sent, too."""
    ca_file: str | None = None
    """PEM bundle that verifies an https collector. Unset: `OTEL_EXPORTER_OTLP_CERTIFICATE`, or the
    system's."""
    timeout_s: PositiveFloat | None = None
    """For sending one batch, retries included. Unset: `OTEL_EXPORTER_OTLP_TIMEOUT`, or 10."""
    sample_ratio: Share | None = None
    """The share of requests that are traced. Unset: `OTEL_TRACES_SAMPLER_ARG`, or 1."""
    parent_based: bool | None = None
    """Whether a request that comes with a trace (`traceparent`) is traced if, and only if, its
    sender traces it. Unset: as `OTEL_TRACES_SAMPLER` says, or true."""
    service_name: str | None = Field(None, min_length=1, max_length=256)
    """What the router is called. Unset: `OTEL_SERVICE_NAME`, or `wayside`."""
    attributes: dict[str, Attribute] = Field(default_factory=dict, max_length=64)
    """Further facts about this router, such as `deployment.environment.name`; they add to those
    of `OTEL_RESOURCE_ATTRIBUTES`."""
    content: bool | None = None
    """Whether prompts and answers are part of traces. Unset: as
    `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says, or false."""
    max_queue: PositiveInt = 2048
    """Requests that wait to be sent; those beyond are not traced, and counted."""
    max_queue_bytes: PositiveInt = 16 << 20
    """The most that waiting requests' bodies may take; those beyond are traced without what is
    only in their bodies."""

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError(
                "write http:// or https:// and a host: traces go over OTLP/HTTP (port 4318), "
                "not gRPC (4317)"
            )
        if "@" in value.partition("//")[2].partition("/")[0]:
            raise ValueError("no password here; name it in tracing.headers, by reference")
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> TracingSettings:
        names = [each.header.lower() for each in self.headers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"headers: {name} is there twice; leave one out")
        if any([each.secret for each in self.headers]):
            raise ValueError(
                "headers: only models wait for Secrets of the cluster; mount it, and write "
                "{file: ...} or {env: ...}"
            )
        return self
