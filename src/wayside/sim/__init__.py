"""Simulated model servers: many models and replicas in one process, for tests and demos.

Each one answers the OpenAI API the way vLLM (or a cloud provider) does, keeps a real queue whose
metrics move, breaks on request, and remembers what it was sent. None of them runs a model.

    async with serve_sim([SimModel("small"), SimModel("large", ttft_s=0.2)]) as sims:
        client = AsyncOpenAI(base_url=sims[0].url + "/v1", api_key="unused")
        ...
        assert sims[0].stats.completed == 1
"""

from .faults import Fault
from .recording import Recorded, Stats, Took
from .replica import Replica
from .serve import Sim, run, serve_gpus, serve_sim
from .settings import (
    CloseRate,
    FaultRates,
    GpuExporter,
    KvEvents,
    ResetRate,
    SimModel,
    SimServer,
    SimSettings,
    SlowRate,
    StallRate,
    StatusRate,
    TlsFiles,
    parse_settings,
)
from .tokens import count_tokens, token_ids, token_text
from .transfers import TransferTally

__all__ = [
    "CloseRate",
    "Fault",
    "FaultRates",
    "GpuExporter",
    "KvEvents",
    "Recorded",
    "Replica",
    "ResetRate",
    "Sim",
    "SimModel",
    "SimServer",
    "SimSettings",
    "SlowRate",
    "StallRate",
    "Stats",
    "StatusRate",
    "TlsFiles",
    "Took",
    "TransferTally",
    "count_tokens",
    "parse_settings",
    "run",
    "serve_gpus",
    "serve_sim",
    "token_ids",
    "token_text",
]
