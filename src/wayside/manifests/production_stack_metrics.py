"""A few numbers of the pages that gateways and GPU exporters show, for the controller's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wayside.manifests.production_stack_settings import PORT
from wayside.vocab.objects import section, text

_LINE = re.compile(rb"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? +([^ ]+)(?: +[0-9]+)?\r?")
_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_MOST = 150
"""Numbers of one page."""
PERIOD_S = 30.0
GPU_METRICS = "GPU_METRICS_ENDPOINT"
"""The variable of the controller's environment that names an exporter of GPUs' metrics."""

Labels = Mapping[str, str]


class Sample(NamedTuple):
    """One line of a page in Prometheus's text format."""

    name: str
    labels: Labels
    value: float


def samples(page: bytes, names: frozenset[bytes]) -> Iterator[Sample]:
    """The lines of these metrics. A page that was cut off, or is none, gives what can be read."""
    end = page.rfind(b"\n")
    for line in page[: end + 1].split(b"\n"):
        if not line.startswith(tuple(names)):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in names or len(line) > 4096:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if 0 <= value < float("inf"):
            labels = {
                k.decode(): v.decode("utf-8", "replace")
                for k, v in _LABEL.findall(found[2] or b"")
            }
            yield Sample(found[1].decode(), labels, value)


def page_of(service: Mapping[str, Any] | None) -> str:
    """Where a gateway's metrics are; empty without its Service."""
    if service is None:
        return ""
    spec, meta = section(service, "spec"), section(service, "metadata")
    host = text(spec.get("clusterIP"))
    if host in ("", "None"):
        host = f"{text(meta.get('name'))}.{text(meta.get('namespace'))}.svc"
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{PORT}/metrics"


# --- what is shown -----------------------------------------------------------------------------

_CACHED, _PROMPTS = b"wayside_pick_cached_tokens_total", b"wayside_pick_prompt_tokens_total"
_KV = b"wayside_endpoint_kv_usage"
_HITS, _MISSES = b"wayside_cache_hits_total", b"wayside_cache_misses_total"
_PICKS, _FAULTS = b"wayside_picks_total", b"wayside_pick_faults_total"
_GATEWAY = frozenset((_CACHED, _PROMPTS, _KV, _HITS, _MISSES, _PICKS, _FAULTS))
_GPU, _SHARE = b"DCGM_FI_DEV_GPU_UTIL", b"DCGM_FI_PROF_GR_ENGINE_ACTIVE"
_MEMORY = (b"DCGM_FI_DEV_FB_USED", b"DCGM_FI_DEV_FB_FREE")
GATEWAY_LINES = tuple(sorted(_GATEWAY))
GPU_LINES = (_GPU, _SHARE, *_MEMORY)
"""How the lines begin that are read here: the pages of many models and GPUs are long."""

Number = tuple[str, str, float, dict[str, str]]
"""Name, help, value and labels of a gauge."""


class CacheUse(NamedTuple):
    """Of one model, as a gateway tells it: shares, ``None`` where nothing is known."""

    hit_rate: float | None
    kv_usage: float | None


def cache_use(page: bytes, model: str) -> CacheUse:
    """How often prompts found their beginning cached, and how full caches are, of one model."""
    cached = prompts = 0.0
    full: list[float] = []
    for sample in samples(page, frozenset((_CACHED, _PROMPTS, _KV))):
        if sample.labels.get("model") != model:
            continue
        if sample.name == _KV.decode():
            full.append(sample.value)
        elif sample.name == _CACHED.decode():
            cached += sample.value
        else:
            prompts += sample.value
    return CacheUse(
        min(1.0, cached / prompts) if prompts else None, sum(full) / len(full) if full else None
    )


def of_gateway(page: bytes) -> list[Number]:
    """Cache performance and routing efficiency of a gateway."""
    found: list[Number] = []
    sums: dict[tuple[str, str], float] = {}
    for s in samples(page, _GATEWAY):
        key = (s.name, s.labels.get("model", ""))
        if s.name == _KV.decode():
            labels = {k: s.labels.get(k, "") for k in ("model", "endpoint")}
            about = "Share of a server's KV cache in use, 0 to 1."
            found.append(("router_controller_kv_cache_usage", about, s.value, labels))
        elif s.name == _PICKS.decode():
            labels = {k: s.labels.get(k, "") for k in ("model", "endpoint")}
            about = "Requests of a gateway that went to a server by its strategy."
            found.append(("router_controller_routed_requests", about, s.value, labels))
        else:
            sums[key] = sums.get(key, 0.0) + s.value
    for model in sorted({model for _, model in sums}):
        prompts = sums.get((_PROMPTS.decode(), model), 0.0)
        if prompts:
            share = min(1.0, sums.get((_CACHED.decode(), model), 0.0) / prompts)
            about = "Share of prompts' tokens that went to a server which has them cached, 0 to 1."
            found.append(("router_controller_prefix_hit_rate", about, share, {"model": model}))
    hits, misses = (
        sum(v for (n, _), v in sums.items() if n == k.decode()) for k in (_HITS, _MISSES)
    )
    if hits + misses:
        about = "Share of requests answered by the semantic cache, 0 to 1."
        found.append(
            ("router_controller_semantic_cache_hit_rate", about, hits / (hits + misses), {})
        )
    return found[:_MOST]


def of_gpus(page: bytes) -> list[Number]:
    """Utilisation of GPUs, as a DCGM exporter tells it."""
    found: dict[tuple[str, str], Number] = {}
    for s in samples(page, frozenset((_SHARE, _GPU))):
        value = s.value / 100 if s.name == _GPU.decode() else s.value
        if value > 1:
            continue
        host, gpu = s.labels.get("Hostname", ""), s.labels.get("UUID") or s.labels.get("gpu", "")
        about = "Utilisation of a GPU, 0 to 1, as the exporter of GPU_METRICS_ENDPOINT says."
        labels = {"hostname": host, "gpu": gpu}
        found[host, gpu] = ("router_controller_gpu_utilization", about, value, labels)
    return list(found.values())[:_MOST]


def tells_of_gpus(page: bytes) -> bool:
    """Whether this is the page of an exporter of GPUs at all."""
    return any(True for _ in samples(page, frozenset((_GPU, _SHARE, *_MEMORY))))


def page_of_gpus(endpoint: str) -> str:
    """``http://host:9400`` alone means its ``/metrics``; empty where there is none."""
    if not endpoint:
        return ""
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    return url if url.partition("://")[2].partition("/")[2] else f"{url.rstrip('/')}/metrics"
