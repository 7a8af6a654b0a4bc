"""vSR's ``observability.tracing`` in our words.

It names a collector by host and port, over gRPC. Traces of ours go over OTLP/HTTP, which the same
collectors take on the port beside it (4318 for 4317).
"""

from __future__ import annotations

from typing import Any, Final

from wayside.translate.reading import Reader

GRPC: Final = ":4317"
HTTP: Final = ":4318"


def read_tracing(tracing: Reader) -> dict[str, Any]:
    """``tracing`` of our settings; empty where nothing is traced."""
    if not tracing.flag("enabled"):
        tracing.set_aside_all("switched off", "ignored")
        return {}
    found: dict[str, Any] = {}
    if (provider := tracing.text("provider")) and provider != "opentelemetry":
        tracing.note(
            f"{provider!r} is not known here; opentelemetry is", "refused", key="provider"
        )
    exporter = tracing.inner("exporter")
    kind = exporter.text("type") or "otlp"
    if kind != "otlp":
        fix = "traces go to a collector; write otlp and its endpoint"
        exporter.note(f"{kind!r} is not known here: {fix}", "refused", key="type")
    insecure = exporter.flag("insecure")
    if endpoint := exporter.text("endpoint") or tracing.text("otlp_endpoint"):
        found["enabled"] = True
        found["endpoint"] = http_endpoint(endpoint, insecure=insecure is not False)
        if endpoint.endswith(GRPC):
            what = f"over OTLP/HTTP, to {found['endpoint']}: the collector has to take that, too"
            exporter.note(what, "mapped", key="endpoint")
    else:
        what = "it names no collector: traced where OTEL_EXPORTER_OTLP_ENDPOINT names one"
        tracing.note(what, "mapped", key="exporter")
    if (ratio := tracing.number("sampling_ratio", low=0, high=1)) is not None:
        found["sample_ratio"] = float(ratio)
    sampling = tracing.inner("sampling")
    sampler = sampling.choice("type", ("always_on", "always_off", "probabilistic"))
    rate = sampling.number("rate", low=0, high=1)
    other = sampling.number("probability", low=0, high=1)
    if sampler == "probabilistic":
        found["sample_ratio"] = float(next((r for r in (other, rate) if r is not None), 1.0))
    elif sampler is not None:
        found["sample_ratio"] = 1.0 if sampler == "always_on" else 0.0
    resource = tracing.inner("resource")
    if name := resource.text("service_name"):
        found["service_name"] = name
    attributes = {}
    for key, attribute in (
        ("service_version", "service.version"),
        ("deployment_environment", "deployment.environment.name"),
        ("environment", "deployment.environment.name"),
    ):
        if value := resource.text(key):
            attributes[attribute] = value
    if attributes:
        found["attributes"] = attributes
    return found


def http_endpoint(endpoint: str, *, insecure: bool) -> str:
    """The address of a collector that is named by host and port."""
    if "://" in endpoint:
        return endpoint
    if endpoint.endswith(GRPC):
        endpoint = endpoint.removesuffix(GRPC) + HTTP
    return f"{'http' if insecure else 'https'}://{endpoint}"
