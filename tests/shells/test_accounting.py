"""What callers are charged, against the books of the simulated servers that did the work.

The twelve bugs are those that other gateways had (``docs/explanation/accounting.md``). Those of
limits, which come later, are here as far as the meter behind them goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import test_utils, web
from tests.running import SHELLS, Running, chat, running

from wayside.sim import (
    FaultRates,
    ResetRate,
    Sim,
    SimModel,
    SimServer,
    StallRate,
    StatusRate,
    Took,
    serve_sim,
)

PRICE = {"prompt_per_1m": 1.0, "completion_per_1m": 3.0}
SLOW = SimModel("slow", itl_s=0.02, answer_tokens=400)
CUT_AFTER = 9
SERVERS = {
    "plain": SimServer((SimModel("vendor/plain-v2", answer_tokens=60),)),
    "resets": SimServer(
        (SimModel("shaky", answer_tokens=60),), faults=FaultRates(reset=ResetRate(rate=1))
    ),
    "steady": SimServer((SimModel("shaky", answer_tokens=60),)),
    "down": SimServer((SimModel("down"),), faults=FaultRates(status=StatusRate(rate=1))),
    "stalls": SimServer(
        (SimModel("pair"),), faults=FaultRates(stall=StallRate(rate=1, seconds=30))
    ),
    "quick": SimServer((SimModel("pair"),)),
    "slow": SimServer((SLOW,)),
    "cuts": SimServer(
        (SimModel("cuts", answer_tokens=60, itl_s=0.005),),
        faults=FaultRates(reset=ResetRate(rate=1, after=CUT_AFTER)),
    ),
    "claude": SimServer((SimModel("claude", answer_tokens=30),)),
}


def document(sims: dict[str, Sim]) -> dict[str, Any]:
    def at(*names: str, **more: Any) -> dict[str, Any]:
        return {"endpoints": [sims[name].url for name in names], "price": PRICE, **more}

    def decision(select: Any, *models: str, **more: Any) -> dict[str, Any]:
        return {"decisions": [{"name": "all", "models": list(models), "select": select, **more}]}

    cache = {"response_cache": {"mode": "exact"}}
    recipes = {
        "cached": decision("static", "plain", plugins=cache),
        "fusion": decision({"fusion": {"model": "plain"}}, "plain", "steady"),
    }
    return {
        "identity": {"trusted": True},
        "models": {
            "plain": at("plain", upstream_name="vendor/plain-v2"),
            "silent": at("plain", upstream_name="vendor/plain-v2", usage="asked"),
            "steady": at("steady", upstream_name="shaky"),
            "shaky": at("resets", "steady"),
            "down": at("down", fallbacks=["plain"]),
            "pair": at("stalls", "quick", hedge={"after_s": 0.05, "share": 1}),
            "hung": at("stalls", upstream_name="pair"),
            "slow": at("slow"),
            "slow-each": at("slow", upstream_name="slow", usage="each"),
            "cuts": at("cuts"),
            "cuts-each": at("cuts", upstream_name="cuts", usage="each"),
            "claude": at("claude", protocol="anthropic"),
        },
        "routing": {"default_model": "plain"},
        "recipes": recipes,
        "entrypoints": [{"names": [name], "recipe": name} for name in recipes],
    }


class Books:
    """A router and the servers behind it, whose books are compared."""

    def __init__(self, router: Running, sims: dict[str, Sim]) -> None:
        self.router, self.sims = router, sims

    def counted(self, name: str = "wayside_tokens_total") -> dict[tuple[str, ...], float]:
        return dict(self.router.app.telemetry.metrics._metrics[name].values)  # type: ignore[union-attr, arg-type]

    def clear(self) -> None:
        for sim in self.sims.values():
            sim.clear()
        for name in (
            "wayside_tokens_total",
            "wayside_cost_total",
            "wayside_unserved_tokens_total",
            "wayside_usage_estimated_total",
            "wayside_cache_saved_tokens_total",
        ):
            self.router.app.telemetry.metrics._metrics[name].values.clear()  # type: ignore[union-attr]

    def took(self) -> list[Took]:
        return [took for sim in self.sims.values() for took in sim.took]

    def charged(self, model: str = "") -> tuple[float, float]:
        """Prompt and completion tokens, all kinds, by our metrics."""
        found = {k: v for k, v in self.counted().items() if not model or k[0] == model}
        read = sum(v for k, v in found.items() if k[1] in ("prompt", "cached", "cache_write"))
        return read, sum(v for k, v in found.items() if k[1] in ("completion", "reasoning"))


@pytest_asyncio.fixture(scope="module", params=SHELLS, loop_scope="module")
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    async with serve_sim(list(SERVERS.values())) as found:
        sims = dict(zip(SERVERS, found, strict=True))
        async with running(request.param, document(sims)) as router:
            yield Books(router, sims)


@pytest.fixture
def books(shared: Books) -> Books:
    shared.clear()
    return shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Books]:
    async with serve_sim(list(SERVERS.values())) as found:
        sims = dict(zip(SERVERS, found, strict=True))
        async with running("gateway", document(sims)) as router:
            yield Books(router, sims)


@pytest.fixture
def attempts(gateway: Books) -> Books:
    """What Envoy does by itself, or not at all, is asked of the gateway alone."""
    gateway.clear()
    return gateway


pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = {"stream": True}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
MESSAGES = {"max_tokens": 50, "messages": [{"role": "user", "content": "count me"}]}
QUESTION = "How many tokens is this question, and how many its answer?"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "whole": ("/v1/chat/completions", chat(QUESTION, "plain")),
    "stream": ("/v1/chat/completions", chat(QUESTION, "plain", **STREAM)),
    "stream, usage asked for": ("/v1/chat/completions", chat(QUESTION, "plain", **ASKED)),
    "several choices": ("/v1/chat/completions", chat(QUESTION, "plain", n=3)),
    "several choices, streamed": ("/v1/chat/completions", chat(QUESTION, "plain", n=3, **STREAM)),
    "completion": ("/v1/completions", {"model": "plain", "prompt": QUESTION, "max_tokens": 9}),
    "completion, streamed": (
        "/v1/completions",
        {"model": "plain", "prompt": QUESTION, "max_tokens": 9, **STREAM},
    ),
    "embedding": ("/v1/embeddings", {"model": "plain", "input": [QUESTION, "two"]}),
    "Anthropic's client": ("/v1/messages", {"model": "plain", **MESSAGES}),
    "Anthropic's client, streamed": ("/v1/messages", {"model": "plain", **MESSAGES, **STREAM}),
    "Anthropic's own server": ("/v1/messages", {"model": "claude", **MESSAGES}),
    "Anthropic's own server, streamed": (
        "/v1/messages",
        {"model": "claude", **MESSAGES, **STREAM},
    ),
    "a chat with Anthropic's server, streamed": (
        "/v1/chat/completions",
        chat(QUESTION, "claude", **STREAM),
    ),
    "Responses": ("/v1/responses", {"model": "plain", "input": QUESTION}),
    "Responses, streamed": ("/v1/responses", {"model": "plain", "input": QUESTION, **STREAM}),
    "counts with each event": (
        "/v1/chat/completions",
        chat(QUESTION, "slow-each", max_tokens=5, **STREAM),
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_ask_is_charged_what_the_server_counts(books: Books, way: str) -> None:
    """Bugs 5 (a stream without usage is 0 tokens), 6 (Messages and Responses are not counted), 7
    (Anthropic's stream counts its output only), 8 (usage is counted twice at a stream's end), 9 (1
    per request is charged) and 12 (nothing is counted where a model's name upstream differs)."""
    path, body = WAYS[way]
    answer = await books.router.ask(body, {"anthropic-version": "2023-06-01"}, path)
    assert answer.status == 200, answer.body
    line = await books.router.line(answer)
    (took,) = books.took()
    assert (line["prompt_tokens"], line.get("completion_tokens")) == (took.prompt, took.completion)
    assert "usage_estimated" not in line and "unserved_tokens" not in line
    assert line["model"] == body["model"] and books.charged(line["model"]) == books.charged()
    assert books.charged() == (took.prompt, took.completion)
    assert line["cost"] == pytest.approx((took.prompt + 3 * took.completion) / 1e6)
    assert sum(books.counted("wayside_cost_total").values()) == pytest.approx(line["cost"])


@pytest.mark.parametrize("model", ["plain", "silent", "slow-each"])
@pytest.mark.parametrize("asked", [False, True], ids=["not asked", "asked"])
async def test_a_client_gets_the_usage_that_it_asked_for_and_no_other(
    books: Books, model: str, asked: bool
) -> None:
    body = chat(QUESTION, model, max_tokens=6, **(ASKED if asked else STREAM))
    answer = await books.router.ask(body)
    events = [e for e in answer.body.split(b"\n\n") if e.startswith(b"data: {")]
    assert answer.body.endswith(b"data: [DONE]\n\n")
    said = [json.loads(event[6:]) for event in events]
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in said if e["choices"])
    assert text.startswith("This is ")
    counted = [event["usage"] for event in said if event.get("usage")]
    (took,) = books.took()
    if asked:
        assert [(u["prompt_tokens"], u["completion_tokens"]) for u in counted] == [
            (took.prompt, took.completion)
        ]
        assert said[-1]["choices"] == []
    else:
        assert counted == [] and all(event["choices"] for event in said)


