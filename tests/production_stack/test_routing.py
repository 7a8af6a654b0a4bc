"""The checks of production-stack's own ``tests/e2e/test-routing.py`` (spec 2.8), against the
router started as theirs is, with simulated servers. Row A3-37."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import string
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.production_stack.processes import Process, eventually, started
from wayside.sim import SimModel, SimServer, serve_sim

MODEL = "facebook/opt-125m"


@contextlib.contextmanager
def servers(count: int, model: str = MODEL) -> Iterator[list[str]]:
    """URLs of simulated servers, on a loop of their own."""
    ready, stop = threading.Event(), asyncio.Event()
    urls: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve_sim(
            [SimServer((SimModel(model),), replica=i) for i in range(count)]
        ) as sims:
            urls.extend(sim.url.removesuffix("/v1") for sim in sims)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield urls
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)


@contextlib.contextmanager
def router(
    folder: Path, logic: str, count: int = 3, *more: str
) -> Iterator[tuple[Process, list[str]]]:
    """As ``run-static-discovery-routing-test.sh`` starts it."""
    with servers(count) as urls:
        words = [
            "vllm-router", "--host", "127.0.0.1", "--port", "0",
            "--service-discovery", "static",
            "--static-backends", ",".join(urls),
            "--static-models", ",".join([MODEL] * count),
            "--routing-logic", logic, "--log-format", "json", *more,
        ]  # fmt: skip
        with started(folder, *words) as process:
            yield process, urls


def asked(
    process: Process, texts: list[str], headers: list[dict[str, str]] | None = None
) -> list[str]:
    """Where each request went, by the log."""
    before = len(process.routed())
    for i, text in enumerate(texts):
        status, answer = process.chat(text, MODEL, (headers or [{}] * len(texts))[i])
        assert status == 200, answer
    lines = eventually(
        lambda: found if len(found := process.routed()[before:]) == len(texts) else None
    )
    return [line["url"] for line in lines]


def test_health_and_models(tmp_path: Path) -> None:
    with router(tmp_path, "roundrobin") as (process, _):
        assert process.ask("/health") == (200, {"status": "healthy"})
        status, models = process.ask("/v1/models")
        assert status == 200
        assert MODEL in [model["id"] for model in models["data"]]


def test_round_robin_sends_no_two_in_a_row_to_the_same(tmp_path: Path) -> None:
    with router(tmp_path, "roundrobin") as (process, urls):
        went = asked(process, [f"request {i}" for i in range(30)])
        assert all(a != b for a, b in itertools.pairwise(went))
        assert {url: went.count(url) for url in urls} == dict.fromkeys(urls, 10)


@pytest.mark.parametrize("logic", ["session", "session-affinity"])
def test_a_session_stays_where_it_is(tmp_path: Path, logic: str) -> None:
    with router(tmp_path, logic, 3, "--session-key", "x-user-id") as (process, urls):
        ids = [f"user-{i}" for i in range(12)]
        rounds = ids * 5
        random.Random(7).shuffle(rounds)
        went = asked(process, [f"for {id}" for id in rounds], [{"x-user-id": id} for id in rounds])
        places: dict[str, set[str]] = {}
        for id, url in zip(rounds, went, strict=True):
            places.setdefault(id, set()).add(url)
        assert all(len(found) == 1 for found in places.values())
        assert set().union(*places.values()) == set(urls)
        assert {line["session"] for line in process.routed()} == set(ids)


def test_a_session_may_be_named_in_the_body(tmp_path: Path) -> None:
    with router(tmp_path, "session", 3, "--session-key", "user") as (process, _):
        for _ in range(4):
            for id in "abc":
                assert process.chat("hi", MODEL, user=id)[0] == 200
        lines = eventually(lambda: found if len(found := process.routed()) == 12 else None)
        places = {(line["session"], line["url"]) for line in lines}
        assert len(places) == 3


@pytest.mark.parametrize("logic", ["prefixaware", "kvaware", "prefix-hash"])
def test_prompts_that_begin_alike_go_to_one_server(tmp_path: Path, logic: str) -> None:
    """Families share chunks of 128 characters; unrelated prompts spread."""
    dice = random.Random(3)

    def chunk() -> str:
        return "".join(dice.choices(string.ascii_letters, k=128))

    with router(tmp_path, logic) as (process, _):
        families = {}
        for _ in range(6):
            beginning = chunk() + chunk() + chunk()
            families[beginning] = [beginning + chunk()[:64] for _ in range(5)]
        for texts in families.values():
            assert len(set(asked(process, texts))) == 1
        assert len(set(asked(process, [chunk() for _ in range(20)]))) >= 2


def test_least_loaded_takes_the_idle_one(tmp_path: Path) -> None:
    with router(tmp_path, "least_loaded", 2) as (process, urls):
        assert set(asked(process, [f"r{i}" for i in range(20)])) == set(urls)


def test_a_model_whose_servers_are_gone_is_away_and_others_are_unknown(tmp_path: Path) -> None:
    with router(tmp_path, "roundrobin", 1) as (process, _):
        assert process.chat("hi", "nobody")[0] == 404
        assert process.ask("/v1/chat/completions", b"nonsense")[0] == 400
        assert process.ask("/v1/chat/completions", {"messages": []})[0] == 400


def put_health(url: str, *, healthy: bool) -> None:
    body = json.dumps({"healthy": healthy}).encode()
    request = urllib.request.Request(f"{url}/_sim/health", body, method="PUT")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def test_a_backend_that_is_ill_leaves_and_comes_back_by_itself(tmp_path: Path) -> None:
    more = ["--static-backend-health-checks", "--static-model-types", "chat,chat",
            "--static-backend-health-check-interval", "0.1",
            "--static-backend-health-check-timeout-seconds", "2"]  # fmt: skip
    with router(tmp_path, "roundrobin", 2, *more) as (process, urls):

        def healthy() -> dict[str, bool]:
            return {e["url"]: e["healthy"] for e in process.ask("/engines")[1]}

        assert healthy() == dict.fromkeys(urls, True)
        put_health(urls[0], healthy=False)
        eventually(lambda: healthy() == {urls[0]: False, urls[1]: True})
        assert set(asked(process, ["x"] * 6)) == {urls[1]}
        put_health(urls[0], healthy=True)
        eventually(lambda: all(healthy().values()))
        assert set(asked(process, ["x"] * 6)) == set(urls)
