"""What came of an answer, and what that teaches: outcomes, ratings and counts, as pure sums.

Everything learnt is a sum of what single outcomes added, so what several routers learnt adds up to
what they know together, in whatever order it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from wayside.flow.report import header_text
from wayside.vocab.observed import Standing, Verdict
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.selection_math import rated

MAX_CATEGORIES = 256
MAX_CANDIDATES = 1024
"""Of one category. What comes beyond either is counted for all prompts together, or not at all."""
REPLAY_ID = "x-vsr-replay-id"
_WORTH: Mapping[Verdict, float] = {
    "good_fit": 1.0,
    "overprovisioned": 0.5,
    "underpowered": 0.0,
    "failed": 0.0,
}
"""How a verdict counts as a game's result, where no score is told. A model that was more than the
prompt needed has not lost, but should not get more of its like either."""


class Routing(msgspec.Struct, frozen=True):
    """A request whose outcome may be told. ``owner`` is a digest of who asked, or empty."""

    recipe: str
    decision: str
    candidate: str
    category: str = ""
    owner: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome, as it is kept. ``candidate`` is the one it is about; ``compared_with`` the one
    it was compared with, if any. ``at`` is in Unix seconds."""

    replay_id: str
    source: str
    target: str
    candidate: str
    verdict: Verdict
    at: float
    score: float | None = None
    compared_with: str = ""
    reason: str = ""
    metadata: dict[str, Any] = {}

    @property
    def told(self) -> str:
        """All that its teller said, and nothing of when."""
        return repr(msgspec.structs.replace(self, at=0.0))


class Tally(msgspec.Struct, omit_defaults=True):
    """What outcomes added for one candidate: points of rating moved, and counts."""

    moved: float = 0.0
    games: int = 0
    good_fit: float = 0.0
    underpowered: float = 0.0
    overprovisioned: float = 0.0
    failed: float = 0.0

    def add(self, other: Tally) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def standing(self, initial: float) -> Standing:
        return Standing(
            rating=initial + self.moved,
            games=self.games,
            good_fit=self.good_fit,
            underpowered=self.underpowered,
            overprovisioned=self.overprovisioned,
            failed=self.failed,
        )


Table = dict[str, dict[str, Tally]]
"""By category (empty for all prompts together) and candidate."""


def added(into: Table, table: Table) -> None:
    """Add what ``table`` holds, within the bounds."""
    for category, tallies in table.items():
        for candidate, tally in tallies.items():
            found = tally_of(into, category, candidate)
            if found is not None:
                found.add(tally)


def tally_of(table: Table, category: str, candidate: str) -> Tally | None:
    """The entry to count in, made where there is none; ``None`` where there are too many."""
    tallies = table.get(category)
    if tallies is None:
        if len(table) >= MAX_CATEGORIES:
            return None
        tallies = table[category] = {}
    found = tallies.get(candidate)
    if found is None and len(tallies) < MAX_CANDIDATES:
        found = tallies[candidate] = Tally()
    return found


def with_replay_id(report: HeaderPairs, headers: Mapping[str, str]) -> HeaderPairs:
    """``report`` with the name under which the outcome may be told, unless it has one."""
    given = headers.get("x-request-id", "")
    if not given or any([name == REPLAY_ID for name, _ in report]):
        return report
    return (*report, (REPLAY_ID, header_text(given)))


def lesson(
    outcome: Judged,
    category: str,
    candidates: Iterable[str],
    rating: Callable[[str, str], float],
    k: float,
) -> Table:
    """What ``outcome`` adds. ``candidates`` are those of its decision, ``rating`` gives the rating
    of a candidate in a category by now, ``k`` is Elo's factor.

    With ``compared_with`` it is a game between two, and what one wins the other loses. Without, it
    is one against the field: a player rated as the mean of the other candidates, who neither
    wins nor loses. It counts for all prompts together and for the category alike.
    """
    others = [c for c in candidates if c != outcome.candidate]
    table: Table = {}
    for where in dict.fromkeys(("", category)):
        tally = _counts(outcome)
        table[where] = {outcome.candidate: tally}
        against = [outcome.compared_with] if outcome.compared_with else others
        if not against:
            continue
        own = rating(where, outcome.candidate)
        field = sum([rating(where, c) for c in against]) / len(against)
        tally.moved = rated(own, field, _result(outcome), k) - own
        tally.games = 1
        if outcome.compared_with:
            table[where][outcome.compared_with] = Tally(moved=-tally.moved, games=1)
    return table


def _result(outcome: Judged) -> float:
    """The game's result, 0..1."""
    if outcome.score is None or outcome.verdict == "failed":
        return _WORTH[outcome.verdict]
    return outcome.score


def _counts(outcome: Judged) -> Tally:
    if outcome.verdict == "overprovisioned":
        return Tally(overprovisioned=1.0)
    if outcome.verdict == "failed":
        return Tally(failed=1.0)
    good = _result(outcome)
    return Tally(good_fit=good, underpowered=1.0 - good)
