"""Choose one of a model's servers. One file per filter, scorer and picker.

Filters say who may be chosen, scorers rate each of those from 0 to 1, weights multiply, the sums
go to the picker. What a strategy may remember between requests is its own, and bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import add, mul
from typing import Any, Protocol

from wayside.vocab.endpoint import NEVER, Endpoint, Fact, Need, Roster, Vitals
from wayside.vocab.outcome import HeaderPairs

Scores = Sequence[float] | Mapping[int, float]
"""From 0 to 1, 1 is best: one number per server of the roster, in its order; or only those that
are not 0, by position."""


HITS = "prefix_hits"
"""In a need's ``memo``, from scorers that know what servers have cached: the share of the prompt,
0..1, by the position of the server in the roster that they rated."""
HIT = "hit"
"""In a need's ``memo``: that of the server that was picked."""
TPOT = "tpot_s"
"""In a need's ``memo`` when an attempt ends, from shells that know: the seconds that each token of
its streamed answer took after the first."""


class Filter(Protocol):
    """Says who may be chosen.

    Class attributes, with what holds where they are absent: ``steady`` (``False``): the answer
    depends on the roster alone, so it is asked once per roster; ``reads`` (empty): what has to be
    fetched from servers. It may have the methods of :class:`Follows`.
    """

    def __init__(self, rule: Any) -> None: ...

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        """The positions that stay, ascending; ``None`` for all. Keeping none refuses the request
        wherever the caller does not have a last resort."""
        ...


class Scorer(Protocol):
    """Rates servers. See :class:`Filter` for what else it may have."""

    def __init__(self, rule: Any) -> None: ...

    def score(self, need: Need, roster: Roster) -> Scores: ...


class Picker(Protocol):
    """Takes one, or several in the order in which they are to be tried. See :class:`Filter` for
    what else it may have."""

    def __init__(self, rule: Any) -> None: ...

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        """Positions, the best first, at least one; ``totals`` are empty where nobody scored."""
        ...


class Follows(Protocol):
    """What a filter, a scorer or a picker may also want to hear; every method is optional."""

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        """The request goes there (once per attempt)."""
        ...

    def answered(self, need: Need, endpoint: Endpoint, seconds: float) -> None:
        """Its answer began, that long after it was sent."""
        ...

    def ended(self, need: Need, endpoint: Endpoint) -> None:
        """The attempt is over, however it went; once for each ``chosen``."""
        ...

    def forget(self, endpoint: Endpoint) -> None:
        """The server is gone, or came back empty."""
        ...

    def says(self, need: Need, endpoint: Endpoint) -> HeaderPairs:
        """Headers for the client's response."""
        ...


_HOOKS = ("chosen", "answered", "ended", "forget", "says")


