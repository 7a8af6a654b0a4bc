"""What outcomes have taught: routings that may be judged, verdicts, ratings.

All of it is in this process, or in a store that replicas share. There every process writes one
document, with what it has learnt itself, and adds up everybody's: no two ever write the same one,
so nothing is lost when outcomes arrive in several places at once. A process that starts again
begins a document of its own; one that has not been written for an hour is taken over by whoever
manages to delete it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec

from wayside.flow import Policy
from wayside.flow.judging import Judged, Routing, Table, added, lesson
from wayside.runtime.shelf import Shelf
from wayside.settings import LearningSettings
from wayside.telemetry import Exchange, Tokens
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import Standing, Standings
from wayside.vocab.stores import Delete, Get, Listing, Put

ROUTINGS, OUTCOMES, LEARNT = "wayside.routings", "wayside.outcomes", "wayside.learning"
CLAIMS = "wayside.outcomes.keys"
"""Spaces of a shared store."""
ABANDONED_S = 3600.0
"""A document of another process that is older is taken over."""
LATEST = 1000
"""Outcomes of this process that can be looked at."""
MAX_DOCUMENTS = 1000
"""Processes whose documents are added up."""
_encode = msgspec.json.Encoder().encode


class _Learnt(msgspec.Struct):
    """What one process has learnt; ``at`` is when it was written, in Unix seconds."""

    at: float
    table: Table


_learnt = msgspec.json.Decoder(_Learnt)
_routing = msgspec.json.Decoder(Routing)
_judged = msgspec.json.Decoder(Judged)


class Learned:
    """Answers :class:`Standings`, watches requests so that they can be judged, and takes verdicts.

    ``after`` runs a flow that nobody waits for.
    """

    def __init__(
        self,
        settings: LearningSettings,
        after: Callable[[Flow[None]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.judged = False
        """Whether routings are remembered; :meth:`adopt` says so."""
        self._after, self._clock = after, clock
        self._name = os.urandom(8).hex()
        self._own: Table = {}
        self._others: dict[str, Table] = {}
        self._sum: Table = {}
        self._written = self._read_at = 0.0
        self._routings: Shelf[Routing] = Shelf(settings.max_routings)
        self._told: Shelf[bytes] = Shelf(2 * settings.max_routings)
        self._latest: Shelf[Judged] = Shelf(LATEST)

    def adopt(self, settings: LearningSettings, policy: Policy) -> None:
        """Other settings are in force. What was learnt stays, unless it is kept elsewhere now."""
        if settings.store != self.settings.store:
            self._others, self._read_at, self._written = {}, 0.0, 0.0
            self._add_up()
        if settings.max_routings != self.settings.max_routings:
            self._routings.most = settings.max_routings
            self._told.most = 2 * settings.max_routings
        self.settings = settings
        self.judged = any([recipe.judged for recipe in policy.recipes.values()])

    # what is known

    def standings(self, question: Standings) -> tuple[Standing, ...]:
        """Answers at once, with what is known; what others learnt is fetched behind it."""
        settings = self.settings
        if settings.store and self._clock() - self._read_at >= settings.refresh_s:
            self._read_at = self._clock()
            self._after(self.refresh())
        tallies = self._sum.get(question.category, {})
        initial = settings.initial_rating
        found = [tallies.get(name) for name in question.candidates]
        return tuple(
            [Standing(rating=initial) if t is None else t.standing(initial) for t in found]
        )

    def ratings(self) -> dict[str, dict[str, Standing]]:
        """Everything known, by category and candidate."""
        initial = self.settings.initial_rating
        return {
            category: {name: tally.standing(initial) for name, tally in tallies.items()}
            for category, tallies in self._sum.items()
        }

    def rating(self, category: str, candidate: str) -> float:
        tally = self._sum.get(category, {}).get(candidate)
        return self.settings.initial_rating + (tally.moved if tally else 0.0)

    # requests that may be judged

    def began(self, exchange: Exchange) -> None:
        """Nothing is known yet of what will have answered."""

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> None:
        """A request is over: from here on it may be judged."""
        record = exchange.record
        if not self.judged or not record.decision or not record.model:
            return
        answered = record.model if record.fallback_from else record.candidate or record.model
        routing = Routing(record.recipe, record.decision, answered, record.category, record.owner)
        key, store = exchange.request_id, self.settings.store
        if store is not None:
            put = Put(store, ROUTINGS, key, _encode(routing), self.settings.judge_within_s)
            self._after(_put(put, routing.owner))
            return
        before = self._routings.get(key)
        if before is None or before.owner == routing.owner:  # an id of one's own takes no other's
            self._routings.put(key, routing, self.settings.judge_within_s)

    def routing(self, key: str) -> Flow[Routing | None]:
        """The request called ``key``. Raises :class:`AskFailed`."""
        store = self.settings.store
        if store is None:
            return self._routings.get(key)
        found = yield from ask(Get(store, ROUTINGS, key))
        return None if found is None else _routing.decode(found)

    # verdicts

    def told(self, space: str, key: str) -> Flow[bytes | None]:
        """What was kept in ``space`` under ``key``. Raises :class:`AskFailed`."""
        held = self._told.get(f"{space} {key}")
        if held is not None or self.settings.store is None:
            return held
        return (yield from ask(Get(self.settings.store, space, key)))

    def tell(self, space: str, key: str, value: bytes) -> Flow[None]:
        """Keep a value for as long as its request may be judged. Raises :class:`AskFailed`; this
        process remembers it even then, so that telling again does not count twice."""
        settings = self.settings
        self._told.put(f"{space} {key}", value, settings.judge_within_s)
        if settings.store is not None:
            yield from ask(Put(settings.store, space, key, value, settings.judge_within_s))

    def outcomes(self, limit: int) -> Flow[list[Judged]]:
        """The newest outcomes. Raises :class:`AskFailed`."""
        store = self.settings.store
        if store is None:
            return self._latest.newest(limit)
        found = yield from ask(Listing(store, OUTCOMES, limit))
        return [_judged.decode(value) for _, value in found]

    def keep(self, key: str, outcome: Judged) -> Flow[None]:
        """Keep an outcome to be looked at. Raises :class:`AskFailed`."""
        self._latest.put(key, outcome, self.settings.judge_within_s)
        yield from self.tell(OUTCOMES, key, _encode(outcome))

    def learn(self, outcome: Judged, category: str, candidates: tuple[str, ...]) -> Flow[None]:
        """Take the lesson. Raises :class:`AskFailed`, and then nothing was learnt."""
        yield from self._still_ours()
        taught = lesson(outcome, category, candidates, self.rating, self.settings.k_factor)
        own: Table = {}
        added(own, self._own)
        added(own, taught)
        yield from self._write(own)
        added(self._own, taught)
        self._add_up()

    # the shared store

    def refresh(self) -> Flow[None]:
        """Read what others learnt, take over what nobody writes any more, and show that this
        process lives. A store that does not answer is asked again later."""
        store = self.settings.store
        if store is None:
            return
        try:
            yield from self._still_ours()
            found = yield from ask(Listing(store, LEARNT, MAX_DOCUMENTS))
            others: dict[str, Table] = {}
            for name, value in found:
                learnt = _decoded(value)
                if learnt is None or name == self._name:
                    continue
                if self._clock() - learnt.at <= ABANDONED_S:
                    others[name] = learnt.table
                elif (yield from ask(Delete(store, LEARNT, name))):
                    added(self._own, learnt.table)
                    self._written = 0.0
            self._others = others
            self._add_up()
            if self._own and self._clock() - self._written > ABANDONED_S / 4:
                yield from self._write(self._own)
        except AskFailed:
            return

    def _still_ours(self) -> Flow[None]:
        """After a long silence another process may have taken over what this one had written."""
        store = self.settings.store
        if store is None or not self._written:
            return
        if self._clock() - self._written < ABANDONED_S / 2:
            return
        mine = yield from ask(Get(store, LEARNT, self._name))
        if mine is None:
            self._own, self._name, self._written = {}, os.urandom(8).hex(), 0.0
            self._add_up()
        else:
            yield from self._write(self._own)

    def _write(self, table: Table) -> Flow[None]:
        store = self.settings.store
        if store is None:
            return
        now = self._clock()
        yield from ask(Put(store, LEARNT, self._name, _encode(_Learnt(now, table))))
        self._written = now

    def _add_up(self) -> None:
        self._sum = {}
        for table in (self._own, *self._others.values()):
            added(self._sum, table)


def _put(put: Put, owner: str) -> Flow[None]:
    """Keep a routing; an id of one's own takes no other's."""
    before = yield from ask(Get(put.store, put.space, put.key))
    if before is None or _routing.decode(before).owner == owner:
        yield from ask(put)


def _decoded(value: bytes) -> _Learnt | None:
    try:
        return _learnt.decode(value)
    except msgspec.DecodeError:  # written by another version
        return None
