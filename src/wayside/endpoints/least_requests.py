"""The server that the fewest requests of ours are at, for what it can take."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.catalog import catalog
from wayside.endpoints import one_of
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster


class LeastRequestsRule(Settings):
    """Example: ``{}``"""


@catalog.register("picker", "least_requests", settings=LeastRequestsRule, stability="beta")
class LeastRequestsPicker:
    """The server with the fewest requests in flight per weight; of equals one at random.

    It counts what this process has sent, so it is never late; several processes do not know of
    each other's. Where scorers are named, it takes one of those that share the highest score.
    """

    def __init__(self, rule: LeastRequestsRule) -> None:
        pass

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        endpoints = roster.endpoints
        if totals:
            best = max(totals)
            if totals.count(best) < len(totals):
                among = [i for i, total in enumerate(totals) if total == best]
                if len(among) == 1:
                    return among
                loads = _loads([endpoints[i] for i in among])
                return (among[one_of(loads, min(loads), need.dice)],)
        even = roster.memo.get(self)
        if even is None:
            weights = {e.weight for e in endpoints}
            even = roster.memo[self] = len(weights) == 1
        if even:
            counts = [e.in_flight for e in endpoints]
            return (one_of(counts, min(counts), need.dice),)
        loads = _loads(endpoints)
        return (one_of(loads, min(loads), need.dice),)


_NOTHING = 1e-9
"""The weight of a server that has none: chosen where there is nobody else."""


def _loads(endpoints: Sequence[Endpoint]) -> list[float]:
    """Per weight, with the one to come: of idle servers the one that can take most is first."""
    return [(e.in_flight + 1) / (e.weight or _NOTHING) for e in endpoints]
