"""What is asked of model servers beside requests: how they are, what they serve, who they are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from wayside.settings.address import parse_address
from wayside.settings.base import Settings

Port = Annotated[int, Field(ge=1, le=65535)]
_OR_TRUE = ConfigDict(json_schema_extra={"type": ["object", "boolean"]})
_OR_TEXT = ConfigDict(json_schema_extra={"type": ["object", "string"]})


def http_url(value: str) -> str:
    """An address that pages are read from; raises ``ValueError``."""
    if value.partition("://")[0].lower() not in ("http", "https"):
        raise ValueError("write http:// or https:// before the host")
    parse_address(value)
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("a path begins with / and has plain characters only, such as /health")
    return value


class ScrapeSettings(Settings):
    """How servers' own metrics are read. They are read only where `picking` goes by them."""

    interval_s: Annotated[float, Field(ge=0.01)] = 0.2
    """From one reading of a server to its next."""
    timeout_s: PositiveFloat = 1.0
    """What one reading may take."""
    stale_after_s: PositiveFloat = 2.0
    """A server that was not read for so long counts as the median of the model's others."""
    max_bytes: PositiveInt = 2 << 20
    """A larger page is not read."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Readings at once."""


class GpuMetricsSettings(Settings):
    """Where the utilisation of GPUs is told: the page of a DCGM exporter. A bare string is its
    URL. Each address of its name is asked, so name a headless Service that selects every one.

    Example: ``{url: "http://dcgm-exporter.gpu-operator:9400/metrics", by: [pod]}``
    """

    model_config = _OR_TEXT

    url: str | None = None
    """`http://host:9400/metrics`; absent: the environment variable ``GPU_METRICS_ENDPOINT``."""
    interval_s: Annotated[float, Field(ge=0.05)] = 2.0
    """From one reading to the next."""
    timeout_s: PositiveFloat = 2.0
    """What one reading may take."""
    stale_after_s: PositiveFloat = 10.0
    """Utilisation older than this is no longer known."""
    max_bytes: PositiveInt = 4 << 20
    """A larger page is not read."""
    by: Annotated[tuple[str, ...], Field(min_length=1)] = ("pod", "Hostname", "instance")
    """Labels of that page which say whose a GPU is, the first that fits an endpoint: by its name,
    its host, its host and port, or its own label of the same name."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)


class FleetSettings(Settings):
    """What is asked of model servers beside requests, for all models."""

    scrape: ScrapeSettings = ScrapeSettings()
    """How their own metrics are read."""
    gpu_metrics: GpuMetricsSettings = GpuMetricsSettings()
    """Where the utilisation of their GPUs is told."""


class MetricsPageSettings(Settings):
    """Where a model's servers show their metrics, when that is not `/metrics` beside the API.

    Example: ``{port: 8002}``
    """

    port: Port | None = None
    """The port of each server; that of its endpoint when absent. Triton's is 8002."""
    path: str = "/metrics"
    """Of the page. That of ``trtllm-serve`` is `/prometheus/metrics`."""

    _check_path = field_validator("path")(_path)


class HealthCheckSettings(Settings):
    """Servers are asked how they are, and one that is not well is left out until it is.

    Example: ``{path: /health, interval_s: 5, failures: 2}``
    """

    path: str = "/health"
    """Answers 2xx while the server is well."""
    port: Port | None = None
    """The port of each server; that of its endpoint when absent."""
    interval_s: Annotated[float, Field(ge=0.01)] = 5.0
    """From one question to the next."""
    timeout_s: PositiveFloat = 2.0
    """No answer in this time is a failure."""
    successes: PositiveInt = 1
    """In a row, before a server that was left out takes requests again."""
    failures: PositiveInt = 3
    """In a row, before a server is left out."""
    asleep_path: str | None = None
    """Such as vLLM's `/is_sleeping`: a server that answers ``{"is_sleeping": true}`` is left
    out as well."""

    _check_path = field_validator("path")(_path)

    @field_validator("asleep_path")
    @classmethod
    def _check_asleep(cls, value: str | None) -> str | None:
        return None if value is None else _path(value)


