"""The response cache as a client meets it: through both shells, whole and streamed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openai import AsyncOpenAI
from tests.running import SHELLS, Answer, Running, chat, running

CACHE = {"mode": "exact_then_semantic", "threshold": 0.7, "wait_s": 5}


def config(plugins: dict[str, Any] | None = None) -> dict[str, Any]:
    decision = {
        "name": "all",
        "models": ["m"],
        "plugins": {"response_cache": CACHE, **(plugins or {})},
    }
    return {"identity": {"trusted": True}, "routing": {"decisions": [decision]}}


class Counter:
    """A model server that numbers its answers and says what it is told to say."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.says = "Answer {n}."
        self.status = 200
        self.why = "stop"
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        said = self.says.format(n=len(self.bodies))
        if not body.get("stream"):
            await self.gate.wait()
        each = {"id": f"c{len(self.bodies)}", "created": 1, "model": "m"}
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        if self.status != 200:
            return web.json_response({"error": {"message": "busy"}}, status=self.status)
        if not body.get("stream"):
            turn = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": turn, "finish_reason": self.why}
            whole = {**each, "object": "chat.completion", "choices": [choice], "usage": usage}
            return web.json_response(whole)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        pieces = [({"role": "assistant", "content": ""}, None)]
        pieces += [({"content": said[i : i + 3]}, None) for i in range(0, len(said), 3)]
        for delta, end in [*pieces, ({}, self.why)]:
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            data = {**each, "object": "chat.completion.chunk", "choices": [choice]}
            await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            await self.gate.wait()
        await response.write(b"data: [DONE]\n\n")
        return response


@contextlib.asynccontextmanager
async def caching(
    shell: str, plugins: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Running, Counter]]:
    counter = Counter()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", counter.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    models = {"m": {"endpoints": [f"http://127.0.0.1:{runner.addresses[0][1]}"]}}
    try:
        async with running(shell, {**config(plugins), "models": models}) as router:
            yield router, counter
    finally:
        counter.gate.set()
        await runner.cleanup()


ALICE = {"x-authz-user-id": "alice"}
QUESTION = "What is the capital of France?"
both = pytest.mark.parametrize("shell", SHELLS)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


async def ask(
    router: Running, text: str = QUESTION, who: dict[str, str] | None = None, **more: Any
) -> Answer:
    """Ask, and wait until what is done after the answer is done."""
    answer = await router.ask(chat(text, **more), ALICE if who is None else who)
    await router.line(answer)  # its end has been seen
    await router.app.runtime.settled()
    return answer


@both
@streamed
async def test_the_second_time_no_model_is_asked(shell: str, stream: bool) -> None:
    async with caching(shell) as (router, counter):
        first = await ask(router, stream=stream)
        assert first.headers["x-wayside-cache"] == "miss; scope=user"
        assert first.headers["x-vsr-response-path"] == "upstream"
        second = await ask(router)
        assert second.headers["x-vsr-cache-hit"] == "true"
        assert second.headers["x-vsr-response-path"] == "cache"
        assert len(counter.bodies) == 1
        assert second.json["choices"][0]["message"]["content"] == "Answer 1."
        assert second.json["id"].startswith("chatcmpl-cache-")
        line = await router.line(second)
        assert line["path"] == "cache" and line["decision"] == "all" and line["model"] == ""
        assert "prompt_tokens" not in line and "cost" not in line, "no model counted anything"


@both
async def test_what_was_whole_is_told_again_as_a_stream(shell: str) -> None:
    async with caching(shell) as (router, counter):
        await ask(router)
        url = f"{router.url}/v1"
        async with AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as ai:
            stream = await ai.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": QUESTION}],
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=ALICE,
            )
            chunks = [chunk async for chunk in stream]
        told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert told == "Answer 1." and len(counter.bodies) == 1
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 3


@both
async def test_another_wording_hits_and_another_country_does_not(shell: str) -> None:
    async with caching(shell) as (router, counter):
        await ask(router)
        near = await ask(router, "what's the capital of france")
        assert near.headers["x-wayside-cache"] == "near; scope=user"
        other = await ask(router, "What is the capital of Finland?")
        assert "x-vsr-cache-hit" not in other.headers
        assert other.json["choices"][0]["message"]["content"] == "Answer 2."
        assert len(counter.bodies) == 2