async def test_a_stream_that_nobody_may_ask_for_usage_is_estimated(books: Books) -> None:
    """Bug 5 again: a stream without usage is never 0 tokens."""
    answer = await books.router.ask(chat(QUESTION, "silent", **STREAM))
    line = await books.router.line(answer)
    (took,) = books.took()
    assert line["usage_estimated"] == "missing"
    assert line["completion_tokens"] == pytest.approx(took.completion, abs=2)
    assert line["prompt_tokens"] == pytest.approx(took.prompt, rel=2)
    assert books.counted("wayside_usage_estimated_total") == {("silent", "missing"): 1}


async def test_an_attempt_that_is_reset_is_not_charged(attempts: Books) -> None:
    """The caller is charged once, for the attempt that answered; the other one is in the books."""
    shaky = attempts.sims["resets"]
    for _ in range(40):
        answer = await attempts.router.ask(chat(QUESTION, "shaky"))
        line = await attempts.router.line(answer)
        (took,) = attempts.took()
        assert (line["prompt_tokens"], line["completion_tokens"]) == (took.prompt, took.completion)
        assert attempts.charged() == (took.prompt, took.completion)
        if shaky.requests:
            assert [a["outcome"] for a in line["attempts"]] == ["upstream_reset", "ok"]
            # Nobody knows what the other server did before it broke off: its prompt at most.
            assert line["unserved_tokens"] == took.prompt
            assert [a.get("unserved_tokens") for a in line["attempts"]] == [took.prompt, None]
            assert line["unserved_cost"] == pytest.approx(took.prompt / 1e6)
            unserved = attempts.counted("wayside_unserved_tokens_total")
            assert unserved == {("shaky", "upstream_reset"): took.prompt}
            return
        attempts.clear()
    pytest.fail("no request went to the server that resets")


