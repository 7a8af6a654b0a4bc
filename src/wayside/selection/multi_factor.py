"""Quality, latency, cost and load weighed together, among candidates that keep their limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import Settings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.endpoint import Fact
from wayside.vocab.errors import RequestError
from wayside.vocab.observed import ModelFacts, Observe, Seen, delays
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import best, min_max


class FactorWeights(Settings):
    """What each factor counts, against the others."""

    quality: NonNegativeFloat = 0.25
    """Of the model's `quality`."""
    latency: NonNegativeFloat = 0.25
    """Of how fast it has lately answered."""
    cost: NonNegativeFloat = 0.25
    """Of its price."""
    load: NonNegativeFloat = 0.25
    """Of the requests it has under way."""
    queue: NonNegativeFloat = 0.0
    """Of the requests that wait at the least busy of its servers, as those say themselves."""
    kv: NonNegativeFloat = 0.0
    """Of how full the emptiest KV cache of its servers is."""

    @model_validator(mode="after")
    def _some(self) -> FactorWeights:
        every = (self.quality, self.latency, self.cost, self.load, self.queue, self.kv)
        if sum(every) <= 0:
            raise ValueError("every weight is 0, so nothing would decide; give one a weight")
        return self


class FactorLimits(Settings):
    """Limits that a candidate has to keep. What is not known of it is taken to be kept."""

    max_tpot_ms: PositiveFloat | None = None
    """Milliseconds per token of output, at `latency_percentile`."""
    max_ttft_ms: PositiveFloat | None = None
    """Milliseconds to the first token of a stream, at `latency_percentile`."""
    max_cost_per_1m: NonNegativeFloat | None = None
    """Price of a million tokens, half of them input and half output."""
    max_inflight: PositiveInt | None = None
    """Requests under way; a candidate with this many takes no more."""
    max_queue: NonNegativeFloat | None = None
    """Requests waiting at the least busy of its servers."""
    max_kv: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the KV cache in use at the server that has most of it left."""
    min_servers: PositiveInt | None = None
    """Servers of it in rotation."""


class MultiFactorRule(Settings):
    """Example: ``{weights: {quality: 0.5, cost: 0.5}, slo: {max_ttft_ms: 800}}``"""

    weights: FactorWeights = FactorWeights()
    """`quality`, `latency`, `cost`, `load`: 0.25 each; `queue`, `kv`: 0."""
    slo: FactorLimits = FactorLimits()
    """`max_tpot_ms`, `max_ttft_ms`, `max_cost_per_1m`, `max_inflight`, `max_queue`, `max_kv`,
    `min_servers`: whoever is over one is left out."""
    latency_percentile: Annotated[float, Field(gt=0, le=100)] = 50.0
    """At which latencies are compared and held against their limits."""
    on_no_candidates: Literal["cheapest", "first", "fail"] = "cheapest"
    """Where every candidate is over a limit: the cheapest one, the first one, or 503."""


@catalog.register("selector", "multi_factor", settings=MultiFactorRule, stability="beta")
class MultiFactorSelector:
    """Quality, latency, cost and load weighed together, within limits.

    Among the candidates that keep every limit of ``slo``:

        score = w_q Q + w_l (1 - L) + w_c (1 - C) + w_load (1 - Load) + w_queue (1 - Queue)
                + w_kv (1 - KV)

    with each factor min-max normalised over them: 0 for the least, 1 for the greatest, 0.5 where
    all are equal. A candidate of which a factor is not known gets nothing for it. L is the mean of
    the normalised times to the first token (of whole answers, where that is not seen) and per
    token. The weights are divided by their sum.
    The greatest score wins; of equal ones the dice take one. Source: vSR's
    ``pkg/selection/multi_factor.go``.
    """

    observes = True

    def __init__(self, rule: MultiFactorRule) -> None:
        self._rule = rule
        self._facts: dict[str, ModelFacts] = {}
        weights, slo = rule.weights, rule.slo
        limits = (slo.max_queue, slo.max_kv, slo.min_servers)
        self._asks_servers = bool(weights.queue or weights.kv) or any(
            limit is not None for limit in limits
        )
        self.reads: tuple[Fact, ...] = ("vitals",) if self._asks_servers else ()

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        self._facts = {model.name: model for model in facts}

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Picked]:
        models = tuple([c.model for c in candidates])
        seen = yield from ask(
            Observe(models, (self._rule.latency_percentile,), self._asks_servers)
        )
        facts = [self._facts.get(c.model) or ModelFacts(name=c.model) for c in candidates]
        over = [self._over(f, s) for f, s in zip(facts, seen, strict=True)]
        scores = self.scores(facts, seen, [not why for why in over])
        if all(over):
            return self._none(candidates, facts, over)
        at = best(scores, dice)
        left = [f"{c.name} {why}" for c, why in zip(candidates, over, strict=True) if why]
        why = told(candidates, scores) + (f"; left out: {', '.join(left)}" if left else "")
        return Picked(candidates[at], why, scores)

    def scores(
        self, facts: Sequence[ModelFacts], seen: Sequence[Seen], within: Sequence[bool]
    ) -> tuple[float | None, ...]:
        """Each candidate's score, 0..1; ``None`` for one that is not within its limits."""
        w = self._rule.weights

        def normal(values: list[float | None]) -> tuple[float | None, ...]:
            kept = [v if ok else None for v, ok in zip(values, within, strict=True)]
            return min_max(kept)

        quality = normal([f.quality for f in facts])
        first = normal(delays(seen))
        each = normal([_of(s.tpot_s) for s in seen])
        cost = normal([f.price for f in facts])
        load = normal([float(s.in_flight) for s in seen])
        queue = normal([s.waiting for s in seen])
        kv = normal([s.kv for s in seen])
        whole = w.quality + w.latency + w.cost + w.load + w.queue + w.kv
        found: list[float | None] = []
        for i, ok in enumerate(within):
            if not ok:
                found.append(None)
                continue
            times = [t for t in (first[i], each[i]) if t is not None]
            slow = sum(times) / len(times) if times else None
            score = w.quality * (quality[i] or 0.0)
            score += w.latency * _less(slow) + w.cost * _less(cost[i]) + w.load * _less(load[i])
            score += w.queue * _less(queue[i]) + w.kv * _less(kv[i])
            found.append(score / whole)
        return tuple(found)

    def _over(self, facts: ModelFacts, seen: Seen) -> str:
        """Which limit a candidate is over, for people; ``""`` where it keeps them all."""
        slo = self._rule.slo
        tpot, ttft, price = _of(seen.tpot_s), _of(seen.ttft_s), facts.price
        if slo.max_inflight is not None and seen.in_flight >= slo.max_inflight:
            return f"has {seen.in_flight} in flight"
        if slo.max_ttft_ms is not None and ttft is not None and ttft * 1e3 > slo.max_ttft_ms:
            return f"needs {ttft * 1e3:.0f} ms to begin"
        if slo.max_tpot_ms is not None and tpot is not None and tpot * 1e3 > slo.max_tpot_ms:
            return f"needs {tpot * 1e3:.0f} ms per token"
        if slo.max_cost_per_1m is not None and price is not None and price > slo.max_cost_per_1m:
            return f"costs {price:g} per million"
        if slo.max_queue is not None and seen.waiting is not None and seen.waiting > slo.max_queue:
            return f"has {seen.waiting:g} waiting"
        if slo.max_kv is not None and seen.kv is not None and seen.kv > slo.max_kv:
            return f"has {seen.kv:.0%} of its KV cache in use"
        if (
            slo.min_servers is not None
            and seen.servers is not None
            and seen.servers < slo.min_servers
        ):
            return f"has {seen.servers} servers"
        return ""

    def _none(
        self, candidates: tuple[Candidate, ...], facts: Sequence[ModelFacts], over: Sequence[str]
    ) -> Picked:
        """What follows when every candidate is over a limit."""
        said = ", ".join(f"{c.name} {why}" for c, why in zip(candidates, over, strict=True))
        if self._rule.on_no_candidates == "fail":
            raise RequestError(
                "Every model for this request is over its limits; try again later.",
                status=503,
                kind="server_error",
                code="no_model_within_limits",
                headers=(("retry-after", "1"),),
            )
        at = 0
        if self._rule.on_no_candidates == "cheapest":
            prices = [float("inf") if f.price is None else f.price for f in facts]
            at = prices.index(min(prices))
        how = self._rule.on_no_candidates
        return Picked(candidates[at], f"the {how}: every candidate is over a limit: {said}")


def _of(values: tuple[float | None, ...]) -> float | None:
    return values[0] if values else None


def _less(normal: float | None) -> float:
    """What less of something is worth: 1 - x, and nothing where x is not known."""
    return 0.0 if normal is None else 1.0 - normal
