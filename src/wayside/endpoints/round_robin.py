"""Servers in turn."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster

_SETS = 1_024
_Key = tuple[tuple[str, float], ...]


class RoundRobinRule(Settings):
    """Example: ``{}``"""


class _Turns:
    """Whose turn it is among one set of servers, which are known by their ranks."""

    __slots__ = ("_even", "_next", "_owed", "_total", "_weights")

    def __init__(self, weights: list[float]) -> None:
        most = max(weights)
        if most > 0:  # by the greatest, so that no sum of huge weights is infinite
            self._weights = [max(0.0, weight) / most for weight in weights]
        else:
            self._weights = [1.0] * len(weights)
        self._even = len(set(self._weights)) == 1
        self._total = sum(self._weights)
        self._owed = [0.0] * len(weights)
        self._next = 0

    def take(self) -> int:
        if self._even:
            rank = self._next
            self._next = (rank + 1) % len(self._weights)
            return rank
        owed = list(map(add, self._owed, self._weights))
        rank = owed.index(max(owed))
        owed[rank] -= self._total
        self._owed = owed
        return rank


@catalog.register("picker", "round_robin", settings=RoundRobinRule, stability="beta")
class RoundRobinPicker:
    """Servers in turn, as often as their weights say.

    Each set of servers has its own turn, in the order of their addresses, whatever order they
    come in (production-stack's ``roundrobin``, spec 2.2); the 1,024 sets used last are
    remembered. Where weights differ, everybody is owed its weight each time and whoever is owed
    most pays for all, which spreads turns evenly (smooth weighted round robin, nginx 1.3.1).
    Where scorers are named, those that share the highest score take turns.
    """

    def __init__(self, rule: RoundRobinRule) -> None:
        self._sets: dict[_Key, _Turns] = {}  # the longest unused first

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        if totals:
            best = max(totals)
            count = totals.count(best)
            if count == 1:
                return (totals.index(best),)
            if count < len(totals):
                among = [i for i, total in enumerate(totals) if total == best]
                order, turns = self._of([roster.endpoints[i] for i in among])
                return (among[order[turns.take()]],)
        known = roster.memo.get(self)
        if known is None:
            known = roster.memo[self] = self._of(roster.endpoints)
        order, turns = known
        return (order[turns.take()],)

    def _of(self, endpoints: Sequence[Endpoint]) -> tuple[list[int], _Turns]:
        """The positions in the order of addresses, and whose turn it is."""
        marks = [(e.host_port, e.weight) for e in endpoints]
        order = sorted(range(len(marks)), key=marks.__getitem__)
        key = tuple([marks[i] for i in order])
        turns = self._sets.pop(key, None)
        if turns is None:
            turns = _Turns([weight for _, weight in key])
            if len(self._sets) >= _SETS:
                del self._sets[next(iter(self._sets))]
        self._sets[key] = turns
        return order, turns
