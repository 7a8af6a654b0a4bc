"""Servers that are asked how they are and what they serve, before a request finds out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fleet.pages import ok, page_servers, until
from wayside.fleet import Fleet, Pool
from wayside.fleet.models_seen import ModelsSeen
from wayside.fleet.probe import Prober
from wayside.fleet.rounds import Rounds
from wayside.settings import ModelSettings
from wayside.sim import SimModel, serve_sim

CHECK = {"interval_s": 0.02, "timeout_s": 0.2, "failures": 2, "successes": 2}


class Looked:
    def __init__(self, urls: list[str], **model: Any) -> None:
        settings = ModelSettings.model_validate({"endpoints": urls, **model})
        self.fleet = Fleet({"m": settings})
        self.told: list[tuple[str, str, str]] = []
        self.errors = Counter[str]()

    @property
    def pool(self) -> Pool:
        return self.fleet.pools["m"]

    def tell(self, what: str, model: str, replica: Any, why: str) -> None:
        self.told.append((what, replica.name, why))

    def taken(self) -> set[str]:
        """Who takes requests."""
        now = asyncio.get_running_loop().time()
        dice = iter([i / 40 for i in range(40)] * 2)
        found = [self.pool.pick(now, lambda: next(dice)) for _ in range(30)]
        return {replica.name for replica in found if replica is not None}


@contextlib.asynccontextmanager
async def looked(servers: list[Any], part: Any = Prober, **model: Any) -> AsyncIterator[Looked]:
    some = Looked([s.url for s in servers], **model)
    what = part(some.fleet, tell=some.tell, failed=lambda reason: some.errors.update([reason]))
    task = asyncio.create_task(what.run())
    try:
        yield some
    finally:
        task.cancel()
        await asyncio.wait([task])


def name(server: Any) -> str:
    return f"127.0.0.1:{server.port}"


async def test_a_simulated_server_that_dies_is_left_out_and_comes_back_by_itself() -> None:
    """A3-13; also 7 row 5: no request has to meet it first."""
    async with serve_sim([SimModel("small"), SimModel("small")]) as sims:
        async with looked(sims, health_check=CHECK) as some:
            await until(lambda: some.taken() == {name(s) for s in sims})
            await sims[0].down()
            await until(lambda: some.taken() == {name(sims[1])})
            await sims[0].up()
            await until(lambda: some.taken() == {name(s) for s in sims})
            sims[0].healthy = False
            await until(lambda: some.taken() == {name(sims[1])})
            assert not some.pool.replicas[0].out_until, "no breaker has said anything"
        assert [what for what, _, _ in some.told] == [
            "server left out",
            "server is back",
            "server left out",
        ]
        assert some.told[2][2] == "/health answered 503"
        assert some.errors["connect"] >= 2
        assert some.errors["status"] >= 2


async def test_it_takes_as_many_failures_and_successes_in_a_row_as_settings_say() -> None:
    answers = iter(["0", "1", "0", "0", "1", "0", "1", "1"] + ["1"] * 99999)
    state: list[str] = []

    def answer(path: str, head: str) -> bytes:
        assert path == "/ping"
        state.append(next(answers) + ("-" if some.pool.replicas[0].down else "+"))
        return ok("", "200 OK" if state[-1][0] == "1" else "503 No")

    async with page_servers("") as (server,):
        server.answer = answer
        check = {**CHECK, "path": "/ping"}
        async with looked([server], health_check=check) as some:
            await until(lambda: len(state) > 8)
    # What was answered, and whether it took requests before that.
    assert state[:9] == ["0+", "1+", "0+", "0+", "1-", "0-", "1-", "1-", "1+"]


async def test_a_server_that_hangs_fails_and_the_port_of_the_check_is_asked() -> None:
    async with page_servers("", "") as (api, health):
        health.answer = lambda path, head: None
        check = {**CHECK, "timeout_s": 0.05, "port": health.port}
        async with looked([api], health_check=check) as some:
            await until(lambda: some.pool.replicas[0].down == {"health"})
            assert some.taken() == {name(api)}, "alone, it is tried all the same"
            health.answer = lambda path, head: ok("")
            await until(lambda: not some.pool.replicas[0].down)
        assert api.asked == []
        assert set(some.errors) == {"timeout"}


async def test_whoever_is_left_out_when_checks_end_takes_requests_again() -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok("", "500 No")
        async with looked([server], health_check=CHECK) as some:
            await until(lambda: some.pool.replicas[0].down)
            some.fleet.replace({"m": ModelSettings.model_validate({"endpoints": [server.url]})})
            await until(lambda: not some.pool.replicas[0].down)


async def test_a_sleeping_server_takes_no_requests() -> None:
    asleep = True

    def answer(path: str, head: str) -> bytes:
        return ok(json.dumps({"is_sleeping": asleep}) if path == "/is_sleeping" else "")

    async with page_servers("", "") as servers:
        servers[0].answer = answer
        check = {**CHECK, "asleep_path": "/is_sleeping"}
        async with looked(servers, health_check=check) as some:
            await until(lambda: some.taken() == {name(servers[1])})
            asleep = False
            await until(lambda: some.taken() == {name(s) for s in servers})


async def test_who_does_not_say_whether_it_sleeps_is_well() -> None:
    """vLLM has /is_sleeping in its development mode only: this used to leave every server out."""
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok("", "200 OK" if path == "/health" else "404 No")
        check = {**CHECK, "asleep_path": "/is_sleeping"}
        async with looked([server], health_check=check) as some:
            await until(lambda: server.asked.count("/is_sleeping") >= 5)
            assert not some.pool.replicas[0].down and not some.pool.replicas[0].asleep
        assert set(some.errors) == {"status"} and some.told == []


@pytest.mark.parametrize("after", [None, CHECK])
async def test_whoever_sleeps_when_nobody_looks_any_more_takes_requests_again(after: Any) -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok('{"is_sleeping": true}')
        check = {**CHECK, "asleep_path": "/is_sleeping"}
        async with looked([server], health_check=check) as some:
            await until(lambda: some.pool.replicas[0].asleep)
            settings = {"endpoints": [server.url], "health_check": after}
            some.fleet.replace({"m": ModelSettings.model_validate(settings)})
            await until(lambda: not some.pool.replicas[0].asleep)


async def test_many_servers_are_not_asked_at_the_same_time_for_long() -> None:
    dice = random.Random(1)
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    async def ask(*_: object) -> None:
        asked.append(loop.time())

    urls = [f"http://127.0.0.1:{i + 1}" for i in range(512)]
    model = {"endpoints": urls, "health_check": {"interval_s": 1}}
    fleet = Fleet({"m": ModelSettings.model_validate(model)})
    rounds = Rounds(fleet, lambda _: 1.0, ask, lambda _: None, dice=dice.random)
    now, seen = 0.0, []
    for _ in range(60):
        rounds.look(now)
        for _ in range(4):
            await asyncio.sleep(0)
        seen.append(len(asked))
        now += 0.05
    at_once = [b - a for a, b in itertools.pairwise([0, *seen])]
    assert at_once[0] > 0, "the first time at once, as far as there is room"
    assert max(at_once[20:]) < 60 and sum(at_once[20:40]) > 400


async def test_a_server_that_goes_while_it_is_asked_is_asked_no_more() -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: None
        async with looked([server], health_check={**CHECK, "timeout_s": 60}) as some:
            await until(lambda: server.asked)
            before = asyncio.all_tasks()
            some.fleet.replace({"m": ModelSettings.model_validate({"endpoints": []})})
            await until(lambda: len(asyncio.all_tasks()) < len(before))
            await until(lambda: not server._open)
        assert not some.told and not some.errors


# Models


async def test_a_list_that_is_short_for_a_moment_leaves_nobody_out() -> None:
    lists = iter([serves("m"), serves(), *[serves("m")] * 3, serves(), serves()])
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok(next(lists, serves()))
        async with looked([server], ModelsSeen, check_models={"interval_s": 0.02}) as some:
            while len(server.asked) < 6:
                assert not some.pool.replicas[0].down
                await asyncio.sleep(0.001)
            await until(lambda: some.pool.replicas[0].down)
        assert len(some.told) == 1 and "it serves nothing" in some.told[0][2]


async def test_a_model_may_be_the_last_of_very_many() -> None:
    many = serves(*[f"model-{i}" for i in range(9000)], "m")
    assert len(many) < 1 << 20
    async with page_servers(many, serves("x" * 9000)) as servers:
        async with looked(servers, ModelsSeen, check_models={"interval_s": 0.02}) as some:
            await until(lambda: some.told)
            assert some.taken() == {name(servers[0])}
        assert len(some.told[0][2]) < 300, "names are cut"


def serves(*models: str | tuple[str, str]) -> str:
    data = [
        {"id": m, "object": "model", "parent": None}
        if isinstance(m, str)
        else {"id": m[0], "object": "model", "parent": m[1]}
        for m in models
    ]
    return json.dumps({"object": "list", "data": data})


async def test_a_server_of_another_model_is_left_out_until_it_serves_this_one() -> None:
    async with page_servers(serves("qwen"), serves("llama"), serves("sql")) as servers:
        model = {
            "check_models": {"interval_s": 0.02},
            "upstream_name": "llama",
            "loras": ["sql"],
        }
        async with looked(servers, ModelsSeen, **model) as some:
            await until(lambda: some.taken() == {name(servers[1]), name(servers[2])})
            await asyncio.sleep(0.1)
            assert some.told == [
                ("server left out", name(servers[0]), "it serves qwen; wanted is llama")
            ], "said once"
            servers[0].answer = lambda path, head: ok("busy", "503 No")
            await until(lambda: some.errors["status"] >= 2)
            assert name(servers[0]) not in some.taken(), "what was known goes on being so"
            servers[0].answer = lambda path, head: ok(serves("llama"))
            await until(lambda: name(servers[0]) in some.taken())
        assert set(servers[0].asked) == {"/v1/models"}


async def test_what_is_no_list_tells_nothing() -> None:
    async with page_servers("{}", "[]", '{"data": [{"id": 3}]}', "<html>") as servers:
        async with looked(servers, ModelsSeen, check_models={"interval_s": 0.02}) as some:
            await until(lambda: some.errors["content"] >= 8)
            assert some.taken() == {name(s) for s in servers}
        assert some.told == []


async def test_adapters_that_a_server_lists_are_known_and_it_is_sent_its_key() -> None:
    heads: list[str] = []

    def answer(path: str, head: str) -> bytes:
        heads.append(head)
        return ok(serves("m", ("chat", "m"), ("other", "x"), "sql"))

    def part(fleet: Fleet, **more: Any) -> ModelsSeen:
        return ModelsSeen(fleet, headers=lambda *_: {"authorization": "Bearer k"}, **more)

    async with page_servers("") as (server,):
        server.answer = answer
        async with looked([server], part, check_models=True, loras=["sql"]) as some:
            await until(lambda: some.pool.replicas[0].vitals.loras == {"chat", "sql"})
        assert "authorization: Bearer k\r\n" in heads[0]


async def test_models_and_health_are_reasons_of_their_own() -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok(serves("other"))
        async with looked(
            [server], ModelsSeen, check_models={"interval_s": 0.02}, health_check=CHECK
        ) as some:
            await until(lambda: some.pool.replicas[0].down == {"models"})
            (replica,) = some.pool.replicas
            some.pool.down(replica, "health", 0.0)
            some.pool.well(replica, "models", 0.0)
            assert replica.down == {"health"}


def test_check_models_is_off_unless_asked_for() -> None:
    assert ModelSettings().check_models is None
    assert ModelSettings.model_validate({"check_models": False}).check_models is None
    found = ModelSettings.model_validate({"check_models": True}).check_models
    assert found is not None
    assert found.interval_s == 30


def test_down_servers_are_no_second_choice_and_never_the_reason_to_wait() -> None:
    fleet = Fleet({"m": ModelSettings.model_validate({"endpoints": ["http://a", "http://b"]})})
    pool = fleet.pools["m"]
    first, second = pool.replicas
    pool.down(first, "health", 0.0)
    assert pool.pick(0.0, lambda: 0.0) is second
    assert pool.pick_another(0.0, lambda: 0.0, (second,)) is None
    for _ in range(2):
        pool.failed(second, 0.0)
    assert pool.open_until(0.5) == second.out_until, "the first is not coming back by time"
    assert pool.pick(0.5, lambda: 0.0) is second, "the least bad"
    pool.down(second, "health", 0.5)
    assert pool.open_until(0.5) == 0.0
    assert pool.pick(0.5, lambda: 0.0) in (first, second), "all down: one is tried all the same"
    pool.well(first, "health", 0.5)
    assert pool.pick(0.5, lambda: 0.0) is first
