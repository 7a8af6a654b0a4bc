"""What to simulate: models, the servers they live on, and how often those servers fail.

Everything is frozen and rejects unknown keys. Times are seconds, rates are 0..1.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

Rate = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]

_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_strict)
class StatusRate:
    """A share of requests is answered with an HTTP error instead of a completion."""

    rate: Rate
    code: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after_s: Seconds | None = None


@dataclass(frozen=True, slots=True, config=_strict)
class ResetRate:
    """A share of connections is reset (TCP RST): before the head, or `after` that many chunks."""

    rate: Rate
    after: Count | None = None


@dataclass(frozen=True, slots=True, config=_strict)
class CloseRate:
    """A share of connections is closed (TCP FIN) with the answer missing or unfinished."""

    rate: Rate
    after: Count | None = None


@dataclass(frozen=True, slots=True, config=_strict)
class StallRate:
    """A share of answers hangs for `seconds`: before the head, or `after` that many chunks."""

    rate: Rate
    seconds: Seconds = 30.0
    after: Count | None = None


@dataclass(frozen=True, slots=True, config=_strict)
class SlowRate:
    """A share of answers takes `factor` times as long, both to start and per token."""

    rate: Rate
    factor: Annotated[float, Field(gt=0, le=1e6)] = 10.0


@dataclass(frozen=True, slots=True, config=_strict)
class FaultRates:
    """How often each fault strikes by itself. The same `seed` gives the same run of faults."""

    status: StatusRate | None = None
    reset: ResetRate | None = None
    close: CloseRate | None = None
    stall: StallRate | None = None
    slow: SlowRate | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, config=_strict)
class SimModel:
    """One served model. The defaults answer at once, which is what a test wants.

    A request takes `ttft_s + prefill_s_per_token * (prompt tokens not cached)` to its first token
    and `itl_s` for each one after it. Both grow with the batch: at a full batch by the factor
    `slowdown_at_full`, linearly below. `jitter` spreads them by that fraction, up and down.
    """

    name: str
    aliases: tuple[str, ...] = ()
    ttft_s: Seconds = 0.0
    itl_s: Seconds = 0.0
    prefill_s_per_token: Seconds = 0.0
    slowdown_at_full: Annotated[float, Field(ge=1)] = 1.0
    jitter: Rate = 0.0
    max_running: Some = 256
    """Requests generated at the same time (vLLM's --max-num-seqs); the rest wait."""
    max_waiting: Count | None = None
    """Requests that may wait; one more is answered 503. None is no limit, as in vLLM."""
    max_model_len: Some = 131072
    """Prompt plus answer, in tokens."""
    answer_tokens: Some = 40
    answer: str | None = None
    """Always answer exactly this, instead of the seeded text."""
    kv_blocks: Some = 8192
    block_size: Some = 16
    """Tokens in one block of the simulated KV cache."""
    dimensions: Some = 384
    """Numbers in an embedding, unless the request says otherwise."""
    version: str | None = None
    """The dated name a provider echoes; None looks it up, or makes one up."""
    loras: tuple[str, ...] = ()
    """LoRA adapters there are from the start; each is asked for by its name."""
    max_loras: Some | None = None
    """Different adapters that run at once. None: one if there are `loras`, else no LoRA at all."""
    lora_load_s: Seconds = 0.0
    """Added to the first token of the request that brings an adapter to the GPU."""
    kv_transfer_s_per_token: Seconds = 0.0
    """Each prompt token whose cache another server computed costs this instead of a prefill."""
    kv_offer_s: Seconds = 480.0
    """How long a prompt read for another server is kept for it (vLLM's default)."""

    @property
    def lora_slots(self) -> int:
        """Different adapters that run at once; 0 without LoRA."""
        return self.max_loras or (1 if self.loras else 0)


@dataclass(frozen=True, slots=True, config=_strict)
class TlsFiles:
    """Serve over TLS with this certificate chain and private key (PEM)."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True, config=_strict)
class KvEvents:
    """Tell over ZeroMQ what the KV cache holds, as vLLM does with --kv-events-config."""

    endpoint: Annotated[str, Field(pattern=r"^(tcp|ipc|inproc)://.+")]
    """Where, in ZeroMQ's words: `tcp://*:5557`. Port `*` takes any free one."""
    bind: bool = True
    """False connects to a subscriber that listens there."""
    topic: str | None = None
    """None is `kv@<pod_ip>:<port>@<model>`."""
    hash_seed: str | None = "42"
    """What PYTHONHASHSEED would be. With None nobody else can compute the hashes."""
    rank: Count = 0
    """The data-parallel rank that is told."""
    most_unsent: Some = 100_000
    """Messages kept for a slow subscriber; more are dropped (vLLM's `hwm`)."""


@dataclass(frozen=True, slots=True, config=_strict)
class SimServer:
    """One listening address: a vLLM replica (usually one model) or a provider (many models)."""

    models: Annotated[tuple[SimModel, ...], Field(min_length=1)]
    replica: Count = 0
    provider: Literal["openai"] | None = None
    """None behaves like vLLM."""
    pod: str | None = None
    """The name told in `x-inference-pod`. None is `sim-<replica>`; a provider then tells none."""
    namespace: str | None = None
    """The Kubernetes namespace told in `x-inference-namespace`. None is `default`."""
    pod_ip: str | None = None
    """The address that others find it at. None is `host`, or 127.0.0.1 if that is any address."""
    role: Literal["both", "prefill", "decode"] = "both"
    """A decode server never reads prompts for others, a prefill server never fetches any."""
    sidecar: bool = False
    """Obey `x-prefiller-host-port`, as llm-d's sidecar of a decode server does."""
    kv_events: KvEvents | None = None
    """Where to tell what the KV cache holds; None tells nobody. Wants pyzmq."""
    metrics: Literal["vllm", "vllm_v0", "sglang", "trtllm"] = "vllm"
    """In whose names /metrics speaks."""
    gpu_memory_mib: Some = 81_559
    """Of the GPU on /gpu_metrics; the default is an H100's."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes any free port."""
    unix: Path | None = None
    """Listen on this Unix socket instead of host and port."""
    tls: TlsFiles | None = None
    api_keys: tuple[str, ...] = ()
    """Keys accepted as a bearer token. None given: vLLM asks for no key, a provider takes any."""
    faults: FaultRates = FaultRates()
    keep: Count = 100
    """How many requests are remembered."""
    keep_alive_s: Seconds | None = None
    """Close a connection idle for this long. None keeps it."""
    max_body_bytes: Some = 32 * 1024 * 1024
    max_head_bytes: Some = 64 * 1024

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "SimServer":
        names = [
            name for model in self.models for name in (model.name, *model.aliases, *model.loras)
        ]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"names served twice on one address: {', '.join(doubled)}")
        if self.sidecar and self.role == "prefill":
            raise ValueError("sidecar: a prefill server has none; use role decode or both")
        return self


@dataclass(frozen=True, slots=True, config=_strict)
class GpuExporter:
    """An address with the GPUs of all servers on /metrics, like the DCGM exporter of one node."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9400
    """0 takes any free port."""


@dataclass(frozen=True, slots=True, config=_strict)
class SimSettings:
    """Everything one simulator process serves."""

    servers: Annotated[tuple[SimServer, ...], Field(min_length=1)]
    gpu_exporter: GpuExporter | None = None
    """One page with the GPUs of all the servers; None is none."""


_SETTINGS: TypeAdapter[SimSettings] = TypeAdapter(SimSettings)
_FAULTS: TypeAdapter[FaultRates] = TypeAdapter(FaultRates)


def parse_settings(document: Mapping[str, object]) -> SimSettings:
    """Settings from a parsed file; `pydantic.ValidationError` names what is wrong and where."""
    return _SETTINGS.validate_python(document)


def parse_fault_rates(document: object) -> FaultRates:
    """Fault rates from parsed JSON or YAML; raises `pydantic.ValidationError`."""
    return _FAULTS.validate_python(document)
