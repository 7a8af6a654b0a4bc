"""Prefer servers that are predicted to answer soon, from what their answers took so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from wayside.catalog import catalog
from wayside.endpoints import HIT, HITS, TPOT, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import NEVER, Endpoint, Fact, Need, Roster, Vitals
from wayside.vocab.ridge import Ridge

TTFT_HEADERS = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
TPOT_HEADERS = ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")

_FEATURES = 6  # 1, kv, waiting / 10, running / 10, tokens not cached / 1000, in flight / 10
_LONGEST_S = 600.0
_LEAST_S = 1e-4
_MOST = 8_192
_MUCH = 1_000.0  # in the units of the features: more would leave no digits for the rest
_POOL_EVERY = 32
_PATCHES = 64
_OFTEN, _SELDOM = 16.0, 8  # a server with that many answers is fitted once in so many


class LatencyRule(Settings):
    """Example: ``{headroom: most, half_life_s: 60}``"""

    ttft_weight: NonNegativeFloat = 0.8
    """Of the time to the first token."""
    tpot_weight: NonNegativeFloat = 0.2
    """Of the time per token after it, once any is known."""
    headroom: Literal["least", "most"] = "least"
    """Which of the servers that keep a request's objective is best: the one that just keeps it,
    which leaves faster ones to who needs them, or the fastest."""
    explore: float = Field(default=0.01, ge=0, le=1)
    """Share of requests for which all are rated equal, so that a server that was slow once is
    heard of again."""
    half_life_s: PositiveFloat = 120.0
    """When an answer counts for half of a new one."""

    @model_validator(mode="after")
    def _something(self) -> LatencyRule:
        if not self.ttft_weight + self.tpot_weight:
            raise ValueError("ttft_weight or tpot_weight must be above 0")
        return self


class _Sheet:
    """Predictions for one roster without what differs between requests: seconds, and seconds per
    1,000 tokens and per 10 requests in flight."""

    __slots__ = ("bases", "flights", "tokens", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.bases: list[float] = []
        self.tokens: list[float] = []
        self.flights: list[float] = []


class _Fit:
    """What one server's answers took: ``weights`` as of ``at``, and how many came since."""

    __slots__ = ("at", "news", "ridge", "weights")

    def __init__(self, half_life: float) -> None:
        self.ridge = Ridge(_FEATURES, half_life)
        self.weights: list[float] = []
        self.at = NEVER
        self.news = 0


