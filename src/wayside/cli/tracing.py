"""Wires tracing: what the settings say, then what ``OTEL_*`` say, then the defaults."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from wayside.settings import RouterSettings
from wayside.settings.credential import CredentialSettings
from wayside.settings.tracing import TracingSettings
from wayside.telemetry import Log, Metrics, Telemetry
from wayside.telemetry.redaction import learn
from wayside.telemetry.tracing import Spool, Tracer
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential

Keys = Callable[[CredentialSettings, str], Credential]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
SWITCH_S: Final = 0.0005
_MISSING: Final = "the extra `otel` is not installed"
_INSTALL: Final = "pip install 'wayside[otel]', or write tracing: {enabled: false}"
_PROVIDERS: Final = {
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex-ai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Providers that OpenTelemetry's conventions call something else than we do."""
_SAMPLERS: Final[Mapping[str, tuple[float | None, bool]]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""Samplers that ``OTEL_TRACES_SAMPLER`` may name: their ratio, ``None`` where
``OTEL_TRACES_SAMPLER_ARG`` says it, and whether they go by the parent."""


def wanted(settings: TracingSettings, env: Mapping[str, str]) -> bool:
    """Whether requests are traced."""
    if settings.enabled is not None:
        return settings.enabled
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if env.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return bool(settings.endpoint or any([env.get(name) for name in ENDPOINTS]))


def trace(
    telemetry: Telemetry,
    settings: Callable[[], RouterSettings],
    env: Mapping[str, str],
    keys: Keys,
) -> None:
    """Let ``telemetry`` trace requests, where that is wanted. Raises :class:`ConfigError`."""
    telemetry.prompts = settings().log.prompts
    said = settings().tracing
    if wanted(said, env):
        telemetry.tracer = tracer_of(
            said, env, keys, telemetry.metrics, telemetry.log, lambda: providers(settings())
        )


def tracer_of(
    said: TracingSettings,
    env: Mapping[str, str],
    keys: Keys,
    metrics: Metrics,
    log: Log,
    providers: Callable[[], Mapping[str, str]] = dict,
) -> Tracer | None:
    """Whatever traces, or ``None`` where only the environment wants it and it cannot be. Raises
    :class:`ConfigError` where the settings want it."""
    protocol = next((env[name] for name in PROTOCOLS if env.get(name)), "http/protobuf")
    if protocol != "http/protobuf" and said.endpoint is None:
        complain(log, said, f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}", "http/protobuf")
        return None
    try:
        from wayside.telemetry.traces import Collector
    except ImportError:
        complain(log, said, _MISSING, _INSTALL)
        return None
    ratio, parent_based = sampler(said, env)
    content = said.content
    if content is None:
        content = env.get(CONTENT, "").lower() in ("true", "1", "span_only", "span_and_event")
    given = [keys(one, f"tracing.headers.{i}") for i, one in enumerate(said.headers)]
    theirs = headers_of(next((env[name] for name in HEADERS if env.get(name)), ""))
    for secret in theirs.values():
        learn(secret)
    collector = Collector(
        version=version("wayside"),
        resource=resource(said, env),
        endpoint=None if said.endpoint is None else endpoint_of(said.endpoint),
        headers=lambda: theirs | dict([one.pair() for one in given]),
        ca_file=said.ca_file,
        timeout_s=said.timeout_s,
        providers=providers,
    )
    # The thread that makes spans lets requests go first after this long, not after 5 ms.
    sys.setswitchinterval(SWITCH_S)
    spool = Spool(
        collector.send, metrics, max_items=said.max_queue, max_bytes=said.max_queue_bytes
    )
    return Tracer(spool, ratio=ratio, parent_based=parent_based, content=content)


def complain(log: Log, said: TracingSettings, why: str, fix: str) -> None:
    """Refuse what the settings ask for; only say it of what the environment asks for, which may
    be meant for everything in a cluster."""
    if said.enabled or said.endpoint is not None:
        raise ConfigError.one(why, where="tracing", fix=fix)
    log("not traced", level="warning", why=why, fix=fix)


def sampler(settings: TracingSettings, env: Mapping[str, str]) -> tuple[float, bool]:
    """The share of requests that is traced, and whether a request's own trace goes before it."""
    name = env.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip()
    ratio, parent_based = _SAMPLERS.get(name, (1.0, True))
    if ratio is None:
        try:
            ratio = min(1.0, max(0.0, float(env.get("OTEL_TRACES_SAMPLER_ARG", "1"))))
        except ValueError:
            ratio = 1.0
    if settings.sample_ratio is not None:
        ratio = settings.sample_ratio
    if settings.parent_based is not None:
        parent_based = settings.parent_based
    return ratio, parent_based


def resource(settings: TracingSettings, env: Mapping[str, str]) -> dict[str, str]:
    """Who it is that traces; what the environment says of that is added by the SDK."""
    found = {"service.version": version("wayside")}
    for variable, key in (("POD_NAME", "k8s.pod.name"), ("POD_NAMESPACE", "k8s.namespace.name")):
        if env.get(variable):
            found[key] = env[variable]
    found |= settings.attributes
    if settings.service_name is not None:
        found["service.name"] = settings.service_name
    elif not env.get("OTEL_SERVICE_NAME") and "service.name=" not in env.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        found.setdefault("service.name", "wayside")
    return found


def endpoint_of(endpoint: str) -> str:
    """With the path that traces have, unless it names one."""
    if urlsplit(endpoint).path in ("", "/"):
        return endpoint.rstrip("/") + "/v1/traces"
    return endpoint


def headers_of(text: str) -> dict[str, str]:
    """``OTEL_EXPORTER_OTLP_HEADERS``: ``name=value,name=value``, percent-encoded."""
    found = {}
    for part in text.split(","):
        name, given, value = part.partition("=")
        if given and name.strip():
            found[unquote(name.strip()).lower()] = unquote(value.strip())
    return found


def providers(settings: RouterSettings) -> dict[str, str]:
    """``gen_ai.provider.name`` of each model; a server of one's own is called by its API."""
    found: dict[str, str] = {}
    for name, model in settings.models.items():
        theirs: Any = model.provider
        if theirs is None:
            theirs = {"openai": "vllm", "responses": "openai"}.get(model.protocol, model.protocol)
        found[name] = _PROVIDERS.get(theirs, theirs)
    return found