async def test_the_model_that_answers_is_charged_not_the_one_that_was_asked(
    attempts: Books,
) -> None:
    answer = await attempts.router.ask(chat(QUESTION, "down", **STREAM))
    line = await attempts.router.line(answer)
    (took,) = attempts.took()
    assert (line["model"], line["fallback_from"]) == ("plain", "down")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (took.prompt, took.completion)
    assert attempts.charged("plain") == (took.prompt, took.completion) == attempts.charged()
    assert {a["status"] for a in line["attempts"] if a["model"] == "down"} == {503}
    assert "unserved_tokens" not in line, "an error is an answer, and costs nothing"


async def test_a_hedge_is_charged_once(attempts: Books) -> None:
    for _ in range(40):  # until the first attempt is made at the server that hangs
        answer = await attempts.router.ask(chat(QUESTION, "pair"))
        line = await attempts.router.line(answer)
        (took,) = attempts.took()
        assert (line["prompt_tokens"], line["completion_tokens"]) == (took.prompt, took.completion)
        assert attempts.charged("pair") == (took.prompt, took.completion)
        if "attempts" in line:
            assert {a["outcome"] for a in line["attempts"]} == {"ok", "hedge_lost"}
            assert line["unserved_tokens"] == took.prompt
            return
        attempts.clear()
    pytest.fail("no attempt was hedged")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_from_the_cache_is_charged_to_nobody(books: Books, stream: bool) -> None:
    body = chat(f"{QUESTION} {stream} {books.router.url}", "cached", stream=stream)
    headers = {"x-authz-user-id": "alice"}
    first = await books.router.line(await books.router.ask(body, headers))
    (took,) = books.took()
    books.clear()
    answer = await books.router.ask(body, headers)
    line = await books.router.line(answer)
    assert line["path"] == "cache" and books.took() == []
    assert "prompt_tokens" not in line and "cost" not in line
    assert books.charged() == (0, 0) and books.counted("wayside_cost_total") == {}
    assert line["saved_tokens"] == took.prompt + took.completion
    assert line["saved_cost"] == pytest.approx(first["cost"])
    saved = books.counted("wayside_cache_saved_tokens_total")
    assert sum(saved.values()) == line["saved_tokens"] and {k[0] for k in saved} == {"plain"}


