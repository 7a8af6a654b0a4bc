"""Limits of a tier: one table for every path, what is reserved, and what becomes of it
(rows A2-31, A2-32, A2-47)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.maas.rig import ALICE, BOB, Rig, rig
from wayside.maas import check, metering
from wayside.maas.counters import Full, Granted, Limit
from wayside.maas.limits import MONEY, Limits
from wayside.maas.metering import Metering
from wayside.maas.settling import Settlements
from wayside.settings import RouterSettings
from wayside.stores import Stores
from wayside.telemetry import Log, Telemetry, Tokens
from wayside.vocab.access import Caller, Hold, Over, Release, Reserve
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.outcome import Call, Record

URL = {"endpoints": ["http://10.0.0.1:8000"]}
PRICE = {"prompt_per_1m": 1.0, "completion_per_1m": 2.0, "cache_write_per_1m": 4.0}


def settings(*tiers: Mapping[str, Any], **maas: Any) -> RouterSettings:
    models = {
        "dear": {**URL, "price": {**PRICE, "completion_per_1m": 8.0}},
        "cheap": {**URL, "price": PRICE},
        "free": URL,
    }
    more = maas.pop("stores", {})
    chosen = {"tiers": list(tiers)} if tiers else {}
    text = {"models": models, "maas": {**chosen, **maas}, "stores": more}
    return RouterSettings.model_validate(text)


def tier(name: str = "t", **limits: Any) -> dict[str, Any]:
    return {"name": name, **limits}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(found: RouterSettings, clock: Clock | None = None) -> Limits:
    return Limits(found, Stores, clock or Clock(), lambda why: None)


def asks(
    estimate: int = 10,
    answer: int | None = 20,
    *,
    models: frozenset[str] | None = None,
    **more: Any,
) -> Reserve:
    caller = Caller(user="u", tier=more.pop("tier", "t"), models=models)
    values = {"prompt": 40, "model": "m", **more}
    return Reserve(caller=caller, estimate=estimate, answer=answer, **values)


def test_the_defaults_are_the_documented_ones() -> None:
    """The table of MaaS's gateway policies: requests and tokens of free, premium, enterprise."""
    found = limits(settings())
    told = {name: made.told for name, made in found._tiers.items()}
    assert told == {
        "free": ("5 requests in 2m of tier free", "100 tokens in 1m of tier free"),
        "premium": ("20 requests in 2m of tier premium", "50,000 tokens in 1m of tier premium"),
        "enterprise": (
            "50 requests in 2m of tier enterprise", "100,000 tokens in 1m of tier enterprise",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/Model-B/v1/chat/completions"])
async def test_one_table_counts_whatever_path_is_asked(tmp_path: Path, path: str) -> None:
    """A2-32: a model's own path takes from the same window as the shared one."""
    free = {"name": "free", "groups": ["system:authenticated"]}
    tokens = {"tokens": [{"limit": 100, "window": "1m"}]}
    router: Rig = rig(tmp_path, maas={"tiers": [free | tokens]})
    token = await router.token(BOB)
    body = {"model": "Model-B", "messages": [{"role": "user", "content": "hello"}]}
    first = await router.ask("POST", path, token, body)
    assert first.status == 200, first.body
    said = {"model": "Model-B", "input": "x", "max_output_tokens": 5}
    other = await router.ask("POST", "/v1/responses", token, said)
    assert other.status == 429  # the first holds all that there is


def test_an_answer_without_a_bound_is_taken_for_the_usual() -> None:
    found = limits(settings(tier(tokens=[{"limit": 10_000, "window": "1m"}])))
    assert found.reserve(asks(10, 20)).tokens == 30
    assert found.reserve(asks(10, None, choices=2)).tokens == 10 + 2 * 1024
    assert found.reserve(asks(10, None, usual=16)).tokens == 26
    assert found.reserve(asks(10, None)).cap is None


def test_strict_limits_bound_the_prompt_by_its_bytes_and_the_answer_by_a_cap() -> None:
    strict = {"limits": {"strict": True, "answer_tokens": 7}}
    found = limits(settings(tier(tokens=[{"limit": 100, "window": "1m"}]), **strict))
    hold = found.reserve(asks(10, None, choices=2))
    assert (hold.tokens, hold.cap) == (40 + 14, 7)
    over = found.reserve(asks(10, 20))
    assert (over.wanted, over.remaining, over.busy) == (60, 46, True)


def test_of_two_limits_of_one_window_the_smaller_holds() -> None:
    """Bug 4."""
    both = [{"limit": 500, "window": "60s"}, {"limit": 50, "window": "1m"}]
    for order in (both, both[::-1]):
        found = limits(settings(tier(tokens=order)))
        assert isinstance(found.reserve(asks(10, 20)), Hold)
        assert found.reserve(asks(10, 20)).size == 50


def test_a_tier_without_limits_counts_nothing_and_an_unknown_one_gets_nothing() -> None:
    found = limits(settings(tier()))
    assert found.reserve(asks()).id == ""
    over = found.reserve(asks(tier="elsewhere"))
    assert isinstance(over, Over) and "no limits in maas.tiers" in over.limit


def test_money_is_reserved_at_the_dearest_price_that_may_be_paid() -> None:
    found = limits(settings(tier(budgets=[{"limit": 1, "window": "30d"}])))
    assert found.reserve(asks(10, 20)).money == (10 * 4 + 20 * 8) * MONEY // 10**6
    assert found.reserve(asks(10, 20, models=frozenset({"cheap"}))).money == 80_000
    assert found.reserve(asks(10, 20, models=frozenset({"free"}))).money == 0


def test_releasing_gives_back_tokens_and_not_the_request() -> None:
    both = {"requests": [{"limit": 3, "window": "1m"}], "tokens": [{"limit": 50, "window": "1m"}]}
    found = limits(settings(tier(**both)))
    for _ in range(3):
        found.release(Release(found.reserve(asks(10, 20))))
    assert found.reserve(asks(10, 20)).kind == "requests"


def test_a_reload_keeps_what_was_counted() -> None:
    found = limits(settings(tier(tokens=[{"limit": 100, "window": "1m"}])))
    found.settle(found.reserve(asks(30, 30)), 60, 0)
    found.follow(settings(tier(tokens=[{"limit": 70, "window": "1m"}])))
    assert found.reserve(asks(1, 1)).left[0].remaining == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (settings(limits={"store": "nowhere"}), "maas.limits.store: no store 'nowhere'"),
        (
            settings(limits={"store": "s"}, stores={"s": {"sqlite": {}}}),
            "store 's' is of another kind",
        ),
        (
            settings(tier(budgets=[{"limit": 2e6, "window": "1d"}])),
            "budgets[0].limit: is more than 1,000,000",
        ),
    ],
)
def test_what_cannot_be_counted_with_is_refused(text: RouterSettings, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check(text)
    assert said in str(refused.value)


def test_budgets_want_one_currency() -> None:
    found = settings(tier(budgets=[{"limit": 1, "window": "1d"}]))
    model = found.models["cheap"]
    assert model.price is not None
    euro = model.model_copy(update={"price": model.price.model_copy(update={"currency": "EUR"})})
    mixed = found.model_copy(update={"models": {**found.models, "cheap": euro}})
    with pytest.raises(ConfigError, match=r"maas\.tiers\[0\]\.budgets.*|EUR and USD"):
        check(mixed)
    plain = mixed.model_copy(update={"maas": settings(tier()).maas})
    check(plain)  # without a budget nobody adds them up


# Settlements that have to wait


class Slow:
    """Counters in another process, which is away as often as it is told to be."""

    at_once = False

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.settled: list[tuple[str, Mapping[str, int] | None]] = []
        self.answer: asyncio.Event | None = None

    async def reserve(
        self,
        account: str,
        id: str,
        limits: Sequence[Limit],
        amounts: Sequence[int],
        *,
        strict: bool,
    ) -> Granted | Full:
        if self.answer is not None:
            await self.answer.wait()
        if self.away:
            raise AskFailed("away")
        return Granted(tuple(amounts), tuple((0, 1.0) for _ in limits))

    async def settle(self, account: str, id: str, took: Mapping[str, int] | None) -> None:
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise AskFailed("away")
        self.settled.append((id, took))


async def test_settlements_wait_for_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.maas.settling.FIRST_PAUSE_S", 0.001)
    slow, lost = Slow(away=5), []
    waiting = Settlements(lambda: slow, Clock(), lost.append)
    for i in range(100):
        waiting.put("u", str(i), {"tokens": i})
    assert slow.settled == []  # nothing is done while somebody waits for an answer
    await waiting.close(5)
    assert sorted(int(id) for id, _ in slow.settled) == list(range(100)) and lost == []


async def test_what_waits_is_bounded_in_number_and_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wayside.maas.settling.MOST", 3)
    monkeypatch.setattr("wayside.maas.settling.FIRST_PAUSE_S", 0.001)
    slow, lost, clock = Slow(), [], Clock()
    waiting = Settlements(lambda: slow, clock, lost.append)
    for i in range(5):
        waiting.put("u", str(i), None)
    assert lost == ["too many wait for the store"] * 2
    slow.away = 10**6
    clock.now += 10**6
    await waiting.close(5)
    assert lost[2:] == ["away"] * 3 and slow.settled == []


async def test_closing_does_not_wait_for_ever() -> None:
    slow, lost = Slow(away=10**6), []
    waiting = Settlements(lambda: slow, Clock(), lost.append)
    waiting.put("u", "1", None)
    await waiting.close(0.02)
    assert lost == ["the router stops"] and len(waiting) == 0


def shared(monkeypatch: pytest.MonkeyPatch, slow: Slow, **maas: Any) -> Limits:
    monkeypatch.setattr("wayside.maas.limits.AGAIN_S", 0.001)
    found = limits(settings(tier(tokens=[{"limit": 100, "window": "1m"}]), **maas))
    found._counters = slow
    return found


async def test_who_leaves_while_it_is_asked_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    slow.answer = asyncio.Event()
    found = shared(monkeypatch, slow)
    asking = asyncio.create_task(found.reserve(asks()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.02)
    await found.close()
    # Undone at once, and again for a question that was overtaken.
    assert len(slow.settled) == 2 and {took == {} for _, took in slow.settled} == {True}


@pytest.mark.parametrize("on_unknown", ["refuse", "allow"])
async def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch, on_unknown: str) -> None:
    found = shared(monkeypatch, Slow(away=10**6), on_unknown=on_unknown)
    told: list[str] = []
    found.uncounted = told.append
    if on_unknown == "refuse":
        with pytest.raises(AskFailed):
            await found.reserve(asks())
    else:
        assert (await found.reserve(asks())).id == ""
        assert told == ["away"]
    await found.close(0.01)


# What telemetry tells


def meter(**maas: Any) -> tuple[Metering, Telemetry]:
    telemetry = Telemetry()
    text = settings(
        tier(tokens=[{"limit": 10**6, "window": "1m"}]), usage={"enabled": False}, **maas
    )
    found = Metering(text, telemetry, Stores, Log(), lambda name: name in text.models)
    telemetry.watchers = (found,)
    return found, telemetry


def used(found: Metering, user: str = "u") -> int:
    (window,) = found.limits._counters._accounts[user].windows.values()  # type: ignore[attr-defined]
    assert window.holds == 0
    return int(window.used)


def end(
    found: Metering,
    telemetry: Telemetry,
    *,
    shell: str = "gateway",
    status: int = 200,
    body: bytes | None = None,
    reason: str = "",
    **record: Any,
) -> None:
    """One request, admitted, of which so much of an answer was seen."""
    hold = found.limits.reserve(asks(10, 20))
    values = {"model": "cheap", "requested": "cheap", "tokens": 10} | record
    exchange = telemetry.begin(shell=shell)
    exchange.routed(Record(caller=asks().caller, hold=hold, **values))
    if body is not None:
        exchange.measure(stream=False).feed(body)
    exchange.ended(status=status, reason=reason)
    exchange.ended(status=status, reason=reason)  # once is enough


USAGE = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}'


