"""Keep servers that have about their share of the load, whatever scorers prefer."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, NonNegativeFloat

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster

_ROUNDED = 1 + 1e-9
"""So that who has exactly a share is not left out for how sums of weights are rounded."""


class BoundedLoadRule(Settings):
    """Example: ``{factor: 1.5, slack: 4}``"""

    factor: float = Field(default=1.1, ge=1)
    """Times its share of all requests in flight that a server may have."""
    slack: NonNegativeFloat = 3.0
    """Requests that it may have on top, so that a quiet fleet is not bound at all."""


@catalog.register("filter", "bounded_load", settings=BoundedLoadRule, stability="beta")
class BoundedLoadFilter:
    """Keeps servers with about their share of the requests in flight.

    At most ``factor`` * share + ``slack``, where shares are in proportion to the servers' weights
    (the bound of Mirrokni, Thorup and Zadimoghaddam 2018, "Consistent Hashing with Bounded
    Loads", and a constant). Somebody always has at most their share, so somebody stays. Only who
    has too much is left out, and those after it in the scorers' order follow: what is cached goes
    on counting, where ``load_guard`` gives it up for the one server with the least to do.
    """

    def __init__(self, rule: BoundedLoadRule) -> None:
        self._factor, self._slack = rule.factor, rule.slack

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        endpoints = roster.endpoints
        counts = [e.in_flight for e in endpoints]
        if max(counts) <= self._slack:
            return None
        weights = [e.weight for e in endpoints]
        whole = sum(weights)
        each = self._factor * sum(counts)
        slack = self._slack
        if not whole:  # a fleet of nothing but last resorts
            weights, whole = [1.0] * len(counts), float(len(counts))
        each /= whole
        return [
            i
            for i, (count, weight) in enumerate(zip(counts, weights, strict=True))
            if count <= each * weight * _ROUNDED + slack
        ]
