"""Algorithms that go by what was observed, and conversations that stay, against simulated servers
in both shells. Only orders of magnitude are compared: fast is 0 ms, slow 150 ms."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.running import SHELLS, Running, chat, running

from wayside.sim import FaultRates, SimModel, SimServer, StatusRate, serve_sim
from wayside.vocab.observed import Observe, delays

SLOW_S = 0.15
SERVERS = [
    SimServer((SimModel("fast"),)),
    SimServer((SimModel("slow", ttft_s=SLOW_S),)),
    SimServer((SimModel("broken"),), faults=FaultRates(status=StatusRate(rate=1, code=500))),
]
OPTIONS = {"stream": True, "stream_options": {"include_usage": True}}


def recipe(select: Any, *models: str, **more: Any) -> dict[str, Any]:
    return {"decisions": [{"name": "all", "models": list(models), "select": select}], **more}


@pytest_asyncio.fixture(scope="module", params=SHELLS, loop_scope="module")
async def router(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with serve_sim(SERVERS) as (fast, slow, broken):
        recipes = {
            "quick": recipe("latency_aware", "slow", "fast"),
            "within": recipe({"multi_factor": {"slo": {"max_inflight": 2}}}, "slow", "fast"),
            "shared": recipe("weighted", "slow", "fast"),
            "ailing": recipe("weighted", "broken", "fast"),
        }
        document = {
            "models": {
                name: {"endpoints": [sim.url]}
                for name, sim in (("fast", fast), ("slow", slow), ("broken", broken))
            },
            "routing": recipe("latency_aware", "slow", "fast"),
            "recipes": recipes,
            "entrypoints": [{"names": [name], "recipe": name} for name in recipes],
        }
        async with running(request.param, document) as found:
            yield found


async def ask(router: Running, model: str, session: str = "", **more: Any) -> dict[str, Any]:
    """What the log says of one streamed request."""
    headers = {"x-session-id": session} if session else {}
    answer = await router.ask(chat("hello", model, **OPTIONS, **more), headers)
    return await router.line(answer)


async def warmed(router: Running) -> None:
    """Both models have been seen to answer."""
    observed = router.app.experience.observed
    for model in ("fast", "slow"):
        while delays(observed.answer(Observe((model,), (50.0,)))) == [None]:
            await ask(router, model)
            await asyncio.sleep(0.11)


@pytest.mark.asyncio(loop_scope="module")
async def test_traffic_moves_to_the_model_that_answers_fastest(router: Running) -> None:
    await warmed(router)
    lines = [await ask(router, "quick") for _ in range(12)]
    assert Counter(line["model"] for line in lines) == {"fast": 12}
    said = re.match(r"speed: fast ([\d.]+), slow ([\d.]+)", lines[-1]["why"])
    assert said is not None and float(said[1]) > float(said[2])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_over_its_limit_gets_nothing(router: Running) -> None:
    busy = [asyncio.ensure_future(ask(router, "slow")) for _ in range(2)]
    await asyncio.sleep(SLOW_S / 3)
    line = await ask(router, "within")
    await asyncio.gather(*busy)
    assert line["model"] == "fast"
    assert line["why"].endswith("left out: slow has 2 in flight")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conversation_stays_while_others_are_spread(router: Running) -> None:
    first = await ask(router, "shared", "stays")
    rest = [await ask(router, "shared", "stays") for _ in range(7)]
    assert {line["model"] for line in rest} == {first["model"]}
    assert (first["session"], rest[-1]["session"]) == ("new", "stay")
    spread = [await ask(router, "shared", f"s{i}") for i in range(24)]
    assert {line["model"] for line in spread} == {"fast", "slow"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conversation_leaves_a_model_that_fails(router: Running) -> None:
    sessions = 0
    while (await ask(router, "ailing", f"a{sessions}"))["model"] != "broken":
        sessions += 1
    lines = [await ask(router, "ailing", f"a{sessions}") for _ in range(8)]
    await asyncio.sleep(0.11)
    last = await ask(router, "ailing", f"a{sessions}")
    assert lines[0]["model"] == "broken" and last["model"] == "fast"
    left = next(line for line in [*lines, last] if line["session"] == "left")
    assert "of its latest answers failed" in left["why"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_in_flight_is_seen(router: Running) -> None:
    asking = [asyncio.ensure_future(ask(router, "slow")) for _ in range(4)]
    await asyncio.sleep(SLOW_S / 2)
    (during,) = router.app.experience.observed.answer(Observe(("slow",), ()))
    await asyncio.gather(*asking)
    (after,) = router.app.experience.observed.answer(Observe(("slow",), ()))
    assert during.in_flight == 4 and after.in_flight == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a_slow_model_is_seen_to_be_slow(router: Running) -> None:
    await warmed(router)
    await asyncio.sleep(0.11)
    seen = router.app.experience.observed.answer(Observe(("fast", "slow"), (50.0,)))
    fast, slow = delays(seen)
    assert fast is not None and slow is not None
    assert slow >= SLOW_S > fast