class _Quantity:
    """Something that takes time, learnt for each server; what is not known of one is taken from
    all together."""

    __slots__ = (
        "_changed",
        "_fits",
        "_half_life",
        "_pool",
        "_since",
        "_version",
        "_weights",
    )

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._pool = Ridge(_FEATURES, half_life)
        self._since = 0  # answers since the pool was fitted
        self._weights: list[float] = []
        self._fits: dict[Endpoint, _Fit] = {}
        self._changed: deque[Endpoint] = deque(maxlen=_PATCHES)
        self._version = 0

    def see(self, endpoint: Endpoint, x: Sequence[float], y: float, now: float) -> None:
        if not isfinite(y) or y < 0.0:
            return
        y = min(y, _LONGEST_S)
        fit = self._fits.get(endpoint)
        if fit is None:
            if len(self._fits) >= _MOST:
                self.forget(next(iter(self._fits)))
            fit = self._fits[endpoint] = _Fit(self._half_life)
        fit.ridge.see(x, y, now)
        self._pool.see(x, y, now)
        self._since += 1
        fit.news += 1
        if fit.news >= _SELDOM or fit.ridge.seen < _OFTEN:
            fit.at = NEVER
            self._version += 1
            self._changed.append(endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        if self._fits.pop(endpoint, None) is not None:
            self._version += _PATCHES + 1  # sheets are made anew

    def predict(
        self, roster: Roster, tokens: Sequence[float], counts: Sequence[int], now: float
    ) -> list[float] | None:
        """Seconds, or ``None`` while nothing was seen; ``tokens`` are in thousands."""
        if self._since and (not self._weights or self._since >= _POOL_EVERY):
            self._weights = self._pool.fit([self._pool.mean] + [0.0] * (_FEATURES - 1))
            self._since = 0
            self._version += _PATCHES + 1
        if not self._weights:
            return None
        sheet = self._sheet(roster, now)
        return [
            base + token * t + flight * n
            for base, token, flight, t, n in zip(
                sheet.bases, sheet.tokens, sheet.flights, tokens, counts, strict=True
            )
        ]

    def _sheet(self, roster: Roster, now: float) -> _Sheet:
        sheet: _Sheet | None = roster.memo.get(self)
        if sheet is not None and sheet.version == self._version:
            return sheet
        vitals = _vitals(roster)
        behind = _PATCHES + 1 if sheet is None else self._version - sheet.version
        if sheet is not None and behind <= len(self._changed):
            positions = roster.positions
            for endpoint in set(list(self._changed)[-behind:]):
                i = positions.get(endpoint)
                if i is not None:
                    row = self._row(endpoint, vitals[i], now)
                    sheet.bases[i], sheet.tokens[i], sheet.flights[i] = row
            sheet.version = self._version
            return sheet
        sheet = roster.memo[self] = _Sheet(self._version)
        for endpoint, load in zip(roster.endpoints, vitals, strict=True):
            base, token, flight = self._row(endpoint, load, now)
            sheet.bases.append(base)
            sheet.tokens.append(token)
            sheet.flights.append(flight)
        return sheet

    def _row(
        self, endpoint: Endpoint, load: Sequence[float], now: float
    ) -> tuple[float, float, float]:
        w = self._weights
        fit = self._fits.get(endpoint)
        if fit is not None:
            if now - fit.at > self._half_life / 2:
                fit.ridge.fade(now)
                fit.weights, fit.at, fit.news = fit.ridge.fit(w), now, 0
            w = fit.weights
        base = w[0] + w[1] * load[0] + w[2] * load[1] + w[3] * load[2]
        return max(base, _LEAST_S), w[4], w[5] / 10


@catalog.register("scorer", "latency", settings=LatencyRule, stability="beta")
class LatencyScorer:
    """Prefers servers that are predicted to answer soon, learnt from their answers.

    For each server, time to the first token = w . (1, KV cache in use, waiting / 10, running / 10,
    tokens of the prompt that it has not cached / 1000, our requests in flight / 10), and time per
    token likewise: a ridge regression that forgets (:mod:`wayside.vocab.ridge`), held to that of
    all servers together as by one answer, so that a server nobody has heard of is as the others
    would be with its load. The features are those of llm-d's latency predictor (spec 3.9) and
    requests in flight, which are known at once. Answers that are not streamed are learnt apart:
    they begin when they are whole.

    The score is the least prediction / the server's, weighted. Where the request says what it
    wants (``x-slo-ttft-ms``, ``x-slo-tpot-ms``), r = prediction / objective decides: 0.5 + 0.5 r
    (least headroom first), or 0.5 + 0.5 (1 - r) (most), where all objectives are kept, else 0.5 /
    the greatest r (llm-d's ``latency-scorer``, spec 3.4, has these tiers).
    """

    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: LatencyRule) -> None:
        self._rule = rule
        self._first = _Quantity(rule.half_life_s)
        self._whole = _Quantity(rule.half_life_s)
        self._per_token = _Quantity(rule.half_life_s)

    def score(self, need: Need, roster: Roster) -> Scores:
        if need.dice() < self._rule.explore:
            return {}
        streams = need.shape.stream is True
        counts = [e.in_flight for e in roster.endpoints]
        size, kilo = len(counts), need.tokens / 1000
        tokens = [kilo] * size
        for i, share in need.memo.get(HITS, {}).items():
            if i < size:
                tokens[i] = kilo * (1.0 - share)
        # time, weight, objective
        sorts = []
        for quantity, weight, names in (
            (self._first if streams else self._whole, self._rule.ttft_weight, TTFT_HEADERS),
            (self._per_token if streams else None, self._rule.tpot_weight, TPOT_HEADERS),
        ):
            times = (
                quantity.predict(roster, tokens, counts, need.now) if quantity and weight else None
            )
            if times is not None:
                wanted = _objective(need.headers, names) if streams else None
                sorts.append((times, weight, wanted))
        if any([wanted for _, _, wanted in sorts]):
            return self._by_objective([s for s in sorts if s[2] is not None])
        scores = [0.0] * size
        total = sum([weight for _, weight, _ in sorts])
        for times, weight, _ in sorts:
            best = min(times) * (weight / total)
            scores = [s + best / t for s, t in zip(scores, times, strict=True)]
        return scores if len(sorts) < 2 else [s if s < 1.0 else 1.0 for s in scores]

    def _by_objective(self, sorts: list[tuple[list[float], float, float | None]]) -> list[float]:
        shares = [[t / (wanted or 1.0) for t in times] for times, _, wanted in sorts]
        total = sum([weight for _, weight, _ in sorts])
        weights = [weight / total for _, weight, _ in sorts]
        least = self._rule.headroom == "least"
        scores = []
        for own in zip(*shares, strict=True):
            worst = max(own)
            if worst > 1.0:
                scores.append(0.5 / worst)
            else:
                used = min(1.0, sum([w * r for w, r in zip(weights, own, strict=True)]))
                scores.append(0.5 + 0.5 * (used if least else 1.0 - used))
        return scores

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        uncached = need.tokens / 1000 * (1.0 - need.memo.get(HIT, 0.0))
        others = max(0, endpoint.in_flight - 1)  # this one is in already
        load = _load(endpoint.vitals)
        need.memo[self, endpoint] = (1.0, *load, min(uncached, _MUCH), min(others / 10, _MUCH))

    def answered(self, need: Need, endpoint: Endpoint, seconds: float) -> None:
        x = need.memo.get((self, endpoint))
        if x is not None:
            quantity = self._first if need.shape.stream is True else self._whole
            quantity.see(endpoint, x, seconds, need.now + seconds)

    def ended(self, need: Need, endpoint: Endpoint) -> None:
        x = need.memo.pop((self, endpoint), None)
        seconds = need.memo.get(TPOT)
        if x is not None and seconds is not None:
            self._per_token.see(endpoint, x, seconds, need.now)

    def forget(self, endpoint: Endpoint) -> None:
        for quantity in (self._first, self._whole, self._per_token):
            quantity.forget(endpoint)


def _load(vitals: Vitals) -> tuple[float, float, float]:
    return (
        min(1.0, max(0.0, vitals.kv)),
        min(_MUCH, max(0.0, vitals.waiting / 10)),
        min(_MUCH, max(0.0, vitals.running / 10)),
    )


def _vitals(roster: Roster) -> list[tuple[float, ...]]:
    """Of each server; their mean for those that said nothing."""
    key = "latency: vitals"
    found: list[tuple[float, ...]] | None = roster.memo.get(key)
    if found is None:
        known = [_load(e.vitals) for e in roster.endpoints if e.vitals.at != NEVER]
        mean = tuple([sum(v) / len(known) for v in zip(*known, strict=True)]) or (0.0, 0.0, 0.0)
        found = roster.memo[key] = [
            mean if e.vitals.at == NEVER else _load(e.vitals) for e in roster.endpoints
        ]
    return found


def _objective(headers: Mapping[str, str], names: Sequence[str]) -> float | None:
    """Seconds, from the first of the headers that is sent; ``None`` where it says none."""
    for name in names:
        said = headers.get(name)
        if said is not None:
            try:
                seconds = float(said) / 1000
            except ValueError:
                return None
            return seconds if isfinite(seconds) and seconds > 0.0 else None
    return None
