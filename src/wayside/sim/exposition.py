"""The /metrics page in the names of each kind of server that a picker may meet.

Sources of the names: vLLM 0.10 (V1) and 0.6 (V0), SGLang 0.4 and TensorRT-LLM 1.0, as llm-d's
model-server protocol lists them (docs/plugin-metric-protocol.md).
"""

from collections.abc import Callable, Sequence
from typing import Literal

from .engine import Engine
from .engine_metrics import FAMILIES
from .metrics import Labels, Sample, render_family

Dialect = Literal["vllm", "vllm_v0", "sglang", "trtllm"]
_Pages = list[dict[str, list[Sample]]]

_V0 = {
    "vllm:prefix_cache_queries_total": "vllm:gpu_prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total": "vllm:gpu_prefix_cache_hits_total",
}
_COMMON = {
    "vllm:prompt_tokens_total": "prompt_tokens_total",
    "vllm:generation_tokens_total": "generation_tokens_total",
    "vllm:time_to_first_token_seconds": "time_to_first_token_seconds",
    "vllm:e2e_request_latency_seconds": "e2e_request_latency_seconds",
}
_SGLANG = {
    "vllm:num_requests_waiting": "sglang:num_queue_reqs",
    "vllm:num_requests_running": "sglang:num_running_reqs",
    "vllm:kv_cache_usage_perc": "sglang:token_usage",
    **{old: f"sglang:{new}" for old, new in _COMMON.items()},
}
_TRTLLM = {
    "vllm:num_requests_waiting": "trtllm_num_requests_waiting",
    "vllm:num_requests_running": "trtllm_num_requests_running",
    "vllm:kv_cache_usage_perc": "trtllm_kv_cache_utilization",
    **{old: f"trtllm_{new}" for old, new in _COMMON.items()},
}


def exposition(engines: Sequence[Engine], dialect: Dialect, today: float) -> str:
    """The page; `today` is the Unix time."""
    many = [(engine, _labels(engine, dialect)) for engine in engines]
    pages = [engine.samples(labels, today) for engine, labels in many]
    if dialect == "vllm":
        return _render(pages, {name: name for name in FAMILIES})
    if dialect == "vllm_v0":
        names = {name: _V0.get(name, name) for name in FAMILIES}
        del names["vllm:kv_cache_usage_perc"]
        return _render(pages, names) + _each(
            many, "vllm:gpu_prefix_cache_hit_rate", "Prefix cache hit rate.", _hit_rate
        )
    if dialect == "sglang":
        config = [
            ("", {"page_size": str(e.kv.block_size), "num_pages": str(e.kv.capacity), **ls}, 1.0)
            for e, ls in many
        ]
        return (
            _render(pages, _SGLANG)
            + _each(many, "sglang:cache_hit_rate", "Prefix cache hit rate.", _hit_rate)
            + render_family("sglang:cache_config_info", "gauge", "Cache configuration.", config)
        )
    return (
        _render(pages, _TRTLLM)
        + _each(many, "trtllm_kv_cache_hit_rate", "Prefix cache hit rate.", _hit_rate)
        + _each(
            many,
            "trtllm_kv_cache_tokens_per_block",
            "Tokens in a block.",
            lambda engine: engine.kv.block_size,
        )
        + _each(
            many,
            "trtllm_kv_cache_max_blocks",
            "Blocks of the cache.",
            lambda engine: engine.kv.capacity,
        )
    )


def _labels(engine: Engine, dialect: Dialect) -> dict[str, str]:
    name = {"model_name": engine.model.name}
    return {"engine": "0", **name} if dialect == "vllm" else name


def _render(pages: _Pages, names: dict[str, str]) -> str:
    out = []
    for name, told in names.items():
        samples = [sample for page in pages for sample in page[name]]
        if samples:
            kind, text = FAMILIES[name]
            out.append(render_family(told, kind, text, samples))
    return "".join(out)


def _each(
    many: list[tuple[Engine, dict[str, str]]],
    name: str,
    text: str,
    value: Callable[[Engine], float],
) -> str:
    samples: list[tuple[str, Labels, float]] = [("", ls, value(engine)) for engine, ls in many]
    return render_family(name, "gauge", text, samples)


def _hit_rate(engine: Engine) -> float:
    return engine.hit_rate
