"""What passes, told as it passes, and what that costs."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.console.data_rig import CONFIG, console
from wayside.console import live as live_module
from wayside.console.live import PASSED, WAITING, Events, Listener, Live
from wayside.console.passed import FOLDED, NEWEST, Passing
from wayside.flow import Policy
from wayside.telemetry import Telemetry, Tokens
from wayside.vocab.outcome import Record
from wayside.vocab.verdict import SignalRef, Verdict

SECRET = "the prompt that nobody may see"


async def events(answer: Any, count: int) -> list[tuple[str, Any]]:
    """The next ``count`` events."""
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        lines = []
        while line := (await answer.content.readline()).decode().strip():
            lines.append(line)
        name, data = (line.partition(": ")[2] for line in lines)
        found.append((name, json.loads(data)))
    return found


async def test_a_request_is_told_when_it_has_ended() -> None:
    async with console() as rig, rig.client.get(rig.url + "/live") as answer:
        assert answer.content_type == "text/event-stream"
        ((name, state),) = await events(answer, 1)
        assert name == "state" and state["missed"] == 0 and state["in_flight"] == 0
        verdicts = {
            SignalRef("keyword", "urgent"): Verdict(True, because=SECRET),
            SignalRef("keyword", "polite"): Verdict(False),
        }
        rig.passes(
            "coder",
            tokens=Tokens(1000, 100),
            took_s=0.25,
            decision="court",
            verdicts=verdicts,
            why="small 0.7",
        )
        ((name, told),) = await events(answer, 1)
        assert name == "passed"
        (passed,) = told
        assert passed["model"] == "coder" and passed["decision"] == "court"
        assert passed["signals"] == ["keyword:urgent"] and passed["path"] == "model"
        assert passed["endpoint"] == "127.0.0.1:1" and passed["attempts"] == 1
        assert passed["cost"] == pytest.approx((1000 * 10 + 100 * 20) / 1e6)
        assert 250 <= passed["total_ms"] < 1000 and passed["replay"] is True
        assert abs(passed["at"] - time.time()) < 5
        assert SECRET not in json.dumps(told)


async def test_what_is_too_much_to_be_told_is_counted() -> None:
    async with console() as rig, rig.client.get(rig.url + "/live") as answer:
        await events(answer, 1)
        for _ in range(5 * PASSED):
            rig.passes()
        told = 0
        while True:
            ((name, data),) = await events(answer, 1)
            if name == "state":
                break
            told += len(data)
        assert told == PASSED and data["missed"] == 4 * PASSED
        assert data["requests_per_s"] > 0


async def test_nobody_looks_on_and_nothing_is_kept_for_them() -> None:
    async with console() as rig:
        live: Live = rig.part(Live)
        passing = live._passing
        async with rig.client.get(rig.url + "/live") as answer:
            await events(answer, 1)
            assert passing.news is not None and len(live.listeners) == 1
        for _ in range(100):
            if not live.listeners:
                break
            await asyncio.sleep(0.01)
        assert not live.listeners and passing.news is None and live._telling is None


async def test_so_many_listeners_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LISTENERS", 1)
    async with console() as rig, rig.client.get(rig.url + "/live") as answer:
        await events(answer, 1)
        status, told = await rig.get("/live")
        assert status == 503 and told["error"]["code"] == "TOO_MANY_LISTENERS"


async def test_a_listener_that_does_not_read_is_let_go() -> None:
    """Its queue is bounded, what it loses is counted, and its connection is not kept."""
    listener = Listener()
    for n in range(3 * WAITING):
        listener.put(b"x", requests=n >= WAITING)
    assert len(listener.events) == WAITING and listener.lost == 2 * WAITING
    async with console() as rig:
        live: Live = rig.part(Live)
        stuck = asyncio.Event()

        async def send(_: Any) -> None:
            await stuck.wait()

        async def receive() -> Any:
            await stuck.wait()

        await asyncio.wait_for(Events(live, patience_s=0.01)({}, receive, send), 5)  # type: ignore[arg-type]
        assert not live.listeners


async def test_an_answer_ends_after_a_while() -> None:
    """Whoever has logged out meanwhile sees nothing more."""
    async with console() as rig:
        live: Live = rig.part(Live)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        await asyncio.wait_for(Events(live, longest_s=0.0)({}, receive, send), 5)  # type: ignore[arg-type]
        assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
        assert sent[-1]["more_body"] is False and not live.listeners


def test_a_request_costs_next_to_nothing() -> None:
    """A few facts in a list; what they come to is worked out for many at once, and in bounded
    room."""
    telemetry = Telemetry()
    passing = Passing(telemetry, lambda: Policy({}, {}, {}, {}))
    exchange = telemetry.begin(shell="gateway")
    exchange.routed(Record(model="small", recipe="default", decision="d"))

    def each(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            passing.ended(exchange, 200, "", None)
        return (time.perf_counter() - began) / count

    rounds = []
    for _ in range(20):
        passing.fold()
        rounds.append(each(FOLDED - 1))
    appended = min(rounds)
    whole = min(each(10 * FOLDED) for _ in range(5))
    print(f"appending {appended * 1e6:.2f} us, all of it {whole * 1e6:.2f} us")
    assert appended < 20e-6 and whole < 100e-6
    passing.fold()
    assert passing.count > 10 * FOLDED and len(passing.newest) == NEWEST
    assert len(passing._pending) == 0 and len(passing.slices) <= 90


async def test_answers_about_the_router_itself_are_no_traffic() -> None:
    async with console(CONFIG) as rig:
        rig.passes("", path="models")
        rig.passes("", path="error", status=401, reason="invalid_api_key")
        passing = rig.part(Live)._passing
        passing.fold()
        assert [passing.told(p)["status"] for p in passing.newest] == [401]
        assert (passing.count, passing.failed) == (1, 1)