async def test_every_call_of_a_flow_is_charged_to_its_model(books: Books) -> None:
    answer = await books.router.ask(chat(QUESTION, "fusion"))
    assert answer.status == 200, answer.body
    line = await books.router.line(answer)
    took = books.took()
    assert len(took) == len(line["calls"]) == 4
    for model, upstream in (("plain", "vendor/plain-v2"), ("steady", "shaky")):
        theirs = [t for t in took if t.model == upstream]
        assert books.charged(model) == (
            sum(t.prompt for t in theirs),
            sum(t.completion for t in theirs),
        )
    assert line["prompt_tokens"] == sum(t.prompt for t in took)
    assert line["completion_tokens"] == sum(t.completion for t in took)
    assert sum(books.counted("wayside_cost_total").values()) == pytest.approx(line["cost"])


async def _leave_after(books: Books, body: dict[str, Any], events: int) -> dict[str, Any]:
    """The log line of a client that leaves when it has had so many events."""
    seen = len(books.router.access.lines)
    async with (
        aiohttp.ClientSession() as session,
        session.post(books.router.url + "/v1/chat/completions", json=body) as response,
    ):
        got = b""
        while got.count(b"\n\n") < events:
            got += await response.content.readany()
        response.close()
    async with asyncio.timeout(5):
        while len(books.router.access.lines) == seen:
            await asyncio.sleep(0.01)
        while not books.took():
            await asyncio.sleep(0.01)
    return books.router.access.lines[-1]


async def test_a_client_that_leaves_is_charged_for_what_was_made(books: Books) -> None:
    """Exact would be what its server had made when it heard; the estimate is what it told."""
    line = await _leave_after(books, chat(QUESTION, "slow", **STREAM), 10)
    (took,) = books.took()
    assert took.ending == "abort" and took.told < 400
    assert line["usage_estimated"] == "broken"
    assert line["completion_tokens"] == pytest.approx(took.told, abs=3)
    assert line["completion_tokens"] >= 8
    assert books.charged("slow")[1] == line["completion_tokens"]
    assert books.counted("wayside_usage_estimated_total") == {("slow", "broken"): 1}


async def test_with_counts_in_each_event_a_client_that_leaves_is_charged_exactly(
    books: Books,
) -> None:
    line = await _leave_after(books, chat(QUESTION, "slow-each", **STREAM), 10)
    (took,) = books.took()
    assert "usage_estimated" not in line
    assert line["prompt_tokens"] == took.prompt
    # An event may be on its way when the client leaves.
    assert took.told - 2 <= line["completion_tokens"] <= took.told
    assert books.charged("slow-each") == (took.prompt, line["completion_tokens"])