class Profile:
    """Filters, scorers with their weights, and a picker: one way to choose.

    What steady ones say is worked out once per roster, and scorers may name only the servers they
    know something of: with both, a choice among 512 costs little more than one among 8
    (``bench/picks.py``).
    """

    __slots__ = (
        "_dense",
        "_filters",
        "_picker",
        "_steady",
        "answers",
        "choices",
        "departures",
        "ends",
        "parts",
        "reads",
        "tells",
    )

    def __init__(
        self,
        filters: Sequence[Filter] = (),
        scorers: Sequence[tuple[Scorer, float]] = (),
        picker: Picker | None = None,
    ) -> None:
        """``picker`` is required unless the profile is only asked for scores."""
        self._filters = [(f, bool(getattr(f, "steady", False))) for f in filters]
        self._steady = [(s, w) for s, w in scorers if getattr(s, "steady", False)]
        self._dense = [(s, w) for s, w in scorers if not getattr(s, "steady", False)]
        self._picker = picker
        parts = [*filters, *[s for s, _ in scorers], *([picker] if picker else [])]
        self.parts: tuple[Any, ...] = tuple(parts)
        """For shells that fetch what some of them read."""
        found: list[Any] = [
            [getattr(part, hook) for part in parts if hasattr(part, hook)] for hook in _HOOKS
        ]
        self.choices, self.answers, self.ends, self.departures, self.tells = found
        """The hooks of its parts: chosen, answered, ended, forget and says."""
        self.reads: frozenset[Fact] = frozenset(
            fact for part in parts for fact in getattr(part, "reads", ())
        )
        """What has to be fetched from servers."""

    def twin(self, made: Sequence[Any]) -> Profile:
        """The same profile of other parts: ``made`` stand for those of :attr:`parts`."""
        stands = dict(zip(map(id, self.parts), made, strict=True))
        weights = {id(s): weight for s, weight in (*self._steady, *self._dense)}
        return Profile(
            [stands[id(f)] for f, _ in self._filters],
            [(stands[id(part)], weights[id(part)]) for part in self.parts if id(part) in weights],
            stands[id(self._picker)] if self._picker is not None else None,
        )

    def pick(self, need: Need, roster: Roster) -> list[Endpoint]:
        """The servers to try, the best first; empty where the filters leave none."""
        roster = self.among(need, roster)
        if not roster.endpoints:
            return []
        assert self._picker is not None
        totals = self.scores(need, roster)
        endpoints = roster.endpoints
        taken = self._picker.pick(need, roster, totals)
        hits = need.memo.get(HITS)
        if hits:
            need.memo[HIT] = hits.get(taken[0], 0.0)
        return [endpoints[i] for i in taken]

    def among(self, need: Need, roster: Roster) -> Roster:
        """Those who may be chosen."""
        for f, steady in self._filters:
            smaller = roster.memo.get(f) if steady else None
            if smaller is None:
                kept = f.keep(need, roster)
                if kept is None or len(kept) == len(roster.endpoints):
                    smaller = roster
                else:
                    endpoints = roster.endpoints
                    smaller = Roster(tuple([endpoints[i] for i in kept]))
                if steady:
                    roster.memo[f] = smaller
            roster = smaller
            if not roster.endpoints:
                break
        return roster

    def scores(self, need: Need, roster: Roster) -> Sequence[float]:
        """The weighted sums, in the roster's order; empty without scorers. Not to be changed."""
        if not self._dense:
            return self._steady_scores(need, roster) if self._steady else ()
        totals = list(self._steady_scores(need, roster))
        for scorer, weight in self._dense:
            scores = scorer.score(need, roster)
            if isinstance(scores, Mapping):
                for i, score in scores.items():
                    totals[i] += weight * score
                continue
            if weight != 1.0:
                scores = list(map(mul, scores, repeat(weight)))
            if len(scores) != len(totals):
                raise ValueError(f"{scorer} rated {len(scores)} of {len(totals)} servers")
            totals = list(map(add, totals, scores))
        return totals

    def _steady_scores(self, need: Need, roster: Roster) -> list[float]:
        found: list[float] | None = roster.memo.get(self)
        if found is None:
            found = [0.0] * len(roster.endpoints)
            for scorer, weight in self._steady:
                scores = scorer.score(need, roster)
                pairs = scores.items() if isinstance(scores, Mapping) else enumerate(scores)
                for i, score in pairs:
                    found[i] += weight * score
            roster.memo[self] = found
        return found

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        """Tell its parts where the request goes."""
        for hook in self.choices:
            hook(need, endpoint)

    def answered(self, need: Need, endpoint: Endpoint, seconds: float) -> None:
        """Tell its parts how long the answer took to begin."""
        for hook in self.answers:
            hook(need, endpoint, seconds)

    def ended(self, need: Need, endpoint: Endpoint) -> None:
        """Tell its parts that an attempt is over."""
        for hook in self.ends:
            hook(need, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        """Tell its parts that a server is gone, or came back empty."""
        for hook in self.departures:
            hook(endpoint)

    def says(self, need: Need, endpoint: Endpoint) -> HeaderPairs:
        """The headers that its parts want on the client's response."""
        return tuple([pair for hook in self.tells for pair in hook(need, endpoint)])


def spread(values: Sequence[float]) -> list[float]:
    """1 for the least, 0 for the greatest, linear between; 1 for all where they are equal
    (spec 3.4: (max - q) / (max - min))."""
    low, high = min(values), max(values)
    if low == high:
        return [1.0] * len(values)
    width = high - low
    return [(high - value) / width for value in values]


def of_known(
    roster: Roster,
    read: Callable[[Vitals], float],
    rate: Callable[[Sequence[float]], list[float]] = spread,
) -> list[float]:
    """Rate servers by what they say of themselves: ``rate`` makes scores of what ``read`` finds.

    Who never said anything gets the mean of the others' scores, so that nobody is preferred, or
    avoided, for being unknown; where all are, everybody gets 0.5.
    """
    said = [e.vitals for e in roster.endpoints]
    known = [v for v in said if v.at != NEVER]
    if not known:
        return [0.5] * len(said)
    scores = rate([read(v) for v in known])
    if len(known) == len(said):
        return scores
    mean = min(1.0, sum(scores) / len(scores))
    following = iter(scores)
    return [mean if v.at == NEVER else next(following) for v in said]


def one_of(values: Sequence[float], value: float, dice: Callable[[], float]) -> int:
    """The position of one of those that equal ``value``, each as likely."""
    position = values.index(value)
    count = values.count(value)
    if count > 1:
        for _ in range(int(dice() * count)):
            position = values.index(value, position + 1)
    return position
