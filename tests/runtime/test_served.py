"""Servers of a cluster, asked what they serve, however they behave (AX-01)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from wayside.kube.errors import Forbidden
from wayside.kube.registry import Held, Registry, Server
from wayside.runtime import registry as of_registry
from wayside.runtime import served
from wayside.runtime.registry import ClusterPart
from wayside.runtime.served import AT_ONCE, Asker, Survey
from wayside.settings.registry import LlmsSettings, RegistrySettings


async def until(holds: Callable[[], Any], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)


async def surveyed(
    urls: Iterable[str], ask: Callable[[str], Awaitable[tuple[str, ...] | None]]
) -> tuple[Survey, asyncio.Task[None], list[str]]:
    faults: list[str] = []
    survey = Survey(ask, lambda: None, faults.append)
    return survey, asyncio.create_task(survey.run(lambda: urls)), faults


async def test_servers_that_hang_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many hang as are asked at once; the one that comes last is asked all the same."""
    monkeypatch.setattr(served, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(served, "LOOK_S", 0.01)

    async def ask(url: str) -> tuple[str, ...] | None:
        if url.startswith("ill"):
            await asyncio.sleep(0.05)
            return None
        return (url,)

    urls = [*(f"ill-{i}" for i in range(2 * AT_ONCE)), "well"]
    survey, task, _ = await surveyed(urls, ask)
    await until(lambda: survey.of(urls) == {"well": ("well",)})
    await until(lambda: all(map(survey.asked, urls)))
    task.cancel()


async def test_a_bug_about_one_server_ends_nothing() -> None:
    async def ask(url: str) -> tuple[str, ...] | None:
        if url == "odd":
            raise RuntimeError("odd")
        return ("m",)

    urls = ["odd", "even"]
    survey, task, faults = await surveyed(urls, ask)
    await until(lambda: survey.of(urls) == {"even": ("m",)} and survey.asked("odd"))
    assert faults == ["odd: RuntimeError: odd"] and not task.done()
    urls.remove("even")
    await until(lambda: not survey.of(["even"]))
    task.cancel()


async def test_answers_that_are_none_are_none() -> None:
    answers = itertools.cycle([
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"data\": [{\"id\": 12}]}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 2_000_000,
        b"not http at all\r\n\r\n",
        b"",
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
    ])  # fmt: skip

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ask = Asker("a-key\n")
    assert [await ask(f"http://127.0.0.1:{port}") for _ in range(6)] == [None] * 6
    assert await ask("http://no such host:1") is None
    server.close()


class Fake:
    """A registry that holds what a test puts there."""

    def __init__(self) -> None:
        self.namespace, self.known = "ns", True
        self.now = Held()
        self.error: Exception | None = None
        self.written: list[Any] = []

    def held(self) -> Held:
        return self.now

    def problems(self) -> list[str]:
        return []

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def tell(self, *said: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(said)


class Lines(list[dict[str, Any]]):
    def __call__(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})


def part_of(fake: Fake, log: Lines, rest_s: float = 0.0, **settings: Any) -> ClusterPart:
    made = RegistrySettings.model_validate(settings)

    async def ask(url: str) -> tuple[str, ...]:
        return ("m",)

    return ClusterPart(fake, made, log, ask=ask, rest_s=rest_s)  # type: ignore[arg-type]


async def test_pods_that_flap_make_no_storm_of_configurations() -> None:
    """However often the cluster changes: one configuration, a rest, and then the last one."""
    fake, asked = Fake(), []
    part = part_of(fake, Lines(), 0.5, pods={})

    def again() -> None:
        asked.append(asyncio.get_running_loop().time())
        part.over({})
        part.in_force()

    task = asyncio.create_task(part.run(again))
    for i in range(20):
        fake.now = Held(servers={f"http://10.0.0.{i}:8000": Server(f"pod-{i}")})
        part.moved()
        await asyncio.sleep(0.05)
    await until(lambda: part._laid[0] == fake.now)
    task.cancel()
    assert 2 <= len(asked) <= 4
    assert min(b - a for a, b in itertools.pairwise(asked)) >= 0.45


def _object(kind: str, generation: int, **spec: Any) -> dict[str, Any]:
    meta = {"name": "x", "namespace": "ns", "uid": kind, "generation": generation}
    return {"kind": kind, "metadata": meta, "spec": spec}


def both(generation: int) -> Held:
    made = {"defaultModel": "m", "models": [{"name": "m"}]}
    conditions = [{"type": "language", "name": "de"}]
    when = {"operator": "OR", "conditions": conditions}
    decisions = [{"name": "d", "signals": when, "modelRefs": [{"model": "m"}]}]
    signals = {"language": [{"name": "de"}]}
    route = _object("IntelligentRoute", generation, decisions=decisions, signals=signals)
    return Held(pools=(_object("IntelligentPool", generation, **made),), routes=(route,))


async def test_a_verdict_is_of_what_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer generation that is being compiled is not said to be in force before it is."""
    monkeypatch.setattr(of_registry, "TELL_AGAIN_S", 0.05)
    fake, log = Fake(), Lines()
    part = part_of(fake, log, routes=True)
    base = {"models": {"m": {"endpoints": ["127.0.0.1:1"]}}}
    fake.now = both(1)
    await part.settled()
    part.over(base)
    part.in_force()
    fake.now = both(2)
    part._seen = (fake.now, {})
    part.over(base)  # on its thread, and not done yet
    task = asyncio.create_task(part.run(lambda: None))
    await until(lambda: len(fake.written) == 2)
    assert {status["observedGeneration"] for _, _, status in fake.written} == {1}
    part.in_force()
    await until(lambda: len(fake.written) == 4)
    assert {status["observedGeneration"] for _, _, status in fake.written[2:]} == {2}
    task.cancel()


async def test_a_status_that_may_not_be_written_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_registry, "TELL_AGAIN_S", 0.02)
    fake, log = Fake(), Lines()
    part = part_of(fake, log, routes=True)
    fake.error = Forbidden("patch", 403, message="may not")
    fake.now = both(1)
    await part.settled()
    part.over({"models": {"m": {"endpoints": ["127.0.0.1:1"]}}})
    part.in_force()
    task = asyncio.create_task(part.run(lambda: None))
    await asyncio.sleep(0.5)
    said = [line for line in log if line.get("about") == "status not written"]
    assert len(said) == 1 and "may not" in said[0]["what"]
    fake.error = None
    await until(lambda: len(fake.written) == 2)
    task.cancel()


async def test_a_bug_in_following_is_said_and_following_goes_on() -> None:
    fake, log, asked = Fake(), Lines(), []
    part = part_of(fake, log, pods={})

    def again() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("odd")

    task = asyncio.create_task(part.run(again))
    fake.now = Held(servers={"http://10.0.0.1:8000": Server("pod")})
    part.moved()
    await until(lambda: len(asked) > 1)
    assert any(line.get("what") == "RuntimeError: odd" for line in log) and not task.done()
    task.cancel()


def test_a_cluster_without_llm_inference_services_has_none() -> None:
    """Else a router with models of its own would wait for a CRD that nobody installs; a right
    that is missing is another thing, and is waited for."""
    registry = Registry(None, RegistrySettings(llms=LlmsSettings()), "ns", lambda: None)  # type: ignore[arg-type]
    old, new = registry._llms
    assert not registry.known
    old.state = new.state = "absent"
    assert registry.known and registry.held() == Held()
    old.state = "forbidden"
    assert not registry.known
