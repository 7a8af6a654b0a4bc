"""Models, their servers, and how they do."""

from __future__ import annotations

import asyncio

import pytest

from tests.console.data_rig import console
from wayside.console.models import quantile
from wayside.telemetry import Tokens
from wayside.telemetry.metrics import Metrics
from wayside.vocab.endpoint import Vitals


async def test_models_with_what_they_took() -> None:
    async with console() as rig:
        for _ in range(20):
            rig.passes("small", tokens=Tokens(1000, 500), took_s=0.2)
        rig.passes("small", status=503, reason="upstream_failed", took_s=0.2)
        status, told = await rig.get("/models")
        assert status == 200 and told["currency"] == "USD"
        rows = {row["name"]: row for row in told["models"]}
        assert list(rows) == ["small", "coder", "free"]
        small = rows["small"]
        assert (small["requests"], small["errors"], small["tokens"]) == (21, 1, 30_000)
        assert small["cost"] == pytest.approx(20 * 2000 / 1e6)
        assert 100 < small["p95_ms"] <= 250 and small["price"] == {"prompt": 1, "completion": 2}
        assert rows["free"]["price"] is None and rows["free"]["p95_ms"] is None
        (replica,) = small["replicas"]
        assert replica["state"] == "ready" and replica["why"] == ""
        assert replica["p95_ms"] == pytest.approx(200, rel=0.1) and replica["kv_use"] is None


async def test_how_servers_are_and_why() -> None:
    async with console() as rig:
        now = asyncio.get_running_loop().time()
        first, _ = rig.app.fleet.pools["coder"].replicas

        async def states() -> list[tuple[str, str]]:
            rows = (await rig.get("/models"))[1]["models"]
            return [(r["state"], r["why"]) for r in rows[1]["replicas"]]

        assert [state for state, _ in await states()] == ["ready", "standby"]
        first.leave(now, "failures")
        found = await states()
        assert found[0][0] == "ejected" and "requests to it failed; tried again" in found[0][1]
        assert found[1] == ("ready", "")
        first.completed()
        first.down = frozenset({"health"})
        assert (await states())[0] == ("ejected", "its health check fails")
        first.down, first.asleep = frozenset(), True
        assert (await states())[0][0] == "asleep"
        first.asleep, first.on_trial = False, True
        assert (await states())[0][0] == "trial"
        first.on_trial = False
        first.vitals = Vitals(at=now, waiting=3, running=2, kv=0.25)
        row = (await rig.get("/models"))[1]["models"][1]["replicas"][0]
        assert (row["waiting"], row["running"], row["kv_use"]) == (3, 2, 0.25)
        assert row["scraped_at"] > 1_700_000_000


def test_a_histograms_quantile_is_prometheus_s() -> None:
    histogram = Metrics().histogram("h", "h", bounds=(1.0, 2.0, 4.0))
    for value in (0.5, 1.5, 1.6, 3.0):
        histogram.observe((), value)
    series = histogram.values[()]
    assert quantile(histogram.bounds, series, 0.5) == pytest.approx(1.5)
    assert quantile(histogram.bounds, series, 1.0) == pytest.approx(4.0)
    histogram.observe((), 99.0)
    assert quantile(histogram.bounds, series, 1.0) == 4.0
