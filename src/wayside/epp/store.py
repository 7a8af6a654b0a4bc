"""What a picker knows of its pool: endpoints, how urgent requests are, names for models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from wayside.epp.refusals import NO_CANDIDATES, NO_PODS, Refusal
from wayside.vocab.endpoint import NO_LABELS, Endpoint, Roster
from wayside.vocab.inference import Objective, Rewrites

_SUBSETS_KEPT = 64


class Seat(NamedTuple):
    """An endpoint to be: its name (a pod's, or ``<pod>-rank-<i>``), and where it listens."""

    name: str
    host_port: str
    labels: Mapping[str, str] = NO_LABELS


class Store:
    """The pool. :attr:`roster` is replaced, never changed, so a choice sees one state of it."""

    def __init__(self, pool: str = "") -> None:
        self.pool = pool
        self.roster = Roster(())
        self.objective: Callable[[str], Objective | None] = lambda name: None
        """The InferenceObjective that a request names."""
        self.rewrites: Callable[[], Rewrites] = Rewrites
        """The rules for models' names, as they are."""
        self.synced = False
        """The pool's endpoints have been heard of, be it that there are none."""
        self.on_gone: list[Callable[[Endpoint], None]] = []
        self.on_change: list[Callable[[], None]] = []

    def seat(self, seats: Iterable[Seat]) -> None:
        """These are the endpoints. One that stays keeps its identity, and what is known of it."""
        known = {(e.name, e.host_port): e for e in self.roster.endpoints}
        there: dict[tuple[str, str], Endpoint] = {}
        for seat in seats:
            key = (seat.name, seat.host_port)
            endpoint = known.get(key)
            if endpoint is None:
                endpoint = Endpoint(seat.name, seat.host_port, labels=seat.labels)
            endpoint.labels = seat.labels
            there[key] = endpoint
        self.roster = Roster(tuple(there.values()))
        self.synced = True
        for key, endpoint in known.items():
            if key not in there:
                for tell in self.on_gone:
                    tell(endpoint)
        for changed in self.on_change:
            changed()

    def refresh(self) -> None:
        """Vitals were read anew: what was worked out from the old ones is forgotten."""
        self.roster = Roster(self.roster.endpoints)

    def priority(self, objective: str) -> int:
        """How urgent a request is that names this objective; 0 for one that nobody declared."""
        found = self.objective(objective) if objective else None
        return found.priority if found is not None else 0

    def candidates(self, subset: tuple[str, ...] | None) -> Roster | Refusal:
        """Who may be chosen. ``subset`` names ``ip``s or ``ip:port``s, ``None`` everybody; a
        subset that nobody of the pool is in leaves nobody, as does an empty one."""
        roster = self.roster
        if subset is None:
            return roster if roster.endpoints else NO_CANDIDATES
        found: Roster | None = roster.memo.get(subset)
        if found is None:
            names = {_plain(name) for name in subset}
            kept = [e for e in roster.endpoints if _named(e.host_port, names)]
            found = Roster(tuple(kept))
            kept_subsets = roster.memo.setdefault("subsets", [])
            if len(kept_subsets) < _SUBSETS_KEPT:
                kept_subsets.append(subset)
                roster.memo[subset] = found
        return found if found.endpoints else NO_CANDIDATES

    def anyone(self, subset: tuple[str, ...] | None, dice: float) -> Endpoint | Refusal:
        """One at random, for a request without a body to choose by."""
        if not self.roster.endpoints:
            return NO_PODS
        found = self.candidates(subset)
        if isinstance(found, Refusal):
            return found
        return found.endpoints[int(dice * len(found.endpoints))]


def _plain(name: str) -> str:
    return name.strip().lower()


def _named(host_port: str, names: set[str]) -> bool:
    low = host_port.lower()
    host = low.rpartition(":")[0]
    return low in names or host in names or host.strip("[]") in names
