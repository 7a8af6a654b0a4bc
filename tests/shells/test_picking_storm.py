"""Whatever happens to requests, whoever hears of a beginning hears of one end (both shells)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.running import SHELLS, Running, chat, running
from tests.shells.test_disaggregation import PARAMS

import wayside.fleet.pool
from wayside.endpoints import Profile
from wayside.endpoints.token_load import TokenLoadScorer
from wayside.settings import RouterSettings

ROLE = "llm-d.ai/role"
FATES = ("ok", "ok", "stream", "slow", "500", "503", "429", "400", "break", "half", "hang", "junk")


class Audit:
    """Hears what every strategy that was ever made hears, and remembers who they were."""

    def __init__(self) -> None:
        self.chosen: Counter[tuple[int, int, int]] = Counter()
        self.answered: Counter[tuple[int, int, int]] = Counter()
        self.ended: Counter[tuple[int, int, int]] = Counter()
        self.kept: list[Any] = []  # so that no id is used twice
        self.endpoints: set[Any] = set()
        self.loads: list[TokenLoadScorer] = []
        self.wrong: list[str] = []

    def profile(self, settings: Any, where: str = "picking") -> Profile:
        made = BUILD(settings, where)
        self.kept.append(made)
        self.loads += [s for s, _ in made._dense if isinstance(s, TokenLoadScorer)]

        def chosen(need: Any, endpoint: Any) -> None:
            self.kept.append(need)
            self.endpoints.add(endpoint)
            self.chosen[id(made), id(need), id(endpoint)] += 1

        def answered(need: Any, endpoint: Any, seconds: float) -> None:
            key = id(made), id(need), id(endpoint)
            self.answered[key] += 1
            if self.chosen[key] <= self.ended[key]:
                self.wrong.append(f"answered when nothing is under way at {endpoint}")

        def ended(need: Any, endpoint: Any) -> None:
            key = id(made), id(need), id(endpoint)
            self.ended[key] += 1
            if self.chosen[key] < self.ended[key]:
                self.wrong.append(f"ended more often than it began at {endpoint}")

        made.choices.append(chosen)
        made.answers.append(answered)
        made.ends.append(ended)
        return made


BUILD = wayside.fleet.pool.profile


class Moody:
    """A model server whose fate is drawn for each request."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        fate = self.dice.choice(FATES)
        if fate == "hang":
            await asyncio.sleep(3)
        if fate in ("slow", "stream"):
            await asyncio.sleep(0.15 * self.dice.random())
        if fate.isdigit():
            headers = {"retry-after": "1"} if self.dice.random() < 0.2 else {}
            error = {"error": {"message": "no"}}
            return web.json_response(error, status=int(fate), headers=headers)
        if fate == "break":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fate == "junk":
            return web.Response(body=b"<html>", content_type="text/html")
        if fate in ("half", "stream") or body.get("stream"):
            return await self._streams(request, fate)
        said: dict[str, Any] = {
            "id": "c",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
        if (body.get("kv_transfer_params") or {}).get("do_remote_decode"):
            said["kv_transfer_params"] = PARAMS
        return web.json_response(said)

    async def _streams(self, request: web.Request, fate: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for i in range(12):
            await response.write(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
            if fate == "half" and i == 5:
                assert request.transport is not None
                request.transport.abort()
                return response
            await asyncio.sleep(0.01 * self.dice.random())
        await response.write(b"data: [DONE]\n\n")
        return response


@contextlib.asynccontextmanager
async def moody(dice: Random, count: int) -> AsyncIterator[list[str]]:
    runners, urls = [], []
    for _ in range(count):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", Moody(dice).answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        runners.append(runner)
        urls.append(f"http://127.0.0.1:{port}")
    yield urls
    for runner in runners:
        await runner.cleanup()


LOADS = ["token_load", {"token_load": {"until": "first_token"}}, "no_hit_lru"]


def documents(urls: list[str]) -> list[dict[str, Any]]:
    """Configurations that follow each other; the first is what is begun with."""
    first = {
        "endpoints": [{"url": url, "labels": {ROLE: "both"}} for url in urls[:4]],
        "picking": {"scorers": LOADS, "picker": "max_score"},
        "disaggregation": {"timeout_s": 0.3},
        "retries": {"attempts": 3, "backoff_s": 0.01, "retry_on": ["connect", "reset", "503"]},
        "timeouts": {"first_byte_s": 0.6, "idle_s": 0.6, "total_s": 2.0},
        "breaker": {"pause_s": 0.1},
        "hedge": {"after_s": 0.1, "share": 0.5},
        "fallbacks": ["n"],
    }
    other = {
        "endpoints": [{"url": url, "max_in_flight": 4} for url in urls[4:]],
        "picking": {"scorers": LOADS, "picker": "power_of_two"},
        "timeouts": {"first_byte_s": 0.6, "idle_s": 0.6, "total_s": 2.0},
        "queue": {"max_queue": 4, "timeout_s": 0.3},
        "breaker": {"pause_s": 0.1},
    }
    both = {"m": first, "n": other}
    alone = {key: value for key, value in first.items() if key != "disaggregation"}
    return [
        {"models": both},
        {"models": {**both, "m": {**first, "endpoints": first["endpoints"][1:]}}},
        {"models": {**both, "m": {**first, "picking": {"scorers": LOADS[:1]}}}},
        {"models": {**both, "m": {**first, "disaggregation": {"how": "header"}}}},
        {"models": {**both, "m": alone}},
        {"models": {"m": {**alone, "fallbacks": []}}},
        {"models": {**both, "m": {k: v for k, v in alone.items() if k != "picking"}}},
        {"models": both},
    ]


async def client(router: Running, session: aiohttp.ClientSession, dice: Random) -> None:
    """One request, whose client may leave at any time."""
    body = chat("word " * dice.randrange(1, 400), dice.choice("mmmn"), stream=dice.random() < 0.5)
    leaves = dice.choice((0.002, 0.05, 0.2, 5.0, 5.0, 5.0, 5.0))
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError):
        async with (
            asyncio.timeout(leaves),
            session.post(router.url + "/v1/chat/completions", json=body) as response,
        ):
            await response.read()


@pytest.mark.parametrize("shell", SHELLS)
async def test_after_a_storm_nothing_counts_as_under_way(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, audit = Random(20), Audit()
    monkeypatch.setattr(wayside.fleet.pool, "profile", audit.profile)
    async with moody(dice, 6) as urls:
        steps = documents(urls)
        async with running(shell, steps[0]) as router:
            fleet = router.app.fleet
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=24, force_close=False)
            ) as session:
                storm: list[asyncio.Task[None]] = []
                for step in steps:
                    settings = RouterSettings.model_validate(step)
                    fleet.replace(settings.models, picking=settings.picking)
                    storm += [
                        asyncio.create_task(client(router, session, dice)) for _ in range(40)
                    ]
                    # The next settings come in its middle.
                    await asyncio.wait(storm, timeout=0.5)
                await asyncio.gather(*storm)
            async with asyncio.timeout(10):
                while audit.chosen != audit.ended:
                    await asyncio.sleep(0.02)
        assert not audit.wrong
        assert sum(audit.chosen.values()) > 150 and sum(audit.answered.values()) > 30
        assert [endpoint.in_flight for endpoint in audit.endpoints if endpoint.in_flight] == []
        pools = [*fleet.pools.values(), *(p.prefill for p in fleet.pools.values() if p.prefill)]
        assert [pool.in_flight for pool in pools] == [0] * len(pools)
        assert len(audit.loads) > 10 and not any(scorer._loads for scorer in audit.loads)
        assert "wayside_pick_faults_total{" not in router.app.telemetry.metrics.text().decode()