async def _cut(books: Books, model: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        body = chat(QUESTION, model, **STREAM)
        with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
            async with session.post(
                books.router.url + "/v1/chat/completions", json=body
            ) as response:
                said = b""
                async for piece in response.content.iter_any():
                    said += piece
                assert b"[DONE]" not in said
    async with asyncio.timeout(5):
        while not books.counted("wayside_tokens_total"):
            await asyncio.sleep(0.01)
    return books.router.access.lines[-1]


async def test_a_stream_that_its_server_breaks_off_is_estimated_and_says_so(
    attempts: Books,
) -> None:
    line = await _cut(attempts, "cuts")
    (took,) = attempts.took()
    assert took.told == CUT_AFTER - 1, "one event says the role"
    assert line["usage_estimated"] == "broken"
    assert line["completion_tokens"] == pytest.approx(took.told, abs=2)
    assert attempts.charged("cuts") == (line["prompt_tokens"], line["completion_tokens"])
    assert attempts.counted("wayside_usage_estimated_total") == {("cuts", "broken"): 1}


async def test_with_counts_in_each_event_a_broken_stream_is_charged_exactly(
    attempts: Books,
) -> None:
    line = await _cut(attempts, "cuts-each")
    (took,) = attempts.took()
    assert "usage_estimated" not in line
    assert (line["prompt_tokens"], line["completion_tokens"]) == (took.prompt, took.told)
    assert attempts.charged("cuts-each") == (took.prompt, took.told)


async def test_what_costs_nothing_is_not_counted(books: Books) -> None:
    """Bug 11 (a list of models is metered) and counting tokens, which takes none."""
    await books.router.get("/v1/models")
    body = {"model": "claude", "messages": MESSAGES["messages"]}
    answer = await books.router.ask(
        body, {"anthropic-version": "2023-06-01"}, "/v1/messages/count_tokens"
    )
    assert answer.status == 200 and answer.json["input_tokens"] > 0
    line = await books.router.line(answer)
    assert "prompt_tokens" not in line and books.counted() == {}
    assert books.counted("wayside_usage_estimated_total") == {}


async def test_many_at_once_add_up(books: Books) -> None:
    """Bug 1 (parallel requests pass on one reading) needs a limit; the meter behind it adds up."""
    asking = [
        books.router.ask(chat(f"{QUESTION} {i}", "plain", max_tokens=i + 1, stream=i % 2 == 0))
        for i in range(40)
    ]
    answers = await asyncio.gather(*asking)
    lines = [await books.router.line(answer) for answer in answers]
    took = books.took()
    assert len(took) == 40
    assert sum(line["prompt_tokens"] for line in lines) == sum(t.prompt for t in took)
    assert sum(line["completion_tokens"] for line in lines) == sum(t.completion for t in took)
    assert books.charged() == (sum(t.prompt for t in took), sum(t.completion for t in took))


async def test_a_client_that_leaves_before_the_answer_is_charged_nothing(attempts: Books) -> None:
    """What its server did until then is the provider's to say: told apart, and as a guess."""
    seen = len(attempts.router.access.lines)
    body = chat(QUESTION, "hung")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
        with pytest.raises(TimeoutError):
            await session.post(attempts.router.url + "/v1/chat/completions", json=body)
    async with asyncio.timeout(5):
        while len(attempts.router.access.lines) == seen:
            await asyncio.sleep(0.01)
    line = attempts.router.access.lines[-1]
    assert line["status"] == 499 and "prompt_tokens" not in line and "cost" not in line
    assert attempts.charged() == (0, 0)
    assert attempts.counted("wayside_unserved_tokens_total") == {
        ("hung", "cancelled"): line["unserved_tokens"]
    }
    assert line["unserved_tokens"] == pytest.approx(len(json.dumps(body)) / 4, abs=3)


async def test_calls_without_usage_are_estimated_and_say_so() -> None:
    """Bug 5 (a call without usage is 0 tokens), of the calls that a flow makes."""

    async def answer(request: web.Request) -> web.Response:
        turn = {"role": "assistant", "content": "All of these words have to be paid for."}
        return web.json_response({"choices": [{"index": 0, "message": turn}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    server = test_utils.TestServer(app)
    async with server:
        document = {
            "models": {name: {"endpoints": [str(server.make_url(""))]} for name in ("a", "b")},
            "routing": {"decisions": [{"name": "all", "models": ["a", "b"], "select": "ratings"}]},
        }
        async with running("gateway", document) as router:
            line = await router.line(await router.ask(chat(QUESTION)))
    assert line["usage_estimated"] == "missing"
    assert {call["usage_estimated"] for call in line["calls"]} == {"missing"}
    assert 2 * 7 <= line["completion_tokens"] <= 2 * 13


@pytest.mark.parametrize("shown", [False, True])
async def test_behind_envoy_counting_can_be_switched_off(shown: bool) -> None:
    """Then nobody asks for usage either, as nobody would take it out of the stream again."""
    async with serve_sim([SERVERS["plain"]]) as (sim,):
        document = {
            "models": {"vendor/plain-v2": {"endpoints": [sim.url]}},
            "extproc": {"count_usage": shown},
        }
        async with running("envoy", document) as router:
            answer = await router.ask(chat(QUESTION, "vendor/plain-v2", **STREAM))
            line = await router.line(answer)
        assert ("prompt_tokens" in line) is shown
        assert (b"include_usage" in sim.requests[0].body) is shown
        assert b'"usage": {' not in answer.body and answer.body.endswith(b"[DONE]\n\n")


async def test_a_server_that_refuses_to_be_asked_is_named_in_the_log() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "stream_options" in await request.json():
            detail = {"type": "extra_forbidden", "loc": ["body", "stream_options"]}
            return web.json_response({"detail": [detail]}, status=422)
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with test_utils.TestServer(app) as server:
        document = {"models": {"strict": {"endpoints": [str(server.make_url(""))]}}}
        async with running("gateway", document) as router:
            said: list[str] = []
            router.app.log.write = lambda event, level, fields: said.append(f"{event} {fields}")  # type: ignore[method-assign]
            assert (await router.ask(chat(QUESTION, "strict", **STREAM))).status == 422
    assert any("usage refused" in line and "usage: asked" in line for line in said)
