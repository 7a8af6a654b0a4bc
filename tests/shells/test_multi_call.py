"""Decisions that ask several models, in both shells, against simulated servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from tests.running import SHELLS, Running, chat, running

from wayside.cli.behind_envoy import patient
from wayside.sim import (
    FaultRates,
    Sim,
    SimModel,
    SimServer,
    StallRate,
    StatusRate,
    serve_sim,
)

JUDGED = '{"consensus": ["both are models"], "contradictions": [], "gaps": []}'
SERVERS = [
    SimServer((SimModel("small", answer="I am small."),)),
    SimServer((SimModel("other", answer="I am other."),)),
    SimServer((SimModel("vendor/large", answer=f"I am large. {JUDGED}"),)),
    SimServer((SimModel("hung"),), faults=FaultRates(stall=StallRate(rate=1, seconds=60))),
    SimServer((SimModel("broken"),), faults=FaultRates(status=StatusRate(rate=1, code=500))),
]
PRICE = {"prompt_per_1m": 1.0, "completion_per_1m": 3.0}


def document(small: Sim, other: Sim, large: Sim, hung: Sim, broken: Sim) -> dict[str, Any]:
    def recipe(select: Any, *models: str, **more: Any) -> dict[str, Any]:
        decision = {"name": "all", "models": list(models), "select": select, **more}
        return {"decisions": [decision]}

    recipes = {
        "fusion": recipe(
            {"fusion": {"model": "large", "include_analysis": True}}, "small", "other", "large"
        ),
        "ratings": recipe("ratings", "small", "other", "broken"),
        "remom": recipe(
            {"remom": {"breadth_schedule": [2], "model_distribution": "round_robin"}},
            "small",
            "other",
        ),
        "confidence": recipe(
            {"confidence": {"escalation_order": "declared"}}, "small", "broken", "large"
        ),
        "impatient": recipe(
            {"fusion": {"model": "small", "round_timeout_seconds": 0.3}}, "small", "hung"
        ),
        "waiting": recipe("fusion", "hung", "small", "hung"),
        "hopeless": recipe("fusion", "broken", "broken"),
        "late": recipe({"ratings": {"timeout_s": 0.3}}, "hung"),
        "guarded": recipe("ratings", "small", plugins={"pii": {"action": "mask"}}),
        "kept": recipe(
            {"fusion": {"model": "large", "include_intermediate_responses": True}},
            "small",
            "other",
            plugins={"response_cache": {"mode": "exact"}},
        ),
        "helped": recipe({"prompt": {"model": "small"}}, "other", "large"),
    }
    return {
        "models": {
            "small": {"endpoints": [small.url], "price": PRICE},
            "other": {"endpoints": [other.url], "price": PRICE},
            "large": {
                "endpoints": [f"{large.url}/v1"],
                "upstream_name": "vendor/large",
                "price": PRICE,
            },
            "hung": {"endpoints": [hung.url]},
            "broken": {"endpoints": [broken.url]},
        },
        "routing": {"default_model": "small"},
        "recipes": recipes,
        "entrypoints": [{"names": [f"vllm-sr/{name}"], "recipe": name} for name in recipes],
    }


class Both:
    def __init__(self, routers: dict[str, Running], sims: list[Sim]) -> None:
        self.routers = routers
        self.small, self.other, self.large, self.hung, self.broken = sims


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[Both]:
    async with contextlib.AsyncExitStack() as stack:
        sims = await stack.enter_async_context(serve_sim(SERVERS))
        routers = {
            shell: await stack.enter_async_context(running(shell, document(*sims)))
            for shell in SHELLS
        }
        yield Both(routers, sims)


pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize("shell", SHELLS)]


def content(answer: Any, at: int = 0) -> str:
    text: str = answer.json["choices"][at]["message"]["content"]
    return text


def metric(router: Running, name: str, **labels: str) -> float:
    found = router.app.telemetry.metrics._metrics[name]
    wanted = tuple(labels.values())
    total: float = found.values.get(wanted, 0.0)  # type: ignore[union-attr, call-overload]
    return total


async def test_fusion_by_a_name_of_its_own(shell: str, both: Both) -> None:
    router = both.routers[shell]
    for sim in (both.small, both.other, both.large):
        sim.clear()
    before = {
        m: metric(router, "wayside_calls_total", model=m, outcome="200")
        for m in ["small", "large"]
    }
    answer = await router.ask(chat("Who are you?", "vllm-sr/fusion"))
    assert answer.status == 200
    assert content(answer).startswith("I am large.")
    assert answer.json["looper"]["analysis"] == {"consensus": ["both are models"]}
    assert [len(sim.requests) for sim in (both.small, both.other, both.large)] == [1, 1, 3]
    told = answer.headers
    assert told["x-vsr-response-path"] == "looper"
    assert told["x-vsr-selected-model"] == told["x-vsr-looper-model"] == "large"
    assert told["x-vsr-looper-models-used"] == "small,other,large"
    assert told["x-vsr-looper-iterations"] == "5"

    line = await router.line(answer)
    calls = line["calls"]
    assert [(c["model"], c["for"], c["status"]) for c in calls] == [
        ("small", "panel", 200),
        ("other", "panel", 200),
        ("large", "panel", 200),
        ("large", "judge", 200),
        ("large", "synthesis", 200),
    ]
    usage = answer.json["usage"]
    for kind in ("prompt_tokens", "completion_tokens"):
        header = told[f"x-vsr-looper-{kind.replace('_', '-')}"]
        assert sum(c[kind] for c in calls) == usage[kind] == line[kind] == int(header)
    paid = (usage["prompt_tokens"] * 1 + usage["completion_tokens"] * 3) / 1e6
    assert line["cost"] == pytest.approx(paid, abs=1e-9)
    for model, count in (("small", 1), ("large", 3)):
        now = metric(router, "wayside_calls_total", model=model, outcome="200")
        assert now - before[model] == count


async def test_metrics_count_tokens_and_cost_of_every_model_that_was_asked(
    shell: str, both: Both
) -> None:
    router = both.routers[shell]

    def counted(model: str) -> tuple[float, float]:
        return (
            metric(router, "wayside_tokens_total", model=model, type="completion"),
            metric(router, "wayside_cost_total", model=model, currency="USD"),
        )

    before = {model: counted(model) for model in ("small", "other")}
    answer = await router.ask(chat("Count.", "vllm-sr/remom"))
    line = await router.line(answer)
    for model, (tokens, cost) in before.items():
        mine = [c for c in line["calls"] if c["model"] == model]
        now = counted(model)
        assert now[0] - tokens == sum(c["completion_tokens"] for c in mine) > 0
        assert now[1] - cost == pytest.approx(sum(c["cost"] for c in mine))


async def test_ratings_gives_a_choice_per_model_that_answered(shell: str, both: Both) -> None:
    answer = await both.routers[shell].ask(chat("Who?", "vllm-sr/ratings"))
    assert [content(answer, i) for i in (0, 1)] == ["I am small.", "I am other."]
    assert answer.json["looper"]["models"] == ["small", "other"]
    line = await both.routers[shell].line(answer)
    assert [c["status"] for c in line["calls"]] == [200, 200, 500]


async def test_confidence_goes_past_who_fails(shell: str, both: Both) -> None:
    """Simulated servers tell no log probabilities, so nobody is sure before the last."""
    answer = await both.routers[shell].ask(chat("Who?", "vllm-sr/confidence"))
    assert content(answer).startswith("I am large.")
    assert answer.headers["x-vsr-looper-models-used"] == "small,large"
    assert json.loads(both.small.requests[-1].body)["logprobs"] is True


async def test_a_client_of_openais_reads_the_stream(shell: str, both: Both) -> None:
    url = f"{both.routers[shell].url}/v1"
    async with AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="vllm-sr/fusion",
            messages=[{"role": "user", "content": "Who?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        events = [event async for event in stream]
    text = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
    assert text.startswith("I am large.")
    assert events[-1].usage is not None
    assert events[-1].usage.total_tokens > 50


async def test_a_model_that_hangs_is_not_waited_for(shell: str, both: Both) -> None:
    began = time.monotonic()
    answer = await both.routers[shell].ask(chat("Who?", "vllm-sr/impatient"))
    assert content(answer) == "I am small."
    assert time.monotonic() - began < 5
    line = await both.routers[shell].line(answer)
    assert [(c["model"], c["status"]) for c in line["calls"]] == [
        ("small", 200),
        ("hung", 0),
        ("small", 200),
    ]
    assert "in time" in line["calls"][1]["reason"]


@pytest.mark.parametrize(("name", "status"), [("hopeless", 502), ("late", 504)])
async def test_without_an_answer_the_client_gets_an_error_it_can_read(
    shell: str, both: Both, name: str, status: int
) -> None:
    answer = await both.routers[shell].ask(chat("Who?", f"vllm-sr/{name}"))
    assert answer.status == status
    assert answer.json["error"]["code"] == "no_answer"
    assert "127.0.0.1" not in answer.json["error"]["message"]
    assert answer.headers["x-vsr-response-path"] == "error"
    assert answer.headers["x-vsr-looper-models-used"] == ""
    line = await both.routers[shell].line(answer)
    assert (line["reason"], line["decision"]) != ("", "")
    assert line["calls"]


async def test_plugins_work_on_every_question_and_on_the_answer(shell: str, both: Both) -> None:
    both.small.clear()
    answer = await both.routers[shell].ask(chat("Write to ada@example.com", "vllm-sr/guarded"))
    assert answer.status == 200
    (request,) = both.small.requests
    assert b"ada@example.com" not in request.body
    assert b"EMAIL_ADDRESS" in request.body


async def test_envoy_waits_for_as_long_as_a_decision_may_take(shell: str, both: Both) -> None:
    app = both.routers[shell].app
    assert app.settings.extproc.message_timeout_s == 5
    assert patient(app).extproc.message_timeout_s == 121


async def test_a_composed_answer_is_kept_and_told_again(shell: str, both: Both) -> None:
    router = both.routers[shell]
    asked = chat(f"Keep this for {shell}.", "vllm-sr/kept")
    key = {"authorization": f"Bearer {shell}"}
    first = await router.ask(asked, key)
    await router.app.runtime.settled()
    for sim in (both.small, both.other, both.large):
        sim.clear()
    second = await router.ask(asked, key)
    assert first.headers["x-vsr-response-path"] == "looper"
    assert second.headers["x-vsr-response-path"] == "cache"
    assert content(second) == content(first)
    assert second.json["looper"] == first.json["looper"]
    assert not any(sim.requests for sim in (both.small, both.other, both.large))


async def test_a_model_that_chooses_is_accounted(shell: str, both: Both) -> None:
    """The helper says no name, so the first answers."""
    answer = await both.routers[shell].ask(chat("Who?", "vllm-sr/helped"))
    assert content(answer) == "I am other."
    line = await both.routers[shell].line(answer)
    assert [(c["model"], c["for"]) for c in line["calls"]] == [("small", "choose")]
    assert line["model"] == "other"


async def test_a_client_that_leaves_takes_the_calls_with_it(shell: str, both: Both) -> None:
    router, hung = both.routers[shell], both.hung
    before = hung.stats
    cancelled = metric(router, "wayside_calls_total", model="hung", outcome="cancelled")
    body = json.dumps(chat("Who?", "vllm-sr/waiting")).encode()
    host, port = router.url.removeprefix("http://").rsplit(":", 1)
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    await hung.until(lambda s: s.requests == before.requests + 2)
    writer.transport.abort()
    began = time.monotonic()
    await hung.until(lambda s: s.cancelled == before.cancelled + 2)
    assert time.monotonic() - began < 1.0
    now = metric(router, "wayside_calls_total", model="hung", outcome="cancelled")
    assert now - cancelled == 2
