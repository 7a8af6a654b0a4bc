"""Prefer servers whose GPUs have time and memory left, as an exporter (DCGM) says."""

from __future__ import annotations

from math import nextafter

from pydantic import NonNegativeFloat, PositiveFloat, model_validator

from wayside.catalog import catalog
from wayside.endpoints import Scores, of_known
from wayside.settings import Settings
from wayside.vocab.endpoint import NEVER, Endpoint, Fact, Need, Roster, Vitals
from wayside.vocab.outcome import HeaderPairs

HEADER = "x-wayside-gpu-load"
DEGRADED: HeaderPairs = ((HEADER, "degraded"),)


class GpuLoadRule(Settings):
    """Example: ``{utilization: 1, memory: 0.5, max_age_s: 10}``"""

    utilization: NonNegativeFloat = 0.6
    """Weight of the share of time in which the GPUs are busy."""
    memory: NonNegativeFloat = 0.1
    """Weight of the share of their memory in use; engines that take all of it at the start say
    little by it."""
    in_flight: NonNegativeFloat = 0.3
    """Weight of how many requests of ours are there, against the busiest: it tells servers apart
    between two readings of an exporter, which are seconds apart."""
    max_age_s: PositiveFloat = 30.0
    """A reading older than that is as none."""

    @model_validator(mode="after")
    def _something(self) -> GpuLoadRule:
        if not self.utilization + self.memory:
            raise ValueError(
                "utilization or memory must be above 0; active_requests needs neither"
            )
        return self


@catalog.register(
    "scorer", "gpu_load", settings=GpuLoadRule, stability="beta", aliases=("gpu-load-aware",)
)
class GpuLoadScorer:
    """Prefers servers with idle GPUs, or by their own load where no exporter tells.

    1 - (u * utilisation + m * memory + f * n / max n) / (u + m + f), where n are requests in
    flight, u, m and f the weights. Where one of the servers has no reading, or one that is too
    old, all are rated by the mean of KV cache in use, queue and running requests instead of its
    GPUs, ``degraded`` is true, and the answer's header ``x-wayside-gpu-load: degraded`` says so:
    figures of different sorts would favour whoever's exporter is dead.
    """

    reads: tuple[Fact, ...] = ("gpu", "vitals")

    def __init__(self, rule: GpuLoadRule) -> None:
        self._utilization, self._memory = rule.utilization, rule.memory
        total = rule.utilization + rule.memory + rule.in_flight
        self._flight = rule.in_flight / total
        self._reported = 1.0 - self._flight
        self._max_age = rule.max_age_s
        self.degraded = False
        """Whether the newest rating was made without GPUs."""

    def score(self, need: Need, roster: Roster) -> Scores:
        known = roster.memo.get(self)
        if known is None:
            known = roster.memo[self] = self._read(roster)
        oldest, by_gpu = known
        self.degraded = degraded = need.now - oldest > self._max_age
        need.memo[self] = degraded
        idle = self._by_engine(roster) if degraded else by_gpu
        counts = [e.in_flight for e in roster.endpoints]
        most, flight = max(counts), self._flight
        if not most or not flight:
            return idle
        scale = flight / most
        if most * scale > flight:  # by rounding, and a score would be less than 0
            scale = nextafter(scale, 0.0)
        return [rest - n * scale for rest, n in zip(idle, counts, strict=True)]

    def says(self, need: Need, endpoint: Endpoint) -> HeaderPairs:
        return DEGRADED if need.memo.get(self) else ()

    def _read(self, roster: Roster) -> tuple[float, list[float]]:
        """When the oldest reading is from (``NEVER`` where one is missing), and what is left of
        GPUs by them, of 1, before requests in flight are taken off."""
        said = [e.vitals for e in roster.endpoints]
        oldest = min([_read_at(v) for v in said])
        return oldest, [self._flight + self._reported * (1.0 - self._busy(v)) for v in said]

    def _busy(self, vitals: Vitals) -> float:
        used = _share(vitals.gpu or 0.0)
        if vitals.gpu_memory is None:
            return used
        u, m = self._utilization, self._memory
        return _share((u * used + m * _share(vitals.gpu_memory)) / (u + m))

    def _by_engine(self, roster: Roster) -> list[float]:
        key = (self, "engine")
        found: list[float] | None = roster.memo.get(key)
        if found is None:
            sorts = (
                of_known(roster, lambda v: v.waiting),
                of_known(roster, lambda v: v.running),
                of_known(roster, lambda v: v.kv, lambda used: [1.0 - _share(u) for u in used]),
            )
            found = [self._flight + self._reported * sum(s) / 3 for s in zip(*sorts, strict=True)]
            roster.memo[key] = found
        return found


def _read_at(vitals: Vitals) -> float:
    if vitals.gpu is None:
        return NEVER
    return vitals.at if vitals.gpu_at == NEVER else vitals.gpu_at


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
