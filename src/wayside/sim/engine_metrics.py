"""What one engine counts and measures, as vLLM's families of metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .metrics import PER_TOKEN_S, REQUEST_S, TOKENS, TTFT_S, Histogram, Labels, Sample
from .settings import SimModel

if TYPE_CHECKING:
    from .engine import Sequence

ENDINGS = ("stop", "length", "abort")


class EngineMetrics:
    """Counters and histograms since the engine was made."""

    def __init__(self) -> None:
        self._prompt_tokens = self._generated = self._hit = 0
        self._ended = dict.fromkeys(ENDINGS, 0)
        self._ttft, self._per_token = Histogram(TTFT_S), Histogram(PER_TOKEN_S)
        self._e2e, self._queued = Histogram(REQUEST_S), Histogram(REQUEST_S)
        self._prefill, self._decode = Histogram(REQUEST_S), Histogram(REQUEST_S)
        self._inference = Histogram(REQUEST_S)
        self._prompt_sizes, self._answer_sizes = Histogram(TOKENS), Histogram(TOKENS)

    @property
    def hit_rate(self) -> float:
        """Share of all prompt tokens that were found in the cache, 0..1."""
        return self._hit / self._prompt_tokens if self._prompt_tokens else 0.0

    def entered(self, prompt_tokens: int, cached: int) -> None:
        """A request got its slot."""
        self._prompt_tokens += prompt_tokens
        self._hit += cached

    def gave_up(self) -> None:
        """A client left before its request got a slot."""
        self._ended["abort"] += 1

    def left(self, sequence: "Sequence", ending: str, now: float, made: int) -> None:
        """A request is over; `ending` is one of ENDINGS."""
        self._generated += made
        self._ended[ending] += 1
        self._e2e.observe(now - sequence.arrived)
        self._queued.observe(sequence.started - sequence.arrived)
        self._inference.observe(now - sequence.started)
        self._prompt_sizes.observe(sequence.work.prompt_tokens)
        self._answer_sizes.observe(made)
        if now >= sequence.first_at:
            self._ttft.observe(sequence.first_at - sequence.arrived)
            self._prefill.observe(sequence.first_at - sequence.started)
            self._decode.observe(now - sequence.first_at)
        if made > 1:
            self._per_token.observe(sequence.itl_s, made - 1)

    def samples(
        self, labels: Labels, gauges: Mapping[str, float], live: int, model: SimModel
    ) -> dict[str, list[Sample]]:
        """Samples by family; `live` tokens are made by sequences that still run."""
        plain = {
            **gauges,
            "vllm:gpu_cache_usage_perc": gauges["vllm:kv_cache_usage_perc"],
            "vllm:prefix_cache_queries_total": self._prompt_tokens,
            "vllm:prefix_cache_hits_total": self._hit,
            "vllm:num_preemptions_total": 0,
            "vllm:prompt_tokens_total": self._prompt_tokens,
            "vllm:generation_tokens_total": self._generated + live,
        }
        histograms = {
            "vllm:time_to_first_token_seconds": self._ttft,
            "vllm:time_per_output_token_seconds": self._per_token,
            "vllm:inter_token_latency_seconds": self._per_token,
            "vllm:e2e_request_latency_seconds": self._e2e,
            "vllm:request_queue_time_seconds": self._queued,
            "vllm:request_prefill_time_seconds": self._prefill,
            "vllm:request_decode_time_seconds": self._decode,
            "vllm:request_inference_time_seconds": self._inference,
            "vllm:request_prompt_tokens": self._prompt_sizes,
            "vllm:request_generation_tokens": self._answer_sizes,
        }
        out: dict[str, list[Sample]] = {k: [("", labels, v)] for k, v in plain.items()}
        out |= {name: histogram.samples(labels) for name, histogram in histograms.items()}
        out["vllm:request_success_total"] = [
            ("", {**labels, "finished_reason": ending}, count)
            for ending, count in self._ended.items()
        ]
        cache = {
            "block_size": str(model.block_size),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "gpu_memory_utilization": "0.9",
            "num_gpu_blocks": str(model.kv_blocks),
            "num_cpu_blocks": "None",
        }
        out["vllm:cache_config_info"] = [("", {**cache, **labels}, 1.0)]
        return out


FAMILIES: dict[str, tuple[str, str]] = {
    "vllm:num_requests_running": ("gauge", "Number of requests in model execution batches."),
    "vllm:num_requests_waiting": ("gauge", "Number of requests waiting to be processed."),
    "vllm:kv_cache_usage_perc": ("gauge", "KV-cache usage. 1 means 100 percent usage."),
    "vllm:gpu_cache_usage_perc": ("gauge", "GPU KV-cache usage. 1 means 100 percent usage."),
    "vllm:prefix_cache_queries_total": ("counter", "Prompt tokens looked up in the cache."),
    "vllm:prefix_cache_hits_total": ("counter", "Prompt tokens found in the cache."),
    "vllm:num_preemptions_total": ("counter", "Preemptions; the simulator never preempts."),
    "vllm:prompt_tokens_total": ("counter", "Number of prefill tokens processed."),
    "vllm:generation_tokens_total": ("counter", "Number of generation tokens processed."),
    "vllm:request_success_total": ("counter", "Count of requests by how they ended."),
    "vllm:time_to_first_token_seconds": ("histogram", "Time to first token in seconds."),
    "vllm:time_per_output_token_seconds": ("histogram", "Time per output token in seconds."),
    "vllm:inter_token_latency_seconds": ("histogram", "Inter-token latency in seconds."),
    "vllm:e2e_request_latency_seconds": ("histogram", "End to end latency in seconds."),
    "vllm:request_queue_time_seconds": ("histogram", "Time in the WAITING phase."),
    "vllm:request_prefill_time_seconds": ("histogram", "Time in the PREFILL phase."),
    "vllm:request_decode_time_seconds": ("histogram", "Time in the DECODE phase."),
    "vllm:request_inference_time_seconds": ("histogram", "Time in the RUNNING phase."),
    "vllm:request_prompt_tokens": ("histogram", "Prompt tokens per request."),
    "vllm:request_generation_tokens": ("histogram", "Generated tokens per request."),
    "vllm:cache_config_info": ("gauge", "Information of the LLMEngine CacheConfig"),
    "vllm:lora_requests_info": ("gauge", "Adapters that run and wait; the value is the time."),
}
