"""A configuration into a director: profiles built, the handler that uses them, admission."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from wayside.endpoints import Profile
from wayside.epp import gauges
from wayside.epp.admission import Shedding
from wayside.epp.director import Admission, Director
from wayside.epp.flow_control import FlowControl
from wayside.epp.handlers import (
    ByHeader,
    DataParallel,
    Decider,
    Disaggregated,
    Handler,
    Single,
    Uncached,
    always,
    never,
)
from wayside.epp.lanes import BandRule, Lanes
from wayside.epp.metrics import EppMetrics
from wayside.epp.saturation import Concurrency, Detector, Utilization
from wayside.epp.store import Store
from wayside.epp.timing import names, timed
from wayside.fleet.picking import profile
from wayside.translate.picker_config import (
    BandConfig,
    Called,
    DetectorConfig,
    FlowConfig,
    HandlerConfig,
    PickerConfig,
)

_BLIND: Final = frozenset(
    {"prefix_cache", "precise_prefix_cache", "session_affinity", "lora_affinity", "queue",
     "kv_utilization", "running_requests", "load_aware", "context_length", "no_hit_lru",
     "topology"}
)  # fmt: skip
"""Scorers that do not go by how many requests are under way."""


class Picker:
    """A director with what has to be started, watched and stopped along with it."""

    def __init__(
        self,
        config: PickerConfig,
        store: Store,
        metrics: EppMetrics,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        scores: bool = False,
        subsets: bool = True,
    ) -> None:
        """Raises :class:`ConfigError`. ``scores``: tell those of every candidate."""
        self.config = config
        self.profiles = {
            name: profile(settings, f"schedulingProfiles.{name}")
            for name, settings in config.profiles.items()
        }
        self._rememberers: list[tuple[Called, Any]] = [
            (called, part)
            for name, each in self.profiles.items()
            for called, part in zip(
                names(each, config.called.get(name, ())), each.parts, strict=True
            )
            if hasattr(part, "blocks")
        ]
        detector = _detector(config.detector, clock)
        self.flow: FlowControl | None = None
        if config.flow is not None:
            self.flow = _flow(config.flow, detector, store, metrics, clock)
        admission: Admission = self.flow or Shedding(detector, chance=_chance(config), dice=dice)
        self.director = Director(
            store,
            _handler(config.handler, self.profiles, metrics, scores=scores),
            admission,
            timed=_handler(
                config.handler,
                {
                    name: timed(each, config.called.get(name, ()), clock, metrics.plugin)
                    for name, each in self.profiles.items()
                },
                metrics,
                scores=scores,
            ),
            clock=clock,
            dice=dice,
            reads=config.reads,
            subsets=subsets,
            follows=self._follows(detector),
            rewritten=metrics.rewritten,
            scheduled=metrics.scheduled,
            prefix=partial(metrics.prefix, self._rememberers[0][0]) if self._rememberers else None,
        )
        if self._rememberers:
            gauges.blocks(
                metrics.registry,
                lambda: [(called, part.blocks) for called, part in self._rememberers],
            )
        for each in self.profiles.values():
            store.on_gone.append(each.forget)
        if self.flow is not None:
            store.on_change.append(self.flow.left)

    @property
    def reads(self) -> frozenset[str]:
        """What has to be fetched from endpoints."""
        found: frozenset[str] = frozenset().union(*(p.reads for p in self.profiles.values()))
        return found | {"vitals"} if self.config.detector.kind == "utilization" else found

    def close(self) -> None:
        """Nobody waits any longer."""
        if self.flow is not None:
            self.flow.close()

    def _follows(self, detector: Detector) -> bool:
        """Whether the end of every request has to be known."""
        if self.flow is not None or detector.counts:
            return True
        used = {s.name for p in self.config.profiles.values() for s in p.scorers}
        return not used <= _BLIND


def _chance(config: PickerConfig) -> Callable[[float], float] | None:
    if config.admitter is None:
        return None
    power, scale = config.admitter.power, config.admitter.scale
    return lambda saturation: float(min(1.0, saturation**power * scale))


def _detector(config: DetectorConfig, clock: Callable[[], float]) -> Detector:
    if config.kind == "concurrency":
        return Concurrency(config.most)
    return Utilization(clock, queue=config.queue, kv=config.kv, stale_s=config.stale_s)


def _rule(band: BandConfig) -> BandRule:
    return BandRule(
        max_requests=band.max_requests,
        max_bytes=band.max_bytes,
        ordering=band.ordering,
        fairness=band.fairness,
    )


def _flow(
    config: FlowConfig,
    detector: Detector,
    store: Store,
    metrics: EppMetrics,
    clock: Callable[[], float],
) -> FlowControl:
    lanes = Lanes(
        {band.priority: _rule(band) for band in config.bands},
        usual=_rule(config.usual),
        negative=_rule(config.negative) if config.negative is not None else None,
        max_requests=config.max_requests,
        max_bytes=config.max_bytes,
    )
    gauges.lines(
        metrics.registry, store, metrics.fairness, lanes,
        lambda: detector.saturation(store.roster),
    )  # fmt: skip
    return FlowControl(
        lanes,
        detector,
        lambda: store.roster,
        clock,
        ttl_s=config.ttl_s,
        patience_s=config.patience_s,
        told=metrics.queued,
    )


def _decider(config: HandlerConfig) -> Decider:
    if config.decider == "uncached":
        return Uncached(config.tokens, config.prompt_tokens)
    return always if config.decider == "always" else never


def _handler(
    config: HandlerConfig, profiles: dict[str, Profile], metrics: EppMetrics, *, scores: bool
) -> Handler:
    first = next(iter(profiles.values()))
    if config.kind == "disagg":
        return Disaggregated(
            profiles[config.decode],
            profiles[config.prefill],
            _decider(config),
            metrics.disaggregated,
            scores=scores,
        )
    if config.kind == "header":
        singles = {name: Single(each, scores=scores) for name, each in profiles.items()}
        return ByHeader(singles, config.usual, header=config.header)
    if config.kind == "data_parallel":
        return DataParallel(first, config.port, scores=scores)
    return Single(first, scores=scores)
