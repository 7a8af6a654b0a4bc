"""The server that a strategy picks is the one that answers, in both shells (A3-06, A3-13)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.running import SHELLS, Running, chat, running

from wayside.endpoints import Profile
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.fleet.picking import profile
from wayside.settings import PickingSettings
from wayside.sim import FaultRates, SimModel, SimServer, StatusRate, serve_sim
from wayside.sim.serve import Sim

Stage = tuple[Running, list[Sim]]


class ByHeader:
    """Wants the server that a header names, and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def score(self, need: Any, roster: Any) -> dict[int, float]:
        wanted = need.headers.get("x-want")
        return {i: 1.0 for i, e in enumerate(roster.endpoints) if e.name == wanted}

    def chosen(self, need: Any, endpoint: Any) -> None:
        self.heard.append(("chosen", endpoint.name))

    def answered(self, need: Any, endpoint: Any, seconds: float) -> None:
        assert 0 < seconds < 10
        self.heard.append(("answered", endpoint.name))

    def ended(self, need: Any, endpoint: Any) -> None:
        self.heard.append(("ended", endpoint.name))

    def says(self, need: Any, endpoint: Any) -> tuple[tuple[str, str], ...]:
        return (("x-taken", endpoint.name),)


@pytest_asyncio.fixture(scope="module", params=SHELLS, loop_scope="module")
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with serve_sim([SimServer((SimModel("m"),)) for _ in range(4)]) as sims:
        urls = [sim.url for sim in sims]
        urls[3] = urls[3].replace("127.0.0.1", "localhost")
        endpoints = [{"url": url, "name": name} for url, name in zip(urls, "abcd", strict=True)]
        document = {"models": {"m": {"endpoints": endpoints}}, "picking": "max_score"}
        async with running(request.param, document) as router:
            yield router, list(sims)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", [False, True])
async def test_the_server_that_is_picked_answers(stage: Stage, stream: bool) -> None:
    router, sims = stage
    scorer = ByHeader()
    pool = router.app.fleet.pools["m"]
    pool.profile = Profile([], [(scorer, 1.0)], MaxScorePicker(MaxScoreRule()))
    for name in "abcdcba":
        before = [sim.stats.requests for sim in sims]
        answer = await router.ask(chat("hello", "m", stream=stream), {"x-want": name})
        assert answer.status == 200 and answer.headers["x-taken"] == name
        served = [sim.stats.requests for sim in sims]
        assert served["abcd".index(name)] == before["abcd".index(name)] + 1
        await router.line(answer)
        assert scorer.heard[-3:] == [("chosen", name), ("answered", name), ("ended", name)]
    assert len(scorer.heard) == 3 * 7 and pool.in_flight == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_cannot_name_a_server_themselves(stage: Stage) -> None:
    router, sims = stage
    pool = router.app.fleet.pools["m"]
    pool.profile = Profile([], [(ByHeader(), 1.0)], MaxScorePicker(MaxScoreRule()))
    before = sims[1].stats.requests
    named = {"x-want": "a", "x-gateway-destination-endpoint": sims[1].url.removeprefix("http://")}
    for _ in range(8):
        assert (await router.ask(chat("hello", "m"), named)).headers["x-taken"] == "a"
    assert sims[1].stats.requests == before


