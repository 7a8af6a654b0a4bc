"""What requests took and cost, added up: by model, by decision and over time, in bounded room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from wayside.telemetry import Price, Tokens

NAMES: Final = 1_000
"""Models, decisions or replicas that are told apart; what comes beyond them is :data:`OTHER`.
They come from settings, so that this is a backstop for routers whose settings often change."""
OTHER: Final = "other"
POINTS: Final = 240
"""Of a series since the start; each is wider when there would be more."""


class Sums(msgspec.Struct, gc=False):
    """Of some requests. Cached and written tokens are parts of ``prompt``; ``cost`` is in the
    currency of the settings, ``spared`` what answers from the cache would have cost."""

    requests: int = 0
    errors: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    cost: float = 0.0
    hits: int = 0
    spared: float = 0.0

    def took(self, tokens: Tokens, cost: float) -> None:
        self.prompt += tokens.prompt
        self.completion += tokens.completion
        self.cached += tokens.cached
        self.written += tokens.written
        self.cost += cost

    def add(self, other: Sums) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def less(self, other: Sums) -> Sums:
        """What is left when ``other`` is taken off."""
        return Sums(*[getattr(self, n) - getattr(other, n) for n in self.__struct_fields__])

    def at(self, price: Price | None) -> float:
        """What the same tokens cost at ``price``; nothing where there is none."""
        if price is None:
            return 0.0
        tokens = Tokens(self.prompt, self.completion, self.cached, self.written)
        return tokens.cost(price.prompt, price.completion, price.cached, price.written)


class ByName:
    """Sums by name, at most :data:`NAMES` and one for the rest."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: dict[str, Sums] = {}

    def of(self, name: str) -> Sums:
        sums = self.found.get(name)
        if sums is None:
            if len(self.found) >= NAMES:
                name = OTHER
            sums = self.found.setdefault(name, Sums())
        return sums


class Series:
    """Sums over time since the start, at most :data:`POINTS`: when there would be more, two and
    two are joined, and each new one is twice as wide."""

    __slots__ = ("points", "width_s")

    def __init__(self, width_s: float = 10.0) -> None:
        self.width_s = width_s
        self.points: dict[int, Sums] = {}

    def of(self, at: float) -> Sums:
        """The one that ``at`` (seconds since 1970) falls into."""
        key = int(at // self.width_s)
        sums = self.points.get(key)
        if sums is None:
            while len(self.points) >= POINTS:
                self._join()
            key = int(at // self.width_s)
            sums = self.points.setdefault(key, Sums())
        return sums

    def told(self) -> list[tuple[float, Sums]]:
        """Each with when it begins, the oldest first."""
        return [(key * self.width_s, self.points[key]) for key in sorted(self.points)]

    def _join(self) -> None:
        self.width_s *= 2
        joined: dict[int, Sums] = {}
        for key, sums in self.points.items():
            joined.setdefault(key // 2, Sums()).add(sums)
        self.points = joined


def currency_of(prices: Mapping[str, Price]) -> str:
    """The currency that most models' prices are in, of several such the first by name."""
    counts = Counter(price.currency for price in prices.values())
    return min(counts, key=lambda name: (-counts[name], name), default="USD")


def dearest(prices: Mapping[str, Price], sums: Sums) -> tuple[str, Price | None]:
    """The model that would have cost most for the same tokens, in the currency of most; its name
    is empty where no model has a price."""
    main = currency_of(prices)
    known = {name: price for name, price in prices.items() if price.currency == main}
    if not known:
        return "", None
    name = max(
        sorted(known), key=lambda n: (sums.at(known[n]), known[n].prompt + known[n].completion)
    )
    return name, known[name]