async def test_nobody_gets_what_was_told_to_somebody_else() -> None:
    async with caching("gateway") as (router, counter):
        await ask(router)
        for who in ({"x-authz-user-id": "bob"}, {"authorization": "Bearer k"}, {}):
            answer = await ask(router, who=who)
            assert "x-vsr-cache-hit" not in answer.headers
        assert answer.headers["x-wayside-cache"] == "off; nobody knows who asks"
        assert len(counter.bodies) == 4


async def test_what_a_guard_of_answers_stopped_or_changed_is_not_kept() -> None:
    guard = {"response_pii": {"action": "block", "types": ["CREDIT_CARD"]}}
    for rule in (guard, {"response_pii": {"action": "redact", "types": ["CREDIT_CARD"]}}):
        async with caching("gateway", rule) as (router, counter):
            counter.says = "It is 4111 1111 1111 1111 ({n})."
            for stream in (False, True, False):
                answer = await ask(router, stream=stream)
                assert "x-vsr-cache-hit" not in answer.headers
                assert b"4111" not in answer.body
            assert len(counter.bodies) == 3


@pytest.mark.parametrize(("status", "why"), [(500, "stop"), (200, "length")])
async def test_errors_and_cut_answers_are_not_kept(status: int, why: str) -> None:
    async with caching("gateway") as (router, counter):
        counter.status, counter.why = status, why
        await ask(router)
        counter.status, counter.why = 200, "stop"
        answer = await ask(router)
        assert "x-vsr-cache-hit" not in answer.headers
        assert (await ask(router)).headers["x-vsr-cache-hit"] == "true"


async def test_those_who_ask_the_same_at_once_wait_for_one_answer() -> None:
    async with caching("gateway") as (router, counter):
        counter.gate.clear()
        asked = [asyncio.create_task(ask(router)) for _ in range(8)]
        while not counter.bodies:
            await asyncio.sleep(0.01)
        counter.gate.set()
        answers = await asyncio.gather(*asked)
        assert len(counter.bodies) == 1
        assert sum("x-vsr-cache-hit" in a.headers for a in answers) == 7
        assert len({a.json["id"] for a in answers}) == 8, "each has an id of its own"


async def test_a_client_that_leaves_lets_the_others_go_on() -> None:
    async with caching("gateway") as (router, counter):
        counter.gate.clear()
        body = json.dumps(chat(QUESTION, stream=True)).encode()
        headers = {**ALICE, "content-type": "application/json"}
        async with aiohttp.ClientSession() as session:
            url = f"{router.url}/v1/chat/completions"
            leaving = await session.post(url, data=body, headers=headers)
            waiting = asyncio.create_task(ask(router))
            await asyncio.sleep(0.05)
            leaving.close()
        began = asyncio.get_running_loop().time()
        while len(counter.bodies) < 2:
            await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() - began < 4, "before wait_s is over"
        counter.gate.set()
        answer = await waiting
        assert answer.json["choices"][0]["message"]["content"] == "Answer 2."
        assert (await ask(router)).headers["x-vsr-cache-hit"] == "true"


async def test_a_client_may_ask_for_a_fresh_answer() -> None:
    async with caching("gateway") as (router, _):
        await ask(router)
        for header in ("x-vsr-cache-control", "cache-control"):
            answer = await ask(router, who={**ALICE, header: "no-cache"})
            assert answer.headers["x-wayside-cache"] == "miss; scope=user"
        hit = await ask(router)
        assert hit.json["choices"][0]["message"]["content"] == "Answer 3."


async def test_a_guard_of_requests_that_is_written_after_the_cache_still_runs_before_it() -> None:
    async with caching("gateway", {"pii": {"action": "block", "message": "No."}}) as (
        router,
        counter,
    ):
        await ask(router, "Is ann@example.org an address?")
        answer = await ask(router, "Is ann@example.org an address?")
        assert answer.json["choices"][0]["message"]["content"] == "No."
        assert not counter.bodies