class ModelsCheckSettings(Settings):
    """Servers are asked for `/v1/models`, and one that does not serve the model is left out.
    `true` stands for the defaults.

    Example: ``{interval_s: 60}``
    """

    model_config = _OR_TRUE

    interval_s: Annotated[float, Field(ge=0.01)] = 30.0
    """From one question to the next."""
    timeout_s: PositiveFloat = 5.0
    """No answer in this time tells nothing: what was known goes on being so."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {} if value is True else value


ModelsCheck = Annotated[
    ModelsCheckSettings | None, BeforeValidator(lambda value: None if value is False else value)
]
"""`false` stands for nothing."""


class DnsSettings(Settings):
    """Every address of a DNS name is a server: a headless Service's pods, for example.

    Example: ``{name: vllm.models.svc.cluster.local, port: 8000}``
    """

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Looked up as A and AAAA records."""
    port: Port
    """Where each of them serves."""
    scheme: str = Field("http", pattern="^https?$")
    """`http` or `https`; then certificates have to prove `name`, or ``tls.server_name``."""
    path: str = ""
    """The base path of its API, such as `/v1`; `/v1` when empty."""
    interval_s: Annotated[float, Field(ge=0.01)] = 5.0
    """From one lookup to the next. One that fails changes nothing."""

    @field_validator("name")
    @classmethod
    def _a_name(cls, value: str) -> str:
        address = parse_address(f"{value}:1")
        if address.host != value or address.is_ip:
            raise ValueError("a DNS name only; an address belongs into endpoints")
        return value

    @field_validator("path")
    @classmethod
    def _a_path(cls, value: str) -> str:
        return _path(value).rstrip("/") if value else value


class KubernetesSettings(Settings):
    """Servers in a Kubernetes cluster, followed as they come and go. Exactly one of `service`,
    `pods` and `pool`.

    The router needs the right to list and watch what it follows: `services` and `endpointslices`,
    `pods`, or `inferencepools` and `pods`.

    Example: ``{service: llama, port: http}``
    """

    service: str = ""
    """A Service, whose ready endpoints are the servers: each is asked itself, not through the
    Service."""
    pods: str = ""
    """A label selector (`app=vllm,tier!=test`), whose ready pods are the servers."""
    pool: str = ""
    """An InferencePool, whose ready pods are the servers, on the pool's ports."""
    namespace: str = Field("", max_length=63)
    """Where they are; the router's own namespace when empty."""
    port: Port | Annotated[str, Field(min_length=1, max_length=15)] | None = None
    """Of a Service: its port's name or number, not needed where it has one port, or one called
    `http`. Of pods: the number they serve on, 8000 when absent. A pool has its own."""
    scheme: str = Field("http", pattern="^https?$")
    """`http` or `https`; then certificates have to prove ``tls.server_name``."""
    path: str = ""
    """The base path of the servers' API, such as `/v1`; `/v1` when empty."""
    kubeconfig: str = ""
    """Of another cluster; the pod's service account when empty, else $KUBECONFIG."""

    @field_validator("path")
    @classmethod
    def _a_path(cls, value: str) -> str:
        return _path(value).rstrip("/") if value else value

    @model_validator(mode="after")
    def _one_source(self) -> KubernetesSettings:
        if [bool(self.service), bool(self.pods), bool(self.pool)].count(True) != 1:
            raise ValueError("name one of service, pods and pool")
        if self.pool and self.port is not None:
            raise ValueError("a pool has ports of its own; leave port out")
        if self.pods and isinstance(self.port, str):
            raise ValueError("the port of pods is a number")
        return self


class DiscoverSettings(Settings):
    """Where a model's servers are told, beside its `endpoints`. Exactly one source.

    Example: ``{dns: {name: vllm.models.svc.cluster.local, port: 8000}}``
    """

    dns: DnsSettings | None = None
    """The addresses of a name."""
    file: str | None = None
    """A path to a YAML or JSON list of endpoints, as `endpoints` has them; read again when it
    changes. One that cannot be read, or has a mistake, changes nothing."""
    kubernetes: KubernetesSettings | None = None
    """A Service's endpoints, pods by label, or an InferencePool."""
    max_endpoints: Annotated[int, Field(ge=1, le=65536)] = 1024
    """Further ones are left out, with a warning in the log."""

    @model_validator(mode="after")
    def _one_source(self) -> DiscoverSettings:
        sources = (self.dns, self.file, self.kubernetes)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("name one source: dns, file or kubernetes")
        return self
