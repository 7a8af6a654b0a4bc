"""The last fifteen minutes, in numbers."""

from __future__ import annotations

import asyncio
from itertools import islice

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside
from wayside.console.passed import SLICE_S, SLICES, Passing, Slice
from wayside.console.shapes import ConfigStanding, Overview, Point
from wayside.console.spread import Spread, ms
from wayside.console.sums import Sums, currency_of, dearest
from wayside.console.told import told
from wayside.gateway.api import Endpoint
from wayside.net.turns import Turns

FRESH_S = 0.5
"""For how long the same is told."""
SHOWN = 50
"""Requests that are told one by one, the newest first."""


class OverviewData:
    """From :class:`~wayside.console.passed.Passing`."""

    def __init__(self, inside: Inside, passing: Passing) -> None:
        self._inside, self._passing = inside, passing
        self._told: tuple[float, Overview] | None = None
        self._telling = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/overview", self._get, "The last fifteen minutes.", answer=Overview)
        ]

    async def _get(self, _: HttpRequest) -> Response:
        async with self._telling:  # many pages that ask at once cost what one does
            now = self._passing.clock()
            if self._told is None or not 0 <= now - self._told[0] < FRESH_S:
                self._told = now, await self.now()
            return told(self._told[1])

    async def now(self) -> Overview:
        slices = self._passing.recent()
        prices = self._inside.telemetry.prices
        sums, total, routing = Sums(), Spread(), Spread()
        turns = Turns()
        for one in slices:
            sums.add(one.sums)
            total.join(one.total)
            routing.join(one.routing)
            await turns.rest()
        series = self._series(slices)
        await turns.rest()
        return {
            "currency": currency_of(prices),
            "requests": sums.requests,
            "errors": sums.errors,
            "in_flight": self._inside.telemetry.in_flight,
            "p50_ms": ms(total.quantile(0.5)),
            "p95_ms": ms(total.quantile(0.95)),
            "p99_ms": ms(total.quantile(0.99)),
            "routing_p50_ms": ms(routing.quantile(0.5)),
            "routing_p99_ms": ms(routing.quantile(0.99)),
            "cost": round(sums.cost, 9),
            "saved": round(sums.at(dearest(prices, sums)[1]) - sums.cost + sums.spared, 9),
            "cache_hits": sums.hits,
            "series": series,
            "last": [self._passing.told(f) for f in islice(reversed(self._passing.newest), SHOWN)],
            "config": self._config(),
        }

    def _series(self, slices: list[Slice]) -> list[Point]:
        """Every ten seconds, the quiet ones too."""
        there = {one.at: one for one in slices}
        last = self._passing.this_slice()
        return [self._point(at, there.get(at)) for at in range(last - SLICES + 1, last + 1)]

    def _point(self, at: int, one: Slice | None) -> Point:
        if one is None:
            one = Slice(at)
        return {
            "at": at * SLICE_S,
            "requests": one.sums.requests,
            "errors": one.sums.errors,
            "p95_ms": ms(one.total.quantile(0.95)),
            "cost": round(one.sums.cost, 9),
        }

    def _config(self) -> ConfigStanding:
        state = self._inside.state
        return {
            "path": state.path,
            "digest": state.digest,
            "generation": state.generation,
            "loaded_at": state.loaded_at,
            "error": state.error or None,
            "needs_restart": list(state.needs_restart),
        }