@pytest.mark.parametrize(
    ("seen", "charged"),
    [
        ({"body": USAGE}, 7),
        ({"shell": "extproc", "body": USAGE}, 7),
        # An Envoy that shows no answers: what was reserved.
        ({"shell": "extproc", "status": 0}, 30),
        ({"shell": "extproc", "status": 200}, 30),
        ({"shell": "extproc", "status": 200, "body": b""}, 30),
        # The client left before an answer began: what its prompt is taken for.
        ({"shell": "extproc", "status": 499, "reason": "client_closed"}, 10),
        ({"shell": "extproc", "status": 200, "body": b"", "reason": "answer_unfinished"}, 10),
        ({"status": 200, "body": b"", "reason": "client_closed"}, 10),
        # Nobody answered.
        ({"shell": "extproc", "status": 499, "path": "error", "model": ""}, 0),
        ({"status": 200, "body": b"", "reason": "upstream_idle"}, 0),
        ({"shell": "extproc", "status": 503}, 0),
        ({"status": 502, "reason": "upstream_failed"}, 0),
        ({"status": 499, "reason": "client_closed"}, 0),
        ({"path": "cache", "model": "", "saved": Tokens(5, 5)}, 0),
        ({"path": "fast_response", "model": ""}, 0),
        ({"billed": False, "body": b'{"input_tokens": 900}'}, 0),
        # An algorithm that asks models itself, and one that asked before it chose.
        ({"path": "looper", "calls": (Call(model="dear", prompt_tokens=5, completion_tokens=6),)},
         11),
        ({"body": USAGE, "calls": (Call(model="dear", prompt_tokens=5),)}, 12),
        ({"path": "error", "status": 502, "calls": (Call(model="dear", prompt_tokens=5),)}, 5),
    ],
)  # fmt: skip
async def test_what_a_request_is_charged(seen: dict[str, Any], charged: int) -> None:
    found, telemetry = meter()
    end(found, telemetry, **seen)
    assert used(found) == charged
    assert sum(found._meters.counted["authorized_hits"].values()) == charged


