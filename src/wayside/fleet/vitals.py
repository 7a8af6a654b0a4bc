"""A model server's metrics page into :class:`Vitals`: vLLM, SGLang, TensorRT-LLM, Triton.

Names as in llm-d's ``docs/plugin-metric-protocol.md`` and their older forms. One page may tell of
several engines or models: requests are added up, shares of caches averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from wayside.fleet.exposition import Sample, families
from wayside.vocab.endpoint import UNKNOWN, Vitals

Found = dict[bytes, list[Sample]]

WAITING: Final = (
    b"vllm:num_requests_waiting",
    b"sglang:num_queue_reqs",
    b"trtllm_num_requests_waiting",
)
RUNNING: Final = (
    b"vllm:num_requests_running",
    b"sglang:num_running_reqs",
    b"trtllm_num_requests_running",
)
USAGE: Final = (
    b"vllm:kv_cache_usage_perc",
    b"vllm:gpu_cache_usage_perc",  # before vLLM 0.10
    b"sglang:token_usage",
    b"trtllm_kv_cache_utilization",
)
CACHES: Final = (
    (b"vllm:cache_config_info", "num_gpu_blocks", "block_size"),
    (b"sglang:cache_config_info", "num_pages", "page_size"),
)
TRT_BLOCKS: Final = b"trtllm_kv_cache_max_blocks"
TRT_BLOCK_SIZE: Final = b"trtllm_kv_cache_tokens_per_block"
LORA: Final = b"vllm:lora_requests_info"
TRITON_REQUESTS: Final = b"nv_trt_llm_request_metrics"
TRITON_CACHE: Final = b"nv_trt_llm_kv_cache_block_metrics"
STARTED: Final = b"process_start_time_seconds"

_REQUESTS: Final = (*WAITING, *RUNNING, TRITON_REQUESTS)
_CACHE: Final = (
    *USAGE,
    *(name for name, _, _ in CACHES),
    TRT_BLOCKS,
    TRT_BLOCK_SIZE,
    TRITON_CACHE,
)
_WANTED: Final = frozenset((*_REQUESTS, *_CACHE, LORA, STARTED))
MANY: Final = 1e12
"""More requests than any server has, so a greater number is a mistake."""
MAX_ADAPTERS: Final = 4096


class Reading(NamedTuple):
    """What a page says. ``started`` is when the server's process began, in Unix seconds; 0 where
    the page does not say."""

    vitals: Vitals
    started: float


def read(page: bytes, at: float) -> Reading | None:
    """What ``page`` says of its server; ``None`` if it has nothing that is looked for."""
    found = families(page, _WANTED)
    waiting, running, usage = (_first(found, names) for names in (WAITING, RUNNING, USAGE))
    triton = found.get(TRITON_REQUESTS, [])
    if not (waiting or running or usage or triton):
        return None
    blocks, block_size = _cache(found)
    running_loras, waiting_loras, max_loras = _loras(found.get(LORA, []))
    vitals = Vitals(
        at=at,
        waiting=_total(waiting or _of(triton, "request_type", "waiting")),
        running=_total(running or _of(triton, "request_type", "scheduled")),
        kv=_share(usage or _of(found.get(TRITON_CACHE, []), "kv_cache_block_type", "fraction")),
        blocks=blocks,
        block_size=block_size,
        loras=running_loras,
        loras_waiting=waiting_loras,
        max_loras=max_loras,
    )
    started = max([sample.value for sample in found.get(STARTED, [])], default=0.0)
    return Reading(vitals, started)


def typical(known: Sequence[Vitals]) -> Vitals:
    """What a server counts as that nothing is known of: the median of the others, so that it is
    neither the best nor the worst. Its ``at`` says that it was never read."""
    if not known:
        return UNKNOWN
    return Vitals(
        waiting=median([v.waiting for v in known]),
        running=median([v.running for v in known]),
        kv=median([v.kv for v in known]),
    )


def _first(found: Found, names: Iterable[bytes]) -> list[Sample]:
    """The samples of the first name that has any: newer names stand before older ones."""
    for name in names:
        if samples := found.get(name):
            return samples
    return []


def _of(samples: Iterable[Sample], label: str, value: str) -> list[Sample]:
    return [s for s in samples if s.labels.get(label) == value]


def _total(samples: Iterable[Sample]) -> float:
    return sum([s.value for s in samples if 0 <= s.value < MANY])


def _share(samples: Iterable[Sample]) -> float:
    values = [s.value for s in samples if s.value >= 0]
    return min(1.0, sum(values) / len(values)) if values else 0.0


def _cache(found: Found) -> tuple[int, int]:
    """Blocks, of all engines together, and tokens per block."""
    for name, count, size in CACHES:
        blocks = [_whole(s.labels.get(count)) for s in found.get(name, [])]
        sizes = [_whole(s.labels.get(size)) for s in found.get(name, [])]
        if any(blocks) or any(sizes):
            return sum(blocks), max(sizes)
    blocks = [int(s.value) for s in found.get(TRT_BLOCKS, []) if 0 <= s.value < MANY]
    sizes = [int(s.value) for s in found.get(TRT_BLOCK_SIZE, []) if 0 <= s.value < MANY]
    if blocks or sizes:
        return sum(blocks), max(sizes, default=0)
    triton = found.get(TRITON_CACHE, [])
    return (
        int(_total(_of(triton, "kv_cache_block_type", "max"))),
        int(max([s.value for s in _of(triton, "kv_cache_block_type", "tokens_per")], default=0)),
    )


def _whole(text: str | None) -> int:
    """A number of blocks or tokens; 0 for ``None``, which vLLM writes before it knows."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 13 else 0


def _loras(samples: Sequence[Sample]) -> tuple[frozenset[str], frozenset[str], int]:
    """vLLM keeps a line for each state there ever was; its value is when, and the last counts."""
    if not samples:
        return frozenset(), frozenset(), 0
    said = max(samples, key=lambda s: s.value).labels
    return (
        _names(said.get("running_lora_adapters", "")),
        _names(said.get("waiting_lora_adapters", "")),
        _whole(said.get("max_lora")),
    )


def _names(text: str) -> frozenset[str]:
    names = [name.strip() for name in text.split(",")]
    return frozenset([name for name in names if name][:MAX_ADAPTERS])
