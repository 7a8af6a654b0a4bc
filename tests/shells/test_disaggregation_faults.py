"""What prefill servers may do to a request, and what becomes of it, in both shells."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from tests.running import SHELLS, Running, chat, running
from tests.shells.test_disaggregation import PARAMS, Server, served

ROLE = "llm-d.ai/role"
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Odd(Server):
    """Answers what it is told to, the first so many times."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.odd: list[Any] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:  # type: ignore[override]
        if self.odd:
            self.asked.append(await request.json())
            self.headers.append(request.headers)
            return await self.odd.pop(0)(request)  # type: ignore[no-any-return]
        return await super().answer(request)

    @property
    def handed_over(self) -> list[Any]:
        """By request: whether it was to write, to read, or both itself."""
        kinds = []
        for body in self.asked:
            params = body.get("kv_transfer_params") or {}
            kinds.append("read" if params.get("do_remote_decode") else "write" if params else "")
        return kinds


def said(body: bytes, status: int = 200, **headers: str) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            body=body, status=status, headers={"content-type": "application/json", **headers}
        )

    return answer


async def breaks(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def streams(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(3):
        await response.write(b'data: {"choices":[]}\n\n')
    await response.write(b"data: [DONE]\n\n")
    return response


class Cast:
    def __init__(self, router: Running, servers: dict[str, Odd]) -> None:
        self.router, self.servers = router, servers

    def __getattr__(self, name: str) -> Odd:
        return self.servers[name]

    def reset(self) -> None:
        for server in self.servers.values():
            server.asked.clear()
            server.headers.clear()
            server.odd.clear()
        pool = self.router.app.fleet.pools["m"]
        assert pool.prefill is not None
        for replica in pool.everybody:
            replica.troubled = True
            replica.completed()
            replica.on_trial = False
        for each in (pool, pool.prefill):
            each._review_at = 0.0

    async def idle(self) -> None:
        """Until nothing is counted as under way any more; Envoy tells of an end after it."""
        pool = self.router.app.fleet.pools["m"]
        assert pool.prefill is not None
        async with asyncio.timeout(5):
            while pool.in_flight or pool.prefill.in_flight:
                await asyncio.sleep(0.01)
        assert [replica.in_flight for replica in pool.everybody] == [0] * len(pool.everybody)


@contextlib.asynccontextmanager
async def cast(
    shell: str,
    roles: dict[str, str],
    apart: dict[str, Any],
    top: dict[str, Any] | None = None,
    **model: Any,
) -> AsyncIterator[Cast]:
    servers = {name: Odd(name) for name in roles}
    async with contextlib.AsyncExitStack() as stack:
        endpoints = [
            {
                "url": await stack.enter_async_context(served(server)),
                "name": name,
                "labels": {ROLE: roles[name]},
            }
            for name, server in servers.items()
        ]
        document = {
            "models": {"m": {"endpoints": endpoints, "disaggregation": apart, **model}},
            "identity": {"trusted": True},
            **(top or {}),
        }
        env = {"KEY": "s3cret"}
        yield Cast(await stack.enter_async_context(running(shell, document, env)), servers)


@pytest_asyncio.fixture(scope="module", params=SHELLS, loop_scope="module")
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Cast]:
    roles = {"p1": "prefill", "p2": "prefill", "d": "decode"}
    apart = {"timeout_s": 0.5, "without": "refuse"}
    credential = {"env": "KEY"}
    async with cast(request.param, roles, apart, credential=credential) as found:
        yield found


async def test_a_prefill_server_is_asked_as_the_client_would_be(stage: Cast) -> None:
    stage.reset()
    headers = {
        "x-request-id": "r-1",
        "authorization": "Bearer client",
        "traceparent": "00-1-2-01",
        "x-vsr-anything": "1",
        "x-user-openai-key": "theirs",
    }
    answer = await stage.router.ask(chat("why", "m"), headers)
    assert answer.status == 200 and answer.headers["x-request-id"] == "r-1"
    (asked,) = stage.p1.headers + stage.p2.headers
    (wrote,) = stage.d.headers
    for name in ("x-request-id", "authorization", "traceparent"):
        assert asked.getall(name) == wrote.getall(name)
    assert asked["authorization"] == "Bearer s3cret"
    assert not [name for name in asked if name.lower().startswith(("x-vsr", "x-user", ":"))]


@pytest.mark.parametrize(
    "more",
    [{"n": 3}, {"best_of": 2}, {"prompt": ["a", "b"]}, {"prompt": [[1, 2], [3]]}],
)
async def test_several_answers_or_prompts_are_not_handed_over(stage: Cast, more: Any) -> None:
    stage.reset()
    answer = await stage.router.ask(chat("why", "m", **more))
    assert answer.status == 200
    assert stage.d.handed_over == [""] and not stage.p1.asked + stage.p2.asked


@pytest.mark.parametrize("prompt", ["a", ["a"], [1, 2, 3], [[1, 2, 3]]])
async def test_one_prompt_is(stage: Cast, prompt: Any) -> None:
    stage.reset()
    body = chat("why", "m", prompt=prompt, n=1, logprobs=True, top_logprobs=3, max_tokens=0)
    assert (await stage.router.ask(body)).status == 200
    assert stage.d.handed_over == ["write"]
    (read,) = stage.p1.asked + stage.p2.asked
    assert read["max_tokens"] == 1 and read["prompt"] == prompt
    assert not {"n", "logprobs", "top_logprobs"} & set(read)


BAD = {
    "no JSON": said(b"<html>"),
    "compressed": said(gzip.compress(b'{"kv_transfer_params":{"a":1}}'), **{"x-was": "gzip"}),
    "a list": said(b'{"kv_transfer_params":[1]}'),
    "a text": said(b'{"kv_transfer_params":"p"}'),
    "null": said(b'{"kv_transfer_params":null}'),
    "bad UTF-8": said(b'{"kv_transfer_params":{"a":"\xff"}}'),
    "without end": said(b'{"kv_transfer_params":{"a":' + b"[" * 200_000),
    "a stream": streams,
}


@pytest.mark.parametrize("how", BAD)
async def test_an_answer_that_says_nothing_is_no_prefill(stage: Cast, how: str) -> None:
    stage.reset()
    stage.p1.odd = stage.p2.odd = [BAD[how]]
    answer = await stage.router.ask(chat("why", "m"))
    assert answer.status == 503 and not stage.d.asked
    await stage.idle()


@pytest.mark.parametrize(
    "how",
    [
        said(b"{}", 302, location="http://127.0.0.1:1/"),
        said(b"{}", 404),
        said(b"{}", 401),
        said(b"{}", 500),
        said(b'{"kv_transfer_params":{"a":"' + b"x" * (17 << 20) + b'"}}'),
        breaks,
    ],
    ids=["redirect", "no model", "no key", "error", "too large", "breaks off"],
)
async def test_another_one_is_asked(stage: Cast, how: Any) -> None:
    stage.reset()
    first = asyncio.Event()

    async def once(request: web.Request) -> web.Response:
        if first.is_set():
            return await Server.answer(stage.p1, request)
        first.set()
        return await how(request)  # type: ignore[no-any-return]

    stage.p1.odd, stage.p2.odd = [once], [once]
    answer = await stage.router.ask(chat("why", "m"))
    assert answer.status == 200 and stage.d.handed_over == ["write"]
    assert len(stage.p1.asked + stage.p2.asked) >= 2
    await stage.idle()


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_request_is_refused_by_who_writes(stage: Cast, status: int) -> None:
    stage.reset()
    stage.p1.odd = stage.p2.odd = [said(b'{"error":{"message":"theirs"}}', status)]
    stage.d.odd = [said(b'{"error":{"message":"mine"}}', status)]
    answer = await stage.router.ask(chat("why", "m"))
    assert answer.status == status and b"mine" in answer.body
    assert stage.d.handed_over == [""]


async def test_one_that_hangs_leaves_the_rotation(stage: Cast) -> None:
    stage.reset()
    stage.p1.odd = [hangs] * 20
    loop = asyncio.get_running_loop()
    statuses = []
    for _ in range(12):
        began = loop.time()
        statuses.append((await stage.router.ask(chat("why", "m"))).status)
        assert loop.time() - began < 3.0
    failures = stage.router.app.fleet.pools["m"].everybody[0].breaker.failures
    assert statuses.count(503) <= failures
    assert statuses[-2:] == [200, 200]
    await stage.idle()


async def test_a_refusal_is_not_the_decode_servers_fault(stage: Cast) -> None:
    stage.reset()
    for _ in range(20):
        stage.p1.odd, stage.p2.odd = [said(b"{}", 404)], [said(b"{}", 404)]
        assert (await stage.router.ask(chat("why", "m"))).status == 503
    await stage.idle()
    pool = stage.router.app.fleet.pools["m"]
    assert [(r.errors, r.failures) for r in pool.replicas] == [(0, 0)]


async def test_a_client_that_leaves_while_a_prompt_is_read_leaves_nothing(stage: Cast) -> None:
    stage.reset()
    stage.p1.odd, stage.p2.odd = [hangs], [hangs]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await stage.router.ask(chat("why", "m"))
    await stage.idle()
    assert not stage.d.asked


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("how", ["two_step", "header"])
async def test_nobody_hands_anything_over_to_itself(shell: str, how: str) -> None:
    async with cast(shell, {"a": "both", "b": "both"}, {"how": how}) as stage:
        for _ in range(8):
            stage.reset()
            answer = await stage.router.ask(chat("why", "m"))
            writer = stage.servers[answer.json["choices"][0]["message"]["content"]]
            (other,) = (s for s in stage.servers.values() if s is not writer)
            if how == "two_step":
                assert (writer.handed_over, other.handed_over) == (["write"], ["read"])
            else:
                port = writer.headers[-1]["x-prefiller-host-port"]
                assert writer.headers[-1]["host"] != port and not other.asked
        await stage.idle()


@pytest.mark.parametrize("shell", SHELLS)
async def test_one_server_that_does_both_does_both(shell: str) -> None:
    async with cast(shell, {"a": "both"}, {}) as stage:
        assert (await stage.router.ask(chat("why", "m"))).status == 200
        assert stage.a.handed_over == [""]


async def test_a_prompt_is_read_again_for_another_try() -> None:
    """vLLM's prefill server gives its blocks up as soon as they were fetched."""
    roles = {"p": "prefill", "d": "decode", "e": "decode"}
    retries = {"attempts": 3, "backoff_s": 0.01, "retry_on": ["connect", "reset", "503"]}
    async with cast("gateway", roles, {}, retries=retries) as stage:
        for how in (breaks, said(b"{}", 503)):
            stage.reset()
            stage.d.odd = stage.e.odd = [how]
            stage.p.params = {**PARAMS, "remote_block_ids": [len(stage.p.asked)]}
            answer = await stage.router.ask(chat("why", "m"))
            assert answer.status == 200
            assert stage.p.handed_over == ["read", "read"]
            assert sorted(stage.d.handed_over + stage.e.handed_over) == ["write", "write"]
            await stage.idle()


async def test_the_log_tells_who_read_the_prompt() -> None:
    async with cast("gateway", {"p": "prefill", "d": "decode"}, {}) as stage:
        answer = await stage.router.ask(chat("why", "m"))
        line = await stage.router.line(answer)
        assert line["endpoint"] == "d" and line["prompt_tokens"] == 3
        found = [(t["endpoint"], t["kind"], t["outcome"]) for t in line["attempts"]]
        assert found == [("p", "prefill", "ok"), ("d", "first", "ok")]
        assert "unserved_tokens" not in line
        text = stage.router.app.telemetry.metrics.text().decode()
        assert 'wayside_upstream_attempts_total{model="m",outcome="ok"} 1' in text


async def test_no_hedge_fetches_what_the_first_attempt_fetches() -> None:
    roles = {"p": "prefill", "d": "decode", "e": "decode"}

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return await Server.answer(Server("slow"), request)

    async with cast("gateway", roles, {}, hedge={"after_s": 0.05, "share": 1.0}) as stage:
        stage.d.odd = stage.e.odd = [slow]
        assert (await stage.router.ask(chat("why", "m"))).status == 200
        assert len(stage.d.asked + stage.e.asked) == 1
        await stage.idle()


@pytest.mark.parametrize("shell", SHELLS)
async def test_where_a_cache_is_may_be_longer_than_requests_may_be(shell: str) -> None:
    roles = {"p": "prefill", "d": "decode"}
    blocks = list(range(40_000))  # 230 kB; a prompt of 640,000 tokens
    limits = {"max_body_bytes": 100_000}
    async with cast(shell, roles, {}, top={"limits": limits}) as stage:
        stage.p.params = {**PARAMS, "remote_block_ids": blocks}
        for size in (10, 99_000):
            assert (await stage.router.ask(chat("y" * size, "m"))).status == 200
            assert stage.d.last["kv_transfer_params"]["remote_block_ids"] == blocks
        assert (await stage.router.ask(chat("y" * 100_000, "m"))).status == 413
        assert len(stage.p.asked) == 2


@pytest.mark.parametrize("shell", SHELLS)
async def test_whoever_a_sidecar_asks_counts_as_busy_until_the_answer_begins(shell: str) -> None:
    roles = {"p1": "prefill", "p2": "prefill", "d": "decode"}
    gate = asyncio.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return await streams(request)

    async with cast(shell, roles, {"how": "header"}, picking="least_requests") as stage:
        pool = stage.router.app.fleet.pools["m"]
        assert pool.prefill is not None
        stage.d.odd = [waits] * 4
        asked = [asyncio.create_task(stage.router.ask(chat("why", "m"))) for _ in range(4)]
        async with asyncio.timeout(5):
            while len(stage.d.asked) < 4:
                await asyncio.sleep(0.01)
        assert [replica.in_flight for replica in pool.prefill.replicas] == [2, 2]
        gate.set()
        assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 4
        await stage.idle()


async def test_a_hedge_is_not_told_to_fetch_from_itself() -> None:
    roles = dict.fromkeys("abc", "both")

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return await Server.answer(Server("slow"), request)

    hedge = {"after_s": 0.02, "share": 1.0}
    async with cast("gateway", roles, {"how": "header"}, hedge=hedge) as stage:
        for _ in range(6):
            stage.reset()
            for server in stage.servers.values():
                server.odd = [slow] * 2
            assert (await stage.router.ask(chat("why", "m"))).status == 200
            heads = [head for server in stage.servers.values() for head in server.headers]
            assert len(heads) == 2
            assert not [h for h in heads if h["host"] == h["x-prefiller-host-port"]]
        await stage.idle()