async def test_a_shell_that_refuses_what_was_routed_does_not_lose_the_hold() -> None:
    """Envoy's way to a server may be closed after the request was let in."""
    found, telemetry = meter()
    hold = found.limits.reserve(asks(10, 20))
    exchange = telemetry.begin(shell="extproc")
    exchange.routed(Record(model="cheap", caller=asks().caller, hold=hold))
    exchange.routed(Record(path="error", reason="no_healthy_endpoint"))
    exchange.ended(status=503)
    assert used(found) == 0


async def test_metrics_have_the_labels_of_maas_and_never_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A2-47: what a client invents is no label."""
    monkeypatch.setattr(metering, "MAX_USERS", 3)
    found, telemetry = meter()
    for i in range(9):
        found._count("authorized_calls", found._labels(Caller(user=f"u{i}", tier="t"), "cheap"), 1)
    found._count("limited_calls", found._labels(Caller(user="u1", tier="t"), "x" * 99), 1)
    text = telemetry.metrics.text().decode()
    assert 'authorized_calls{model="cheap",tier="t",user="u1"} 1.0' in text
    assert 'authorized_calls{model="cheap",tier="t",user="other"} 6.0' in text
    assert 'limited_calls{model="other",tier="t",user="u1"} 1.0' in text


async def test_what_nobody_saw_is_told_once() -> None:
    found, telemetry = meter()
    lines: list[str] = []
    found._log = lambda event, **more: lines.append(event)  # type: ignore[assignment]
    for _ in range(3):
        end(found, telemetry, shell="extproc", status=0)
    assert lines == ["usage not seen: what was reserved is charged"]
    assert "wayside_maas_unknown_usage_total 3.0" in telemetry.metrics.text().decode()


async def test_people_without_a_token_are_not_metered(tmp_path: Path) -> None:
    found, telemetry = meter()
    telemetry.begin(shell="gateway").ended(status=401)
    assert len(found.limits._counters) == 0  # type: ignore[arg-type]
    router = rig(tmp_path)
    assert (await router.chat(ALICE)).status == 401
