"""The last fifteen minutes."""

from __future__ import annotations

import json
import random

import pytest

from tests.console.data_rig import console
from wayside.console.overview import OverviewData
from wayside.console.spread import Spread
from wayside.telemetry import Tokens


async def test_what_passed_is_added_up() -> None:
    async with console() as rig:
        for n in range(100):
            rig.passes("small", tokens=Tokens(1000, 0), took_s=(n + 1) / 100)
        rig.passes("coder", status=503, reason="upstream_failed", took_s=50)
        rig.passes("", path="cache", saved=Tokens(1_000_000, 0), saved_model="coder")
        status, told = await rig.get("/overview")
        assert status == 200 and told["currency"] == "USD"
        assert (told["requests"], told["errors"], told["cache_hits"]) == (102, 1, 1)
        assert told["p50_ms"] == pytest.approx(500, rel=0.1)
        assert told["p95_ms"] == pytest.approx(950, rel=0.1)
        assert told["p99_ms"] == pytest.approx(990, rel=0.1)
        spent, dearest = 100 * 1000 * 1 / 1e6, 100 * 1000 * 10 / 1e6
        assert told["cost"] == pytest.approx(spent)
        assert told["saved"] == pytest.approx(dearest - spent + 10)
        assert len(told["series"]) == 90 and sum(s["requests"] for s in told["series"]) == 102
        assert told["series"][-1]["at"] % 10 == 0 and told["series"][0]["requests"] == 0
        assert len(told["last"]) == 50 and told["last"][0]["path"] == "cache"
        assert told["config"]["path"] == "wayside.yaml" and told["config"]["error"] is None


async def test_what_was_longer_ago_is_not_in_it() -> None:
    async with console() as rig:
        rig.passes()
        passing = rig.part(OverviewData)._passing
        passing.fold()
        now = passing.clock()
        passing.clock = lambda: now + 16 * 60
        told = (await rig.get("/overview"))[1]
        assert told["requests"] == 0 and told["p99_ms"] == 0
        passing.clock = lambda: now + 30 * 60
        for n in range(200):  # a slice for each ten seconds, and no more than fifteen minutes
            passing.clock = lambda n=n: now + 30 * 60 + 10 * n
            rig.passes()
            passing.fold()
        assert len(passing.slices) == 90
        assert (await rig.get("/overview"))[1]["requests"] == 90
        rig.passes()
        assert (await rig.get("/overview"))[1]["requests"] == 90, "told again for half a second"


def test_quantiles_are_right_within_five_per_cent() -> None:
    rng = random.Random(7)
    values = [rng.lognormvariate(-2, 1.5) for _ in range(20_000)]
    halves = Spread(), Spread()
    for n, value in enumerate(values):
        halves[n % 2].add(value)
    spread, other = halves
    spread.join(other)
    values.sort()
    for share in (0.01, 0.5, 0.95, 0.99, 1.0):
        right = values[min(len(values) - 1, int(share * len(values)))]
        assert spread.quantile(share) == pytest.approx(right, rel=0.06)
    for odd in (0.0, -1.0, 1e9):
        spread.add(odd)
    assert len(spread.buckets) < 250 and json.dumps(spread.quantile(1.0))
    assert Spread().quantile(0.5) == 0
