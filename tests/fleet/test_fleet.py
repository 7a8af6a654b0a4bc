"""Replicas and pools with a clock and dice of our own."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.fleet import Fleet, Pool, Replica
from wayside.fleet.replica import AGE_MAX_S, IDLE_MAX, IDLE_S
from wayside.fleet.resolve import Resolver, alternate
from wayside.settings.address import parse_address
from wayside.settings.model import EndpointSettings, ModelSettings, TimeoutSettings, TlsSettings
from wayside.vocab.errors import ConfigError


def replicas(*weights: float) -> list[Replica]:
    return [
        Replica(str(i), parse_address(f"http://10.0.0.{i + 1}:80"), weight=w)
        for i, w in enumerate(weights)
    ]


class Dice:
    """Low-discrepancy points, so that shares can be compared without luck."""

    def __init__(self) -> None:
        self._points = (i * 0.6180339887498949 % 1.0 for i in itertools.count(1))

    def __call__(self) -> float:
        return next(self._points)


class Connection:
    def __init__(self, born: float = 0.0) -> None:
        self.born = self.idle_since = born
        self.alive = True

    def close(self) -> None:
        self.alive = False


def out(pool: Pool, replica: Replica, now: float) -> None:
    pool.failed(replica, now)
    pool.failed(replica, now)


# Choosing


def test_the_less_loaded_of_two_is_chosen() -> None:
    pool = Pool(replicas(1, 1))
    busy, free = pool.replicas
    busy.in_flight = 3
    assert pool.pick(0, lambda: 0.0) is free
    assert pool.pick(0, lambda: 0.99) is free
    busy.in_flight = 0
    assert pool.pick(0, lambda: 0.0) is busy, "the first one drawn, on a tie"


def test_who_stands_by_is_asked_while_nobody_else_can_be() -> None:
    """A0-32: servers of another cluster take nothing while one of ours can, everything while none
    can, and a second attempt at once."""
    pool = Pool(replicas(1, 1, 1))
    first, second, spare = pool.replicas
    spare.standby = True
    dice = Dice()
    assert {pool.pick(0, dice) for _ in range(40)} == {first, second}
    assert pool.pick(0, dice, tried=(first, second)) is spare
    out(pool, first, 0)
    assert {pool.pick(0, dice) for _ in range(10)} == {second}
    out(pool, second, 0)
    assert {pool.pick(0, dice) for _ in range(10)} == {spare}
    back = max(first.out_until, second.out_until)
    assert spare not in {pool.pick(back, dice) for _ in range(10)}


def test_load_is_counted_per_weight() -> None:
    pool = Pool(replicas(3, 1))
    heavy, light = pool.replicas
    heavy.in_flight, light.in_flight = 2, 1
    assert pool.pick(0, lambda: 0.99) is heavy, "3 requests over weight 3 is less than 2 over 1"


def test_shares_follow_weights() -> None:
    """Each request stays for as long as ten others take to come."""
    pool = Pool(replicas(1, 2, 5))
    dice = Dice()
    taken = dict.fromkeys(pool.replicas, 0)
    under_way: list[Replica] = []
    for _ in range(4000):
        choice = pool.pick(0, dice)
        assert choice is not None
        choice.in_flight += 1
        taken[choice] += 1
        under_way.append(choice)
        if len(under_way) > 10:
            under_way.pop(0).in_flight -= 1
    shares = [n / 4000 for n in taken.values()]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.05)


@settings(max_examples=200, deadline=None)
@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=6),
    points=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2),
    loads=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    failed=st.sets(st.integers(0, 5)),
)
def test_a_pool_with_replicas_always_has_one_to_try(
    weights: list[float], points: list[float], loads: list[int], failed: set[int]
) -> None:
    pool = Pool(replicas(*weights))
    for i, replica in enumerate(pool.replicas):
        replica.in_flight = loads[i]
        if i in failed:
            out(pool, replica, 0.0)
    tried: list[Replica] = []
    for _ in pool.replicas:
        choice = pool.pick(0.5, iter(points).__next__, tried)
        assert choice is not None
        assert choice not in tried
        tried.append(choice)
    assert pool.pick(0.5, iter(points).__next__, tried) is None


def test_weight_zero_takes_no_requests_while_others_can() -> None:
    pool = Pool(replicas(0, 1, 1))
    dice = Dice()
    zero, one, two = pool.replicas
    assert {pool.pick(0, dice) for _ in range(50)} == {one, two}
    assert pool.pick(0, dice, [one, two]) is zero
    assert Pool([]).pick(0, dice) is None


# Health


def test_two_failures_in_a_row_take_a_replica_out_and_time_brings_it_back() -> None:
    pool = Pool(replicas(1, 1))
    bad, good = pool.replicas
    dice = Dice()
    pool.failed(bad, 0.0)
    assert bad in {pool.pick(0, dice) for _ in range(20)}, "one failure is not enough"
    pool.failed(bad, 0.0)
    assert {pool.pick(0.9, dice) for _ in range(20)} == {good}
    assert bad in {pool.pick(1.0, dice) for _ in range(20)}


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    pool = Pool(replicas(1, 1))
    bad, _ = pool.replicas
    now, pauses = 0.0, []
    pool.failed(bad, now)
    for _ in range(7):
        pool.failed(bad, now)
        pauses.append(bad.out_until - now)
        now = bad.out_until
        pool.pick(now, Dice())
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_replica_on_trial_gets_one_request_until_it_answers() -> None:
    pool = Pool(replicas(1, 1))
    bad, good = pool.replicas
    dice = Dice()
    out(pool, bad, 0.0)
    assert bad in {pool.pick(1.0, dice) for _ in range(20)}
    bad.in_flight, good.in_flight = 1, 50
    assert {pool.pick(1.0, dice) for _ in range(20)} == {good}
    bad.answers()
    assert bad in {pool.pick(1.0, dice) for _ in range(20)}
    bad.completed()
    assert not pool.failed(bad, 2.0)
    assert bad in {pool.pick(2.0, dice) for _ in range(20)}, "the count began anew"


def test_when_all_are_bad_the_least_bad_is_tried() -> None:
    pool = Pool(replicas(1, 1))
    first, second = pool.replicas
    out(pool, first, 0.0)
    out(pool, second, 0.5)
    assert pool.pick(0.6, Dice()) is first, "it comes back sooner"
    assert pool.pick(0.6, Dice(), [first]) is second


# Connections


def test_idle_connections_are_reused_last_in_first_out_until_they_are_old() -> None:
    (replica,) = replicas(1)
    old, fresh, dead = Connection(), Connection(), Connection()
    replica.keep(old, 0.0)
    replica.keep(fresh, 20.0)
    replica.keep(dead, 20.0)
    dead.alive = False
    assert replica.take(IDLE_S + 1) is fresh
    assert replica.take(IDLE_S + 1) is None
    assert not old.alive


def test_the_idle_ones_are_bounded_and_swept() -> None:
    (replica,) = replicas(1)
    connections = [Connection() for _ in range(IDLE_MAX + 5)]
    for connection in connections:
        replica.keep(connection, 0.0)
    assert sum(c.alive for c in connections) == len(replica.idle) == IDLE_MAX
    replica.close_idle(IDLE_S)
    assert not any(c.alive for c in connections)


def test_a_connection_does_not_outlive_a_change_of_address_for_long() -> None:
    (replica,) = replicas(1)
    connection = Connection(born=0.0)
    replica.keep(connection, AGE_MAX_S + 1)
    assert not connection.alive


# Settings


def model(*urls: str, **rest: object) -> ModelSettings:
    return ModelSettings(endpoints=tuple(EndpointSettings(url=u) for u in urls), **rest)


def test_new_settings_keep_what_is_unchanged_and_drain_what_is_gone() -> None:
    fleet = Fleet({"m": model("http://a", "http://b"), "n": model("http://a")})
    a, b = fleet.pools["m"].replicas
    a.in_flight = 2
    kept, gone = Connection(), Connection()
    a.keep(kept, 0.0)
    b.keep(gone, 0.0)
    late = TimeoutSettings(connect_s=1)
    weighted = EndpointSettings(url="http://a", weight=5, name="first")
    fleet.replace(
        {"m": ModelSettings(endpoints=(weighted, EndpointSettings(url="c")), timeouts=late)}
    )
    again, c = fleet.pools["m"].replicas
    assert again is a
    assert (again.weight, again.name, again.in_flight, again.timeouts) == (5, "first", 2, late)
    assert kept.alive
    assert not gone.alive
    under_way = Connection()
    b.keep(under_way, 1.0)  # its last request ends after the change
    assert not under_way.alive
    assert c.host_line == b"host: c\r\n"
    assert "n" not in fleet.pools


def test_the_same_url_twice_is_two_replicas() -> None:
    fleet = Fleet({"m": model("http://a", "http://a")})
    before = fleet.pools["m"].replicas
    assert len(set(before)) == 2
    fleet.replace({"m": model("http://a", "http://a", "http://b")})
    assert fleet.pools["m"].replicas[:2] == before


def test_a_ca_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    fleet = Fleet({"m": model("http://a")})
    bad = tmp_path / "ca.pem"
    for content in (None, "not PEM"):
        if content:
            bad.write_text(content)
        with pytest.raises(ConfigError, match=r"ca\.pem"):
            fleet.replace({"m": model("https://a", tls=TlsSettings(ca_file=str(bad)))})
    assert [r.name for r in fleet.pools["m"].replicas] == ["a:80"]


def test_system_certificates_are_loaded_once() -> None:
    fleet = Fleet({"m": model("https://a", "https://b"), "n": model("https://a")})
    found = [r.secure for pool in fleet.pools.values() for r in pool.replicas]
    assert len({id(s.context) for s in found if s}) == 1
    assert [s.server_name for s in found if s] == ["a", "b", "a"]


def test_ipv6_addresses_are_bracketed_in_the_host_header() -> None:
    fleet = Fleet({"m": model("http://[::1]:8000")})
    assert fleet.pools["m"].replicas[0].host_line == b"host: [::1]:8000\r\n"


# Names


class Names:
    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        await asyncio.sleep(0)
        return self.answers[min(self.asked, len(self.answers)) - 1]


async def test_a_name_is_looked_up_again_after_a_few_seconds() -> None:
    now = 0.0
    names = Names(["10.0.0.1"], ["10.0.0.2"])
    resolver = Resolver(lookup=names, clock=lambda: now)
    assert await resolver.addresses("llm", 80) == ["10.0.0.1"]
    now = 4.9
    assert await resolver.addresses("llm", 80) == ["10.0.0.1"]
    now = 5.0
    assert await resolver.addresses("llm", 80) == ["10.0.0.2"]
    assert names.asked == 2


async def test_a_name_whose_addresses_failed_is_looked_up_at_once() -> None:
    names = Names(["10.0.0.1"], ["10.0.0.2"])
    resolver = Resolver(lookup=names, clock=lambda: 0.0)
    await resolver.addresses("llm", 80)
    resolver.forget("llm", 80)
    assert await resolver.addresses("llm", 80) == ["10.0.0.2"]


async def test_lookups_at_the_same_time_are_one_and_outlive_who_asked() -> None:
    names = Names(["10.0.0.1"])
    resolver = Resolver(lookup=names, clock=lambda: 0.0)
    first = asyncio.create_task(resolver.addresses("llm", 80))
    second = asyncio.create_task(resolver.addresses("llm", 80))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["10.0.0.1"]
    assert names.asked == 1


async def test_a_name_without_addresses_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await Resolver(lookup=Names([]), clock=lambda: 0.0).addresses("llm", 80)


async def test_pods_behind_one_name_take_turns() -> None:
    resolver = Resolver(lookup=Names(["10.0.0.1", "10.0.0.2"]), clock=lambda: 0.0)
    firsts = {(await resolver.addresses("llm", 80))[0] for _ in range(4)}
    assert firsts == {"10.0.0.1", "10.0.0.2"}


async def test_an_ip_address_is_not_looked_up() -> None:
    names = Names(["10.9.9.9"])
    resolver = Resolver(lookup=names)
    assert await resolver.addresses("::1", 80) == ["::1"]
    assert await resolver.addresses("127.0.0.1", 80) == ["127.0.0.1"]
    assert names.asked == 0


def test_families_alternate_beginning_with_the_preferred_one() -> None:
    assert alternate(["::1", "::2", "1.1.1.1"]) == ["::1", "1.1.1.1", "::2"]
    assert alternate(["1.1.1.1", "::1", "::2"]) == ["1.1.1.1", "::1", "::2"]
