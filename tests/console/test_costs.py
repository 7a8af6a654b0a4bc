"""What was spent, and what the dearest model would have cost."""

from __future__ import annotations

import pytest

from tests.console.data_rig import CONFIG, console
from wayside.console.sums import NAMES, OTHER, POINTS, ByName, Series, Sums
from wayside.telemetry import Tokens
from wayside.vocab.outcome import Call


async def test_spent_and_saved() -> None:
    async with console() as rig:
        rig.passes("small", tokens=Tokens(1_000_000, 100_000), decision="")
        rig.passes("free", tokens=Tokens(2_000_000, 0), decision="sums")
        rig.passes("", path="cache", saved=Tokens(0, 1_000_000), saved_model="small")
        status, told = await rig.get("/costs")
        assert status == 200 and told["currency"] == "USD"
        assert told["spent"] == pytest.approx(1.2)
        assert told["biggest"] == {"model": "coder", "would_cost": pytest.approx(32)}
        assert told["saved"] == pytest.approx(30.8) and told["saved_by_cache"] == pytest.approx(2)
        rows = {row["model"]: row for row in told["by_model"]}
        assert set(rows) == {"small", "free"} and told["by_model"][0]["model"] == "small"
        assert rows["free"]["cost"] == 0 and rows["free"]["would_cost"] == pytest.approx(20)
        decisions = {row["decision"]: row for row in told["by_decision"]}
        assert decisions["sums"]["would_cost"] == pytest.approx(20)
        for rows in told["by_model"], told["by_decision"]:
            assert sum(row["cost"] for row in rows) == pytest.approx(told["spent"])
        assert sum(p["would_cost"] for p in told["series"]) == pytest.approx(32)
        assert told["elsewhere"] == []


async def test_calls_within_a_request_are_paid_too() -> None:
    async with console() as rig:
        calls = (
            Call(model="small", status=200, prompt_tokens=1_000_000),
            Call(model="coder", status=200, prompt_tokens=1_000_000),
        )
        rig.passes("", path="looper", decision="court", calls=calls)
        told = (await rig.get("/costs"))[1]
        assert told["spent"] == pytest.approx(11)
        assert {r["model"]: r["cost"] for r in told["by_model"]} == {"small": 1.0, "coder": 10.0}
        assert told["by_decision"][0]["cost"] == pytest.approx(11)


async def test_other_currencies_stand_apart() -> None:
    config = CONFIG.replace(
        "free: {endpoints: [http://127.0.0.1:4]}",
        "free: {endpoints: [http://127.0.0.1:4], price: {currency: EUR, prompt_per_1m: 500}}",
    )
    async with console(config) as rig:
        rig.passes("free", tokens=Tokens(1_000_000, 0))
        told = (await rig.get("/costs"))[1]
        assert told["spent"] == 0 and told["biggest"]["would_cost"] == 0
        assert told["elsewhere"] == [{"currency": "EUR", "spent": 500}]


async def test_without_prices_nothing_is_made_up() -> None:
    plain = "models: {small: {endpoints: [http://127.0.0.1:1]}}\nrouting: {default_model: small}"
    async with console(plain, engines={}) as rig:
        rig.passes("small", tokens=Tokens(1_000_000, 0))
        told = (await rig.get("/costs"))[1]
        assert told["biggest"] == {"model": "", "would_cost": 0} and told["saved"] == 0


def test_sums_and_series_stay_small() -> None:
    names = ByName()
    for n in range(3 * NAMES):
        names.of(str(n)).requests += 1
    assert len(names.found) == NAMES + 1 and names.found[OTHER].requests == 2 * NAMES
    series = Series()
    for n in range(100_000):
        series.of(10.0 * n).add(Sums(requests=1, cost=0.5))
    told = series.told()
    assert len(told) <= POINTS and sum(s.requests for _, s in told) == 100_000
    assert sum(s.cost for _, s in told) == pytest.approx(50_000)
    assert [at for at, _ in told] == sorted(at for at, _ in told)