@pytest.mark.asyncio(loop_scope="module")
async def test_a3_26_who_was_picked_and_how_fast_is_counted(stage: Stage) -> None:
    router, _ = stage
    pool = router.app.fleet.pools["m"]
    pool.profile = Profile([], [(ByHeader(), 1.0)], MaxScorePicker(MaxScoreRule()))

    def counted() -> dict[str, float]:
        lines = router.app.telemetry.metrics.text().decode().splitlines()
        return {
            key: float(value)
            for key, _, value in (line.rpartition(" ") for line in lines)
            if key.startswith(("wayside_picks_total", "wayside_pick_seconds_count"))
        }

    before = counted()
    for _ in range(3):
        await router.ask(chat("hello", "m"), {"x-want": "b"})
    after = counted()
    mine = 'wayside_picks_total{endpoint="b",model="m"}'
    assert after[mine] == before.get(mine, 0) + 3
    seconds = 'wayside_pick_seconds_count{model="m"}'
    assert after[seconds] == before.get(seconds, 0) + 3


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("shell", SHELLS)
async def test_a_server_that_cannot_be_reached_is_not_preferred_for_long(shell: str) -> None:
    """Envoy answers from another one, and its answer must not pass for that of the first."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with serve_sim([SimServer((SimModel("m"),)) for _ in range(2)]) as sims:
            urls = [f"http://127.0.0.1:{nobody.getsockname()[1]}", *(sim.url for sim in sims)]
            endpoints = [{"url": url, "name": name} for url, name in zip(urls, "abc", strict=True)]
            model = {"endpoints": endpoints, "breaker": {"pause_s": 60}, "picking": "max_score"}
            async with running(shell, {"models": {"m": model}}) as router:
                scorer = ByHeader()
                pool = router.app.fleet.pools["m"]
                pool.profile = Profile([], [(scorer, 1.0)], MaxScorePicker(MaxScoreRule()))
                for _ in range(8):
                    answer = await router.ask(chat("hello", "m"), {"x-want": "a"})
                    assert answer.status == 200 and answer.headers["x-taken"] in "bc"
                    await router.line(answer)
                dead = pool.replicas[0]
                assert dead.out_until > 0 and pool.in_flight == 0
                heard = [what for what, name in scorer.heard if name == "a"]
                failures = dead.breaker.failures
                assert heard == ["chosen", "ended"] * failures
                assert [what for what, _ in scorer.heard].count("answered") == 8


class Buggy:
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def _fails(self, what: str) -> None:
        if what == self.where:
            raise RuntimeError(what)

    def score(self, need: Any, roster: Any) -> Any:
        self._fails("score")
        return [1.0] if self.where == "too few" else {99: 1.0} if self.where == "nobody" else {}

    def chosen(self, need: Any, endpoint: Any) -> None:
        self._fails("chosen")

    def answered(self, need: Any, endpoint: Any, seconds: float) -> None:
        self._fails("answered")

    def ended(self, need: Any, endpoint: Any) -> None:
        self._fails("ended")

    def says(self, need: Any, endpoint: Any) -> Any:
        self._fails("says")
        return (("x-\r\nodd", "a\r\nb: c"),) if self.where == "odd header" else ()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "where",
    ["score", "too few", "nobody", "chosen", "answered", "ended", "says", "odd header"],
)
async def test_a_bug_in_a_strategy_is_told_and_the_request_served(
    stage: Stage, where: str
) -> None:
    router, _ = stage
    pool, faults = router.app.fleet.pools["m"], router.app.fleet.fault
    pool.profile = Profile([], [(Buggy(where), 1.0)], MaxScorePicker(MaxScoreRule()))
    bugs: list[Exception] = []
    router.app.fleet.fault = lambda model, bug: bugs.append(bug)
    try:
        for stream in (False, True):
            answer = await router.ask(chat("hello", "m", stream=stream))
            assert answer.status == 200
            await router.line(answer)
    finally:
        router.app.fleet.fault = faults
    assert len(bugs) == 2 and pool.in_flight == 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("shell", SHELLS)
async def test_no_other_server_takes_what_filters_refuse(shell: str) -> None:
    keeps = {"filters": [{"label": {"label": "place", "values": ["eu"]}}], "when_none": "refuse"}
    async with serve_sim([SimServer((SimModel("m"),)) for _ in range(2)]) as sims:
        endpoints: list[dict[str, Any]] = [{"url": sim.url} for sim in sims]
        endpoints[0] |= {"labels": {"place": "eu"}, "max_in_flight": 1}
        model = {"endpoints": endpoints, "picking": keeps}
        async with running(shell, {"models": {"m": model}}) as router:
            pool = router.app.fleet.pools["m"]
            for _ in range(6):
                answer = await router.ask(chat("hello", "m"))
                assert answer.status == 200
                await router.line(answer)
            eu = pool.replicas[0]
            if shell == "gateway":  # Envoy knows who has room
                pool.began(eu)
                full = await router.ask(chat("hello", "m"))
                assert full.status == 429 and full.json["error"]["code"] == "server_is_overloaded"
                assert "retry-after" in full.headers
                pool.ended(eu)
            pool.sleeps(eu, asleep=True)
            refused = await router.ask(chat("hello", "m"))
            assert refused.status == 503
            assert refused.json["error"]["code"] == "no_healthy_endpoint"
            assert sims[1].stats.requests == 0 and pool.in_flight == 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("shell", SHELLS)
async def test_a_server_that_errs_is_left_out_though_a_strategy_prefers_it(shell: str) -> None:
    """Envoy's own outlier detection does not hold for a server that it is told to use."""
    broken = SimServer((SimModel("m"),), faults=FaultRates(status=StatusRate(rate=1.0, code=500)))
    async with serve_sim([broken, SimServer((SimModel("m"),))]) as sims:
        endpoints = [{"url": sim.url, "name": name} for sim, name in zip(sims, "ab", strict=True)]
        breaker = {"errors": 3, "pause_s": 60, "most_out": 0.5}
        model = {"endpoints": endpoints, "breaker": breaker, "retries": {"attempts": 1}}
        async with running(shell, {"models": {"m": model}, "picking": "max_score"}) as router:
            pool = router.app.fleet.pools["m"]
            pool.profile = Profile([], [(ByHeader(), 1.0)], MaxScorePicker(MaxScoreRule()))
            statuses = []
            for _ in range(6):
                answer = await router.ask(chat("hello", "m"), {"x-want": "a"})
                statuses.append(answer.status)
                await router.line(answer)
            assert statuses == [500] * 3 + [200] * 3
            assert pool.replicas[0].why == "errors" and pool.in_flight == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a3_25_what_was_thought_to_be_cached_is_counted(stage: Stage) -> None:
    router, _ = stage
    pool = router.app.fleet.pools["m"]
    pool.profile = profile(PickingSettings(strategy="balanced"))
    long = "Why is the sky blue? " * 100

    def counted(name: str) -> float:
        lines = router.app.telemetry.metrics.text().decode().splitlines()
        wanted = f'wayside_pick_{name}_tokens_total{{model="m"}} '
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    await router.ask(chat(long, "m"))
    prompt, cached = counted("prompt"), counted("cached")
    await router.ask(chat(long, "m"))
    assert 400 < counted("prompt") - prompt < 700
    assert counted("cached") - cached > 0.8 * (counted("prompt") - prompt)
