"""What an endpoint picker is assembled from, whatever it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from wayside.settings.picking import PickingSettings
from wayside.translate.notes import Note


class HandlerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which profiles choose. ``decode``, ``prefill`` and the decider's numbers are of ``disagg``,
    ``header`` and ``usual`` of ``header``, ``port`` of ``data_parallel``."""

    kind: Literal["single", "disagg", "header", "data_parallel"] = "single"
    decode: str = "decode"
    prefill: str = "prefill"
    decider: Literal["always", "uncached", "never"] = "never"
    tokens: int = 0
    prompt_tokens: int = 0
    header: str = "epp-profile"
    usual: str = ""
    port: int = 8000


class DetectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How it is told that a pool is full."""

    kind: Literal["utilization", "concurrency"] = "utilization"
    queue: float = 5.0
    kv: float = 0.8
    stale_s: float = 0.2
    most: int = 100


class BandConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How requests of one priority wait."""

    priority: int = 0
    max_requests: int = 5000
    max_bytes: int = 1_000_000_000
    ordering: Literal["fcfs", "edf", "slo-deadline"] = "fcfs"
    fairness: Literal["round-robin", "global-strict"] = "round-robin"


class FlowConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Requests wait for a full pool. Times in seconds; 0 bounds nothing, and ``patience_s`` 0
    lets nobody wait where there is no endpoint."""

    max_requests: int = 0
    max_bytes: int = 0
    ttl_s: float = 60.0
    patience_s: float = 0.0
    bands: tuple[BandConfig, ...] = ()
    usual: BandConfig = BandConfig()
    negative: BandConfig | None = None


class AdmitterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``probabilistic-admitter``: min(saturation ** ``power`` * ``scale``, 1) of the requests
    that may be shed are."""

    power: float = 5.0
    scale: float = 300.0


Called = tuple[str, str]
"""A plugin's type and name."""


class PickerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a picker is assembled from. ``profiles`` by name, at least one."""

    profiles: Mapping[str, PickingSettings]
    called: Mapping[str, tuple[Called, ...]] = {}
    """How the parts of each profile are called there: filters, scorers, and the picker."""
    handler: HandlerConfig = HandlerConfig()
    reads: Literal["json", "nothing"] = "json"
    detector: DetectorConfig = DetectorConfig()
    flow: FlowConfig | None = None
    admitter: AdmitterConfig | None = None
    file: str = ""
    """Where the endpoints are listed, with ``file-discovery``."""
    scrapes: bool = True
    testing: bool = False
    """The conformance suite's header may steer it."""
    notes: tuple[Note, ...] = ()
