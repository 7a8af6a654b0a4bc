"""The replicas of one model: which of them takes the next request.

Weighted power of two choices: two replicas are drawn with probability proportional to weight,
and the one with fewer requests in flight per weight wins (Mitzenmacher 2001, "The Power of Two
Choices in Randomized Load Balancing"); or whichever way the settings say (`picking`). Health is
passive: what becomes of requests is reported here, and a replica that fails is left out for a
while (:class:`BreakerSettings`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import median
from time import perf_counter
from typing import Any, cast

from wayside.endpoints import Profile
from wayside.fleet.budget import Budget
from wayside.fleet.line import Line
from wayside.fleet.picking import profile
from wayside.fleet.replica import Replica
from wayside.settings.model import ModelSettings
from wayside.settings.resilience import HedgeSettings
from wayside.vocab.draw import two_by_weight
from wayside.vocab.endpoint import Need, Roster
from wayside.vocab.headers import sendable
from wayside.vocab.outcome import HeaderPairs

Dice = Callable[[], float]
"""Uniform in [0, 1); the shell owns it."""

_NEVER = float("inf")
HEDGE_WINDOW_S = 10.0
LATENCIES = 256
"""Times to the first token that a percentile is taken of."""


class Pool:
    """One model's replicas. Never empty-handed while it has any: the least bad one is tried.

    ``retrying`` and ``hedging`` say how much more may be sent than was asked for; ``line`` is
    who waits while as much is under way as may be (``in_flight`` attempts). ``capped``: requests
    may have to wait. ``watches_pace``, ``watches_errors``: how long answers take to begin, and
    those that went well, are worth a report. ``profile`` is how ``picking`` says that one is
    chosen, ``None`` where it says nothing: it goes by what a request needs, so whoever picks says.
    """

    __slots__ = (
        "_bounds",
        "_latencies",
        "_part",
        "_patience",
        "_review_at",
        "_roster",
        "_rotation",
        "_standing_by",
        "_trials",
        "_waking",
        "beside",
        "capped",
        "fault",
        "hedging",
        "in_flight",
        "line",
        "prefill",
        "profile",
        "replicas",
        "retrying",
        "settings",
        "told",
        "watches_errors",
        "watches_pace",
    )

    def __init__(self, replicas: Sequence[Replica], settings: ModelSettings | None = None) -> None:
        self.in_flight = 0
        self.line = Line()
        self._waking = False
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self.settings = ModelSettings()
        self.profile: Profile | None = None
        self.prefill: Pool | None = None
        """Those that read prompts for these, where the settings tell them apart."""
        self.beside: Pool | None = None
        """The other one of the two, that may have the same servers: what is learnt of their
        health here counts there."""
        self.told: Callable[[Replica, Need], None] | None = None
        """Hears of every request whose server was picked by ``profile``."""
        self.fault: Callable[[Exception], None] | None = None
        """Hears of every bug in a strategy: it costs the choice, never the request."""
        self.replicas: tuple[Replica, ...] = ()
        self._set_budgets()
        self.replace(replicas, settings or self.settings)

    def replace(self, replicas: Sequence[Replica], settings: ModelSettings) -> None:
        """Follow new settings; who waits goes on waiting."""
        before, self.settings = self.settings, settings
        if (before.retries, before.hedge) != (settings.retries, settings.hedge):
            self._set_budgets()
        if before.picking != settings.picking:
            self.profile = profile(settings.picking) if settings.picking else None
        elif self.profile is not None:
            for gone in set(self.replicas).difference(replicas):
                self._hear(self.profile.departures, gone)
        self.replicas = tuple(replicas)
        self._roster: Roster | None = None
        self._part: Roster | None = None
        self._rotation: tuple[Replica, ...] = ()
        self._standing_by: tuple[Replica, ...] = ()
        self._bounds: list[float] = []
        self._trials = False
        self._review_at = 0.0
        self._patience: tuple[int, float] = (0, 0.0)
        self.watches_pace = settings.breaker.slow_factor is not None or (
            settings.hedge is not None and settings.hedge.percentile is not None
        )
        self.watches_errors = settings.breaker.error_share is not None
        self.capped = settings.queue.max_in_flight is not None or any(
            r.max_in_flight is not None for r in self.replicas
        )
        self._wake()

    @property
    def in_rotation(self) -> tuple[Replica, ...]:
        """Those that may be picked, as of the last look."""
        return self._rotation or tuple(
            [r for r in self.replicas if not (r.out_until or r.down or r.asleep)]
        )

    @property
    def everybody(self) -> tuple[Replica, ...]:
        """Also those that only read prompts."""
        if self.prefill is None:
            return self.replicas
        return tuple(dict.fromkeys((*self.replicas, *self.prefill.replicas)))

    def _set_budgets(self) -> None:
        retries, hedge = self.settings.retries, self.settings.hedge
        self.retrying = Budget(retries.budget, retries.budget_at_least, retries.window_s)
        self.hedging = Budget(hedge.share if hedge else 0.0, 0, HEDGE_WINDOW_S)

    # Choosing

    def pick(
        self,
        now: float,
        dice: Dice,
        tried: Collection[Replica] = (),
        need: Need | None = None,
    ) -> Replica | None:
        """The replica for the next attempt; ``None`` when every replica has been ``tried``, or
        those that were not have no room, or the filters of ``picking`` leave none."""
        if now >= self._review_at:
            self._review(now)
        if tried or self._trials or self.capped:
            return self._pick_among(now, dice, tried, need)
        rotation = self._rotation
        count = len(rotation)
        if count == 0:
            return self._least_bad((), need)
        if need is not None and self.profile is not None:
            return self._by_profile(need, self._roster_of(rotation), dice)
        if count == 1:
            return rotation[0]
        return _better_of_two(rotation, self._bounds, dice)

    def _roster_of(self, free: Sequence[Replica]) -> Roster:
        """What strategies worked out for these servers is kept, for all that are in rotation and
        for the part of them that was free last."""
        roster = self._roster
        if roster is None:
            roster = self._roster = Roster(self._rotation)
        if len(free) == len(roster.endpoints) and free[0] is roster.endpoints[0]:
            return roster
        part, endpoints = self._part, tuple(free)
        if part is None or part.endpoints != endpoints:
            part = self._part = Roster(endpoints)
        return part

    def _by_profile(self, need: Need, roster: Roster, dice: Dice) -> Replica | None:
        assert self.profile is not None
        began = perf_counter()
        try:
            found = self.profile.pick(need, roster)
        except Exception as bug:  # noqa: BLE001 - a strategy's bug must not cost a request
            self._tell_fault(bug)
            found = []
        need.took = perf_counter() - began
        if found:
            return cast(Replica, found[0])
        free = cast("tuple[Replica, ...]", roster.endpoints)
        if self._strict:
            free = self._allowed(need, free)
        if len(free) < 2:
            return free[0] if free else None
        return _better_of_two(free, _bounds(free), dice)

    @property
    def _strict(self) -> bool:
        """Whether nobody may take what the filters leave nobody for."""
        picking = self.settings.picking
        return self.profile is not None and picking is not None and picking.when_none == "refuse"

    def _allowed(self, need: Need, replicas: Sequence[Replica]) -> tuple[Replica, ...]:
        """Those that the filters keep; none where they cannot say."""
        if self.profile is None or not replicas:
            return ()
        try:
            kept = self.profile.among(need, Roster(tuple(replicas)))
        except Exception as bug:  # noqa: BLE001 - as above
            self._tell_fault(bug)
            return ()
        return cast("tuple[Replica, ...]", kept.endpoints)

    def lacks_room(self, need: Need | None) -> bool:
        """Whether somebody may take this request and has as much to do as it may."""
        full = [r for r in self._rotation if _full(r)] if self.capped else []
        if need is not None and self._strict:
            full = list(self._allowed(need, full))
        return bool(full)

    def refresh(self) -> None:
        """What servers say of themselves was read anew."""
        self._roster = self._part = None

    def pick_another(
        self,
        now: float,
        dice: Dice,
        tried: Collection[Replica],
        need: Need | None = None,
    ) -> Replica | None:
        """A replica that is well, has room, and was not tried; ``None`` where there is none."""
        found = self.pick(now, dice, tried, need)
        if found is None or found.down or found.out_until > now or _full(found):
            return None
        return found

    def open_until(self, now: float) -> float:
        """When the first replica comes back, while all are left out; 0 while one is not."""
        if now >= self._review_at:
            self._review(now)
        if self._rotation or not self.replicas:
            return 0.0
        return min([r.out_until for r in self.replicas if not r.down], default=0.0)

    def asked_for_peace(self, now: float) -> float:
        """How long all replicas are still to be left alone because they said so
        (``Retry-After``); 0 while one is not."""
        until = self.open_until(now)
        if not until or any(r.why != "retry_after" for r in self.replicas if not r.down):
            return 0.0
        return until - now

    def _review(self, now: float) -> None:
        """Work out who is in rotation, and when that can next change by time alone."""
        wanted = self._wanted()
        inside = [r for r in wanted if r.out_until <= now and not r.down]
        for replica in inside:
            if replica.out_until:  # its pause is over; one request tries it
                replica.out_until = 0.0
                replica.on_trial = replica.why != "retry_after"
        self._standing_by = tuple(r for r in inside if r.standby)
        if self._standing_by and len(self._standing_by) < len(inside):
            inside = [r for r in inside if not r.standby]
        self._rotation = tuple(inside)
        self._roster = self._part = None
        self._bounds = _bounds(inside)
        self._trials = any(r.on_trial for r in inside)
        self._review_at = min((r.out_until for r in wanted if r.out_until > now), default=_NEVER)

    def _wanted(self) -> list[Replica]:
        awake = [r for r in self.replicas if not r.asleep]
        return [r for r in awake if r.weight > 0] or awake

    def _pick_among(
        self, now: float, dice: Dice, tried: Collection[Replica], need: Need | None
    ) -> Replica | None:
        if self._trials and not any(r.on_trial for r in self._rotation):
            self._trials = False
        for some in (self._rotation, self._standing_by):
            free = [
                r
                for r in some
                if r not in tried and not (r.on_trial and r.in_flight > 0) and not _full(r)
            ]
            if free:
                break
        if not free:
            left = self._least_bad(tried, need)
            return None if tried and left is not None and _full(left) else left
        if need is not None and self.profile is not None:
            return self._by_profile(need, self._roster_of(free), dice)
        if len(free) == 1:
            return free[0]
        return _better_of_two(free, _bounds(free), dice)

    def _least_bad(self, tried: Collection[Replica], need: Need | None) -> Replica | None:
        left: Sequence[Replica]
        left = [r for r in self.replicas if r not in tried and not r.asleep]
        if need is not None and self._strict:
            left = self._allowed(need, left)
        return min(
            left,
            key=lambda r: (
                *(_full(r), r.weight <= 0, len(r.down)),
                *(r.out_until, r.failures, r.in_flight),
            ),
            default=None,
        )

    # How much at once

    @property
    def full(self) -> bool:
        """Whether one more request would be one too many."""
        if not self.capped:
            return False
        most = self.settings.queue.max_in_flight
        if most is not None and self.in_flight >= most:
            return True
        inside = self._rotation or self.replicas
        return bool(inside) and all([_full(r) for r in inside])

    def need(
        self,
        model: str,
        body: bytes,
        headers: Mapping[str, str],
        now: float,
        dice: Dice,
        priority: int = 0,
    ) -> Need | None:
        """What ``picking`` goes by, if it is asked at all. ``model`` is what servers call it."""
        if self.profile is None and self.prefill is None:
            return None
        return Need(model, body=body, headers=headers, now=now, dice=dice, priority=priority)

    def began(self, replica: Replica, need: Need | None = None) -> None:
        """An attempt is on its way to ``replica``."""
        replica.in_flight += 1
        self.in_flight += 1
        if need is not None and self.profile is not None:
            # Whoever hears of the beginning hears of the end, whatever a reload does meanwhile.
            need.memo[self, replica] = self.profile
            self._hear(self.profile.choices, need, replica)
            if self.told is not None:
                self.told(replica, need)

    def answered(self, replica: Replica, need: Need | None, seconds: float) -> None:
        """An answer began, ``seconds`` after it was asked for."""
        profile = self._told_of(replica, need)
        if profile is not None and not replica.retired:  # nothing is to be learnt of who is gone
            self._hear(profile.answers, need, replica, seconds)

    def says(self, replica: Replica, need: Need | None) -> HeaderPairs:
        """The headers that the strategy wants on the client's answer."""
        profile = self._told_of(replica, need)
        if profile is None or not profile.tells:
            return ()
        said = self._hear(profile.tells, need, replica)
        sound = [pairs for each in said for pairs in self._hear((_sound,), each)]
        return tuple([pair for pairs in sound for pair in pairs])

    def ended(self, replica: Replica, need: Need | None = None) -> None:
        """It is over; whoever waits may go on."""
        replica.in_flight -= 1
        self.in_flight -= 1
        if need is not None:
            profile: Profile | None = need.memo.pop((self, replica), None)
            if profile is not None:
                self._hear(profile.ends, need, replica)
        if self.line:
            self._wake()

    def _told_of(self, replica: Replica, need: Need | None) -> Profile | None:
        """Who was told that this request goes there."""
        return None if need is None else need.memo.get((self, replica))

    def _hear(self, hooks: Iterable[Callable[..., Any]], *what: object) -> list[Any]:
        """Tell every part of a strategy; a bug in one is none of the others' business."""
        found = []
        for hook in hooks:
            try:
                found.append(hook(*what))
            except Exception as bug:  # noqa: BLE001 - a strategy's bug must not cost a request
                self._tell_fault(bug)
        return found

    def _tell_fault(self, bug: Exception) -> None:
        if self.fault is not None:
            self.fault(bug)

    def look(self, now: float) -> None:
        """Take back servers whose pause is over; whoever waits may go on."""
        if now >= self._review_at:
            self._review(now)
            self._wake()

    def _wake(self) -> None:
        if self._waking:  # who was woken has ended already: the loop below goes on
            return
        self._waking = True
        try:
            while self.line and not self.full:
                self.line.pop().wake()
        finally:
            self._waking = False

    # Health

    def _look_anew(self) -> None:
        """Who is in rotation has changed, for those who read prompts and those who write answers
        alike: one server may do both, and whoever looks after it knows one of the two."""
        self._review_at = 0.0
        if self.beside is not None:
            self.beside._review_at = 0.0

    def failed(self, replica: Replica, now: float) -> None:
        """Report a failed attempt; takes the replica out of rotation when it is one too many."""
        if replica.failed(now):
            self._look_anew()

    def erred(self, replica: Replica, now: float) -> None:
        """Report an answer that is an error of the server's own (5xx)."""
        replica.on_trial = False
        if replica.erred(now):
            self._leave_out(replica, now, "errors")

    def cool(self, replica: Replica, until: float) -> None:
        """The replica asked to be left alone until then."""
        replica.cool(until)
        self._look_anew()

    def sleeps(self, replica: Replica, *, asleep: bool) -> None:
        """The replica was put to sleep, or woken."""
        replica.asleep = asleep
        self._look_anew()

    def down(self, replica: Replica, why: str, now: float) -> None:
        """Somebody who looks after it says why it is to be left out until :meth:`well`."""
        replica.down |= {why}
        self._look_anew()
        self.look(now)

    def well(self, replica: Replica, why: str, now: float) -> None:
        """That is no reason any more."""
        replica.down -= {why}
        self._look_anew()
        self.look(now)

    def took(self, replica: Replica, seconds: float, now: float) -> None:
        """Report how long an answer took to begin."""
        if not self.watches_pace:
            return
        self._latencies.append(seconds)
        factor = self.settings.breaker.slow_factor
        if factor is None or not replica.took(seconds):
            return
        others = [r.pace for r in self.replicas if r.pace and r is not replica]
        if others and replica.pace > factor * median(others):
            self._leave_out(replica, now, "slow")

    def _leave_out(self, replica: Replica, now: float, why: str) -> None:
        """Leave a replica out that answers, but badly; never too many of them."""
        wanted = self._wanted()
        out = sum([r.out_until > now for r in wanted if r is not replica])
        if now >= replica.out_until and out + 1 <= self.settings.breaker.most_out * len(wanted):
            replica.leave(now, why)
            self._look_anew()

    # Hedging

    def patience(self, hedge: HedgeSettings) -> float | None:
        """Seconds after which a second attempt may begin; ``None`` while nothing is known."""
        if hedge.percentile is None:
            return hedge.after_s
        known = len(self._latencies)
        if known < 16:
            return None
        count, seconds = self._patience
        if count <= 0:
            ranked = sorted(self._latencies)
            seconds = ranked[min(known - 1, int(known * hedge.percentile / 100))]
            count = 16  # sorting for every request would cost more than it tells
        self._patience = (count - 1, seconds)
        return seconds


def _sound(pairs: HeaderPairs) -> HeaderPairs:
    """The headers that a part of a strategy says. Raises :class:`ValueError`."""
    for name, value in pairs:
        if not sendable(name, value):
            raise ValueError(f"says {name[:64]!r}, which is no header, or not one line")
    return pairs


def _full(replica: Replica) -> bool:
    return replica.max_in_flight is not None and replica.in_flight >= replica.max_in_flight


def _bounds(replicas: Sequence[Replica]) -> list[float]:
    weights = [r.weight for r in replicas]
    return list(accumulate(weights if any(weights) else [1.0] * len(weights)))


def _better_of_two(replicas: Sequence[Replica], bounds: list[float], dice: Dice) -> Replica:
    """Draw two distinct replicas by weight; the less loaded one, the first drawn on a tie."""
    i, j = two_by_weight(bounds, dice)
    first, second = replicas[i], replicas[j]
    if not (first.in_flight or second.in_flight):
        return first  # both idle: the weights have spoken, and must not count twice
    if (second.in_flight + 1) * (first.weight or 1.0) < (first.in_flight + 1) * (
        second.weight or 1.0
    ):
        return second
    return first
