"""Consistent hashing with bounded loads (A3-06; spec 6.1, 6.4)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from wayside.vocab.endpoint import Endpoint, Roster
from wayside.vocab.hashring import POINTS, BoundedRing, HashRing

KEYS = [xxh3_64_intdigest(f"key {i}".encode()) for i in range(2000)]


def roster(*numbers: int, weights: dict[int, float] | None = None) -> Roster:
    found = [_server(n) for n in numbers]
    for n, weight in (weights or {}).items():
        found[numbers.index(n)].weight = weight
    return Roster(tuple(found))


def _server(n: int) -> Endpoint:
    return Endpoint(f"pod-{n}", f"10.0.0.{n}:8000")


def first(ring: HashRing, among: Roster) -> list[str]:
    return [among.endpoints[next(ring.walk(key, among))].name for key in KEYS]


def test_a_walk_names_every_server_once() -> None:
    ring, among = HashRing(), roster(*range(9))
    for key in KEYS[:50]:
        assert sorted(ring.walk(key, among)) == list(range(9))


def test_routers_that_know_the_same_servers_agree() -> None:
    assert first(HashRing(), roster(1, 2, 3, 4)) == first(HashRing(), roster(4, 2, 1, 3))


@settings(deadline=None, max_examples=30)
@given(numbers=st.sets(st.integers(0, 200), min_size=2, max_size=12), data=st.data())
def test_only_the_keys_of_a_server_that_left_move(numbers: set[int], data: st.DataObject) -> None:
    """And only those that a new one takes, which is the same read backwards."""
    ring, among = HashRing(), roster(*numbers)
    gone = data.draw(st.sampled_from(among.endpoints))
    rest = Roster(tuple(e for e in among.endpoints if e is not gone))
    before, walked_past = first(ring, among), first(ring, rest)
    ring.forget(gone)
    after, anew = first(ring, rest), first(HashRing(), rest)
    assert after == walked_past == anew
    for was, now in zip(before, after, strict=True):
        assert (was == now) == (was != gone.name)


def test_servers_share_the_keys_by_their_weights() -> None:
    taken = Counter(first(HashRing(), roster(1, 2, 3, weights={1: 2.0})))
    assert 0.4 < taken["pod-1"] / len(KEYS) < 0.6
    assert 0.15 < taken["pod-2"] / len(KEYS) < 0.35


def test_a_weight_that_changes_is_noticed() -> None:
    ring, among = HashRing(), roster(1, 2)
    first(ring, among)
    among.endpoints[0].weight = 0.125
    taken = Counter(first(ring, Roster(among.endpoints)))
    assert taken["pod-1"] < 0.25 * len(KEYS)


def test_one_that_was_forgotten_too_soon_is_met_again() -> None:
    ring, among = HashRing(), roster(1)
    assert list(ring.walk(KEYS[0], among)) == [0]
    ring.forget(among.endpoints[0])
    assert list(ring.walk(KEYS[0], among)) == [0]


def test_a_heavy_one_that_left_leaves_the_ring_as_if_it_had_not_been() -> None:
    ring, among = HashRing(), roster(1, 2, 3, weights={3: 8.0})
    first(ring, among)
    ring.forget(among.endpoints[2])
    assert first(ring, Roster(among.endpoints[:2])) == first(HashRing(), roster(1, 2))


def test_half_a_large_fleet_leaves_at_once_and_the_ring_is_gone_over_once() -> None:
    """Each of them used to cost a walk along the whole ring, on the event loop."""
    ring, among = HashRing(), roster(*range(512))
    first(ring, among)
    places = ring._hashes
    for e in among.endpoints[:256]:
        ring.forget(e)
    rest = Roster(among.endpoints[256:])
    assert first(ring, rest) == first(HashRing(), rest)
    assert ring._hashes is places, "nothing was built"
    more = Roster((*rest.endpoints, _server(1000)))
    assert first(ring, more) == first(HashRing(), more)
    assert len(ring._hashes) == 257 * POINTS, "those that left are gone"
    assert set(ring._owners.values()) == set(more.endpoints)


def test_one_at_the_address_of_another_that_left_has_its_place() -> None:
    ring, among = HashRing(), roster(1, 2, 3)
    first(ring, among)
    ring.forget(among.endpoints[0])
    again = Roster((_server(1), *among.endpoints[1:]))
    assert first(ring, again) == first(HashRing(), again)
    assert among.endpoints[0] not in ring._owners.values()


def test_a_restarted_server_costs_the_ring_nothing() -> None:
    ring, among = HashRing(), roster(1, 2, 3)
    before, places = first(ring, among), ring._hashes
    ring.forget(among.endpoints[0])
    assert first(ring, Roster(among.endpoints)) == before
    assert ring._hashes is places and not ring._gone


def test_the_same_address_twice_is_two_servers() -> None:
    taken = Counter(first_by_position(Roster((_server(1), _server(1)))))
    assert min(taken[0], taken[1]) > 0.35 * len(KEYS)


def first_by_position(among: Roster) -> list[int]:
    ring = HashRing()
    return [next(ring.walk(key, among)) for key in KEYS]


def test_servers_that_nobody_forgets_do_not_pile_up() -> None:
    ring = HashRing()
    for n in range(300):
        next(ring.walk(KEYS[0], roster(n)))
    assert len(ring._members) <= 70 and len(ring._hashes) <= 70 * POINTS


@settings(deadline=None, max_examples=50)
@given(
    factor=st.sampled_from([1.0, 1.25, 2.0]),
    size=st.integers(1, 40),
    keys=st.lists(st.sampled_from(KEYS[:3]), min_size=1, max_size=200),
)
def test_nobody_takes_more_than_the_factor_times_its_share(
    factor: float, size: int, keys: list[int]
) -> None:
    """ceil(factor * requests / servers), though all ask for the same two or three."""
    ring, among = BoundedRing(factor), roster(*range(size))
    for key in keys:
        among.endpoints[ring.pick(key, among)[0]].in_flight += 1
    slack = 1 + len(among.endpoints) // 16  # `_load` is added up anew that seldom
    assert max(e.in_flight for e in among.endpoints) <= factor * len(keys) / size + 1 + slack


def test_without_a_bound_all_go_to_one() -> None:
    ring, among = BoundedRing(None), roster(1, 2, 3)
    home = ring.pick(KEYS[0], among)
    among.endpoints[home[0]].in_flight = 1000
    assert ring.pick(KEYS[0], among) == home


def test_further_ones_are_the_next_with_room_then_the_full_ones() -> None:
    ring, among = BoundedRing(1.25), roster(*range(4))
    order = ring.pick(KEYS[0], among, 4)
    among.endpoints[order[0]].in_flight = 100
    assert ring.pick(KEYS[0], Roster(among.endpoints), 4) == [*order[1:], order[0]]
