"""Models and their servers: health, load, and how they did."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside
from wayside.console.passed import Passing
from wayside.console.shapes import ModelReplica, ModelRow, Models
from wayside.console.spread import ms
from wayside.console.sums import currency_of
from wayside.console.told import told
from wayside.fleet import Pool, Replica
from wayside.gateway.api import Endpoint
from wayside.net.turns import Turns
from wayside.settings import ModelSettings
from wayside.telemetry.metrics import Counter, Histogram, Metrics, Series
from wayside.vocab.endpoint import NEVER

_WORDS = {
    "failures": "requests to it failed",
    "errors": "it answered too often with errors",
    "slow": "its answers begin too late",
    "retry_after": "it asked to be left alone",
    "health": "its health check fails",
    "models": "it does not have the model",
}
"""Why a replica is left out."""


class ModelsData:
    """From the fleet, and the metrics since the start."""

    def __init__(self, inside: Inside, passing: Passing) -> None:
        self._inside, self._passing = inside, passing

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/models", self._get, "Models, their servers, and how they do.",
                     answer=Models),
        ]  # fmt: skip

    async def _get(self, _: HttpRequest) -> Response:
        return told(await self.now())

    async def now(self) -> Models:
        self._passing.fold()
        turns = Turns()
        metrics = self._inside.telemetry.metrics
        requests = _by_model(metrics, "wayside_requests_total")
        errors = _by_model(metrics, "wayside_request_errors_total")
        tokens = _by_model(metrics, "wayside_tokens_total")
        costs = _by_model(metrics, "wayside_cost_total")
        took = _histogram(metrics, "wayside_request_duration_seconds")
        rows: list[ModelRow] = []
        for name, model in self._inside.settings().models.items():
            series = took.values.get((name,)) if took is not None else None
            p95 = None if took is None or series is None else quantile(took.bounds, series, 0.95)
            price = model.price
            rows.append(
                {
                    "name": name,
                    "provider": model.provider or "",
                    "local": model.provider is None,
                    "price": None
                    if price is None
                    else {"prompt": price.prompt_per_1m, "completion": price.completion_per_1m},
                    "context": model.context_window,
                    "tiers": None if model.tiers is None else list(model.tiers),
                    "requests": int(requests.get(name, 0)),
                    "errors": int(errors.get(name, 0)),
                    "p95_ms": None if p95 is None else ms(p95),
                    "tokens": int(tokens.get(name, 0)),
                    "cost": round(costs.get(name, 0.0), 9),
                    "replicas": self._replicas(name, model),
                }
            )
            await turns.rest()
        return {"currency": currency_of(self._inside.telemetry.prices), "models": rows}

    def _replicas(self, name: str, model: ModelSettings) -> list[ModelReplica]:
        pool = self._inside.fleet.pools.get(name)
        if pool is None:
            return []
        now = asyncio.get_running_loop().time()
        return [self._replica(name, pool, replica, now) for replica in pool.everybody]

    def _replica(self, model: str, pool: Pool, replica: Replica, now: float) -> ModelReplica:
        state, why = standing(pool, replica, now)
        vitals = replica.vitals if replica.vitals.at > NEVER else None
        server = self._passing.servers.get((model, replica.name))
        well = server.spread if server is not None and server.spread.count else None
        return {
            "endpoint": replica.name,
            "state": state,
            "why": why,
            "in_flight": replica.in_flight,
            "waiting": None if vitals is None else vitals.waiting,
            "running": None if vitals is None else vitals.running,
            "kv_use": None if vitals is None else round(vitals.kv, 4),
            "errors": 0 if server is None else server.errors,
            "p95_ms": None if well is None else ms(well.quantile(0.95)),
            "scraped_at": None
            if vitals is None
            else round(self._passing.clock() - (now - vitals.at), 3),
        }


def standing(pool: Pool, replica: Replica, now: float) -> tuple[str, str]:
    """A word, and a sentence where there is more to say: ``ready``, ``standby``, ``trial``,
    ``ejected``, ``draining``, ``asleep`` or ``unknown``."""
    if replica.retired:
        return "draining", "it is no longer in the settings"
    if replica.asleep:
        return "asleep", "it was put to sleep"
    if replica.down:
        return "ejected", "; ".join(_WORDS.get(why, why) for why in sorted(replica.down))
    if replica.out_until > now:
        left = replica.out_until - now
        why = _WORDS.get(replica.why, replica.why or "requests to it failed")
        return "ejected", f"{why}; tried again in {left:.0f} s"
    if replica.on_trial or replica.out_until:
        return "trial", "its pause is over; one request tries it"
    if replica.standby:
        others = [r for r in pool.in_rotation if not r.standby]
        return ("standby", "asked only while no other can be") if others else ("ready", "")
    if replica.weight <= 0:
        return "standby", "its weight is 0"
    if replica.troubled:
        return (
            "ready",
            f"{replica.failures + replica.errors} went wrong since the last that did not",
        )
    return "ready", ""


def quantile(bounds: tuple[float, ...], series: Series, share: float) -> float | None:
    """As Prometheus's ``histogram_quantile`` has it: even within a bucket, and what is beyond the
    last bound is the last bound."""
    if not series.count:
        return None
    wanted, below, low = share * series.count, 0, 0.0
    for bound, count in zip(bounds, series.buckets, strict=False):
        if below + count >= wanted:
            return low + (bound - low) * (wanted - below) / count if count else bound
        below, low = below + count, bound
    return bounds[-1]


def _by_model(metrics: Metrics, name: str) -> Mapping[str, float]:
    """A counter's sums by its label ``model``."""
    found: dict[str, float] = {}
    for metric in metrics.declared():
        if isinstance(metric, Counter) and metric.name == name:
            at = metric.labels.index("model")
            for labels, value in metric.values.items():
                found[labels[at]] = found.get(labels[at], 0.0) + value
    return found


def _histogram(metrics: Metrics, name: str) -> Histogram | None:
    found = [m for m in metrics.declared() if isinstance(m, Histogram) and m.name == name]
    return found[0] if found else None
