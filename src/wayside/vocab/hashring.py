"""Consistent hashing of requests onto servers, with bounded loads.

A key goes to the first server clockwise of it on a ring of 64-bit hashes. When a server leaves,
only its own keys move, each to the next server; when one comes, only the keys that it takes move
(Karger et al. 1997, "Consistent Hashing and Random Trees"). A server that is not to be had just
now is walked past, which gives the same choice as a ring built without it, so one ring serves
every roster. No server takes more than ``load_factor`` times its share of the requests in flight;
what is over goes on clockwise (Mirrokni, Thorup, Zadimoghaddam 2018, "Consistent Hashing with
Bounded Loads"; KubeAI's CHWBL).

Rendezvous hashing moves as few keys and needs no ring, but asks every server about every request:
60 µs among 512, where the ring takes 2.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import count

from xxhash import xxh3_64_intdigest

from wayside.vocab.endpoint import Endpoint, Roster

POINTS = 64
"""Places on the ring of a server of weight 1. Shares of the ring then differ by about
1 / sqrt(64), that is 12 %, and no server takes more than its bound. vllm-router has 160 (spec
6.1), which takes the event loop two and a half times as long when 512 servers are met."""
_SPARE = 64
"""Servers that the ring may hold beyond twice the roster's before it is built anew."""


class HashRing:
    """Servers on a ring, by ``host_port``: routers that know the same servers agree. One listed
    twice is two servers."""

    __slots__ = ("_gone", "_hashes", "_members", "_owners", "_unit")

    def __init__(self) -> None:
        self._members: dict[Endpoint, tuple[bytes, float]] = {}
        """What each server is called here, and the weight it had."""
        self._gone: dict[Endpoint, tuple[bytes, float]] = {}
        """Those that were forgotten and are on the ring still: walks pass them by, as they do
        others that are not to be had, and the next server that is met clears them away."""
        self._hashes: list[int] = []
        """The places, ascending."""
        self._owners: dict[int, Endpoint] = {}
        """Who has which place. Two that want one and the same (one in 10^10 rings of 512 servers)
        are not told apart: who came first has it."""
        self._unit = 0.0
        """The weight that has ``POINTS`` places: the highest, rounded up to a power of two so
        that it seldom changes."""

    def forget(self, endpoint: Endpoint) -> None:
        """The server is gone, or came back empty: of either, this costs nothing."""
        known = self._members.pop(endpoint, None)
        if known is not None:
            self._gone[endpoint] = known

    def walk(self, key: int, roster: Roster) -> Iterator[int]:
        """Positions of all servers of the roster, in the order in which they are to be asked;
        ``key`` is 64 bits."""
        if roster.memo.get(self) is not self._hashes:  # or the ring is another one by now
            self._meet(roster.endpoints)
            roster.memo[self] = self._hashes
        positions, hashes, owners = roster.positions, self._hashes, self._owners
        start = bisect(hashes, key)
        seen: set[int] = set()
        for part in (range(start, len(hashes)), range(start)):
            for i in part:
                position = positions.get(owners[hashes[i]])
                if position is not None and position not in seen:
                    yield position
                    seen.add(position)
                    if len(seen) == len(positions):
                        return

    def _meet(self, endpoints: Sequence[Endpoint]) -> None:
        members, gone = self._members, self._gone
        if gone:
            for e in endpoints:
                if e in gone:
                    members[e] = gone.pop(e)
        if len(members) > 2 * len(endpoints) + _SPARE:
            members.clear()
            self._clear()
        new = [e for e in endpoints if e not in members]
        heaviest = max([e.weight for e in (*members, *new)])
        unit = 2.0 ** math.ceil(math.log2(heaviest)) if heaviest > 0 else 1.0
        if unit != self._unit or any([members.get(e, (b"", e.weight))[1] != e.weight
                                      for e in endpoints]):  # fmt: skip
            self._unit, new = unit, [*members, *new]
            members.clear()
            self._clear()
        if new and gone:
            self._sweep()
        if new:
            self._add(new)

    def _clear(self) -> None:
        self._hashes, self._owners = [], {}
        self._gone.clear()

    def _sweep(self) -> None:
        """Take those off the ring that are gone."""
        owners, gone = self._owners, self._gone
        self._hashes = [place for place in self._hashes if owners[place] not in gone]
        self._owners = {place: owners[place] for place in self._hashes}
        gone.clear()

    def _add(self, endpoints: Sequence[Endpoint]) -> None:
        names = {name for name, _ in self._members.values()}
        owners, places = self._owners, self._hashes.copy()
        for e in endpoints:
            place = e.host_port.encode("utf-8", "surrogatepass")
            name = next(n for n in _called(place) if n not in names)
            names.add(name)
            self._members[e] = (name, e.weight)
            for seed in range(max(1, round(POINTS * e.weight / self._unit))):
                h = xxh3_64_intdigest(name, seed)
                if owners.setdefault(h, e) is e:
                    places.append(h)
        places.sort()
        self._hashes = places


def _called(place: bytes) -> Iterator[bytes]:
    yield place
    for again in count(1):
        yield b"%s#%d" % (place, again)


class _Load:
    """Requests in flight at a roster's servers, and their weights, added up."""

    __slots__ = ("fresh", "in_flight", "weight")

    def __init__(self) -> None:
        self.fresh, self.in_flight, self.weight = 0, 0, 0.0


class BoundedRing:
    """A ring, of which no server takes much more than its share."""

    __slots__ = ("_factor", "_load_key", "_ring")

    def __init__(self, load_factor: float | None) -> None:
        """``load_factor`` is 1 or more; ``None`` for no bound."""
        self._factor = load_factor
        self._ring = HashRing()
        self._load_key = ("load", self._ring)

    def pick(self, key: int, roster: Roster, most: int = 1) -> list[int]:
        """Up to ``most`` positions: clockwise those with room, then clockwise the others."""
        taken: list[int] = []
        full: list[int] = []
        for position in self._ring.walk(key, roster):
            (taken if self._has_room(roster, position) else full).append(position)
            if len(taken) == most:
                return taken
        return [*taken, *full][:most]

    def forget(self, endpoint: Endpoint) -> None:
        """The server is gone."""
        self._ring.forget(endpoint)

    def _has_room(self, roster: Roster, position: int) -> bool:
        """Whether one more request is at most ceil(factor * (all + 1) * share) there. Someone
        always has room, since those bounds add up to more than ``all``."""
        server = roster.endpoints[position]
        if self._factor is None or server.in_flight <= 0:
            return True
        load = self._load(roster)
        if load.weight <= 0:
            share = 1 / len(roster.endpoints)
        else:
            share = server.weight / load.weight
        return server.in_flight < math.ceil(self._factor * (load.in_flight + 1) * share)

    def _load(self, roster: Roster) -> _Load:
        """Added up anew once for every sixteenth of the servers that are asked about: meanwhile
        the mean can be wrong by an eighth of a request, and 512 servers cost 1 µs, not 15."""
        load: _Load | None = roster.memo.get(self._load_key)
        if load is None:
            load = roster.memo[self._load_key] = _Load()
            load.weight = sum([e.weight for e in roster.endpoints])
        if load.fresh <= 0:
            load.in_flight = sum([e.in_flight for e in roster.endpoints])
            load.fresh = len(roster.endpoints) // 16
        else:
            load.fresh -= 1
        return load
