"""Getting one request answered: whose turn it is, which replica, once more, elsewhere.

An errand begins with a :class:`Forward` and ends with an attempt whose answer begins, or with a
reason why there is none. Nothing of an answer has gone to the client before it ends, so all it
does (attempts again, hedges, other models) is invisible but for the time it takes. Completions
are safe to repeat: model servers keep no state that a second one could change.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wayside.fleet import Pool, Replica
from wayside.fleet.line import Place
from wayside.gateway.attempt import NEVER, Attempt, Kind, Leftover
from wayside.gateway.failures import (
    FAILURES,
    SHED,
    UNREACHABLE,
    Reason,
    cap_retry_after,
    retry_after_s,
    retry_pairs,
    status_trouble,
    trouble_of,
)
from wayside.gateway.head import ResponseHead
from wayside.gateway.upstream import Upstream
from wayside.runtime.prefill import NoPrefill, Prefill
from wayside.runtime.prefill import Place as PlaceThere
from wayside.settings.resilience import Trouble
from wayside.vocab.endpoint import Need
from wayside.vocab.outcome import Forward, HeaderPairs, Tried

if TYPE_CHECKING:
    from wayside.gateway.door import Door

SHED_S = 1.0
"""What clients that are refused for want of room are told to wait, on average."""
_TIMER_S = 0.001
"""What a timer may ring too soon: uvloop's count whole milliseconds."""


class Errand:
    """At most two attempts are under way, ``_first`` and, with a hedge, ``_second``."""

    __slots__ = (
        "_count",
        "_due",
        "_first",
        "_hedge",
        "_need",
        "_place",
        "_place_there",
        "_pool",
        "_read",
        "_reader",
        "_rested",
        "_second",
        "_since",
        "_task",
        "_timer",
        "_tried",
        "_unread",
        "asks_model",
        "door",
        "forward",
        "minds_length",
        "over",
        "until",
        "wants_events",
    )

    def __init__(self, door: Door, forward: Forward) -> None:
        self.door = door
        self.over = False
        self._since = self.until = 0.0
        """When it began, and when all of it must be done (0 until the first model's settings
        say so)."""
        self._first: Attempt | None = None
        self._second: Attempt | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._hedge: asyncio.TimerHandle | None = None
        self._place: Place | None = None
        self._task: asyncio.Task[None] | None = None
        """Another server is reading the prompt."""
        self._due = NEVER
        self._take_up(forward)

    def _take_up(self, forward: Forward) -> None:
        """Begin with a model."""
        self.forward = forward
        self._pool: Pool | None = None
        self._need: Need | None = None
        self._read = False
        """Whether it was decided who reads the prompt."""
        self._unread: Forward | None = None
        """The request as it was before another server read its prompt."""
        self._reader: Replica | None = None
        self._place_there: PlaceThere | None = None
        """Ours at a prefill server, until the answer begins."""
        self._tried: tuple[Replica, ...] = ()
        self._count = 0
        self._rested = False
        fallback = forward.fallback
        self.minds_length = fallback is not None and fallback.minds_length
        self.wants_events = forward.record.stream and forward.tap is None
        head = self.door.head
        asked = head is None or head.method == "POST"
        self.asks_model = asked and forward.record.path != "local"

    def start(self, now: float) -> None:
        """Begin, or begin again with another model."""
        pool = self.door.server.fleet.pools.get(self.forward.target.name)
        if pool is None or not pool.replicas:
            self._give_up("no_healthy_endpoint", "failure")
            return
        self._pool = pool
        if pool.profile is not None or pool.prefill is not None:
            self._need = pool.need(
                self.forward.target.upstream_name,
                self.forward.body,
                self._headers(),
                now,
                self.door.server.dice,
                self.forward.urgency,
            )
        settings = pool.settings
        if not self.until:
            total = settings.timeouts.total_s
            self._since = now
            self.until = NEVER if total is None else now + total
        pool.retrying.request(now)
        if settings.hedge is not None:
            pool.hedging.request(now)
        self._go(now)

    # Whose turn it is

    def _go(self, now: float) -> None:
        """Make the next attempt, if there is room for it."""
        pool = self._pool
        assert pool is not None
        if pool.capped:
            pool.look(now)
            if pool.full:
                self._queue(pool, now)
                return
        pin = self.forward.pin
        if pin:
            self._go_to(pool, pin, now)
            return
        need = self._need
        if need is not None:
            need.now = now
        replica = self._pick(pool, now, need)
        if replica is None:
            if pool.lacks_room(need):
                self._give_up("server_is_overloaded", "overload")
            else:
                self._give_up("no_healthy_endpoint", "failure")
            return
        if replica.out_until > now and self._avoids(pool, replica, now):
            return
        prefill = self.door.server.prefill
        if pool.prefill is not None and prefill is not None and need is not None:
            first, self._read = not self._read, True
            if first and prefill.wanted(self.forward, pool, need):
                self._task = self.door.loop.create_task(
                    self._have_read(prefill, pool, need, replica)
                )
                self.look_again()
                return
        self._begin(pool, replica, "retry" if self._count else "first", now)

    def _pick(self, pool: Pool, now: float, need: Need | None) -> Replica | None:
        """One that was not tried and, if there is such a one, has not read the prompt for whoever
        writes the answer: nobody hands anything over to itself."""
        dice = self.door.server.dice
        if self._reader is not None and self._reader in pool.replicas:
            found = pool.pick_another(now, dice, (*self._tried, self._reader), need)
            if found is not None:
                return found
            self._unhand()
        return pool.pick(now, dice, self._tried, need) or pool.pick(now, dice, (), need)

    def _unhand(self) -> None:
        """What was read of the prompt is of no use any more."""
        if self._unread is not None:
            self.forward, self._unread, self._reader = self._unread, None, None
        self._leave_place_there()

    def _leave_place_there(self) -> None:
        if self._place_there is not None:
            self._place_there.leave()
            self._place_there = None

    def _go_to(self, pool: Pool, pin: str, now: float) -> None:
        """To the one server that may take it, or to none."""
        for replica in pool.everybody:
            if replica.host_port == pin:
                self._begin(pool, replica, "retry" if self._count else "first", now)
                return
        self._give_up("no_healthy_endpoint", "failure")

    async def _have_read(self, prefill: Prefill, pool: Pool, need: Need, writer: Replica) -> None:
        """Let another server read the prompt, then go on."""
        began = self.door.loop.time()
        try:
            forward, reader, self._place_there = await prefill.run(
                self.forward, pool, need, writer
            )
        except NoPrefill:
            self._task = None
            self._give_up("no_healthy_endpoint", "failure")
            return
        except Exception:  # noqa: BLE001 - the shell's last resort
            self._task = None
            self.door.fault()
            return
        self._task = None
        now = self.door.loop.time()
        if reader is not None:
            self._unread, self._reader = self.forward, reader
        if reader is not None and forward.body is not self.forward.body:
            self._tell_reader(reader, now - began)
        self.forward = forward
        try:
            self._go(now)
        except Exception:  # noqa: BLE001 - nobody else would hear of it
            self.door.fault()

    def _tell_reader(self, reader: Replica, seconds: float) -> None:
        exchange = self.door.exchange
        assert exchange is not None
        model = self.forward.target.name
        exchange.tried(
            Tried(
                endpoint=reader.name,
                model=model,
                outcome="ok",
                kind="prefill",
                status=200,
                seconds=seconds,
            )
        )

    def _begin(self, pool: Pool, replica: Replica, kind: Kind, now: float) -> None:
        exchange = self.door.exchange
        assert exchange is not None
        exchange.attempt(replica.name)
        if self.door.server.attempting is not None:
            self.door.server.attempting(self.door, self.forward, replica)
        attempt = Attempt(self, pool, replica, kind, now, self._need)
        if kind == "hedge":
            self._second = attempt
        else:
            self._first = attempt
            self._count += 1
            hedge = pool.settings.hedge
            if hedge is not None and kind == "first" and not self.forward.pin:
                patience = pool.patience(hedge)
                if patience is not None:
                    self._hedge = self.door.loop.call_later(patience, self._make_second)
        attempt.start(now)

    def _avoids(self, pool: Pool, replica: Replica, now: float) -> bool:
        """No replica is well. Ask another model at once, if there is one; leave servers alone
        that asked for it; otherwise the least bad one may be worth a try."""
        peace = pool.asked_for_peace(now)
        if self._falls_back("overload" if peace else "failure"):
            return True
        if not peace:
            return False
        pause = peace * (1 + self.door.server.dice() / 2) + _TIMER_S
        if not self._rested and now + pause < self.until:
            self._rested = True
            self._rest(pause)
        else:
            self._tell("server_is_overloaded", peace)
        return True

    def _rest(self, seconds: float) -> None:
        self._timer = self.door.loop.call_later(seconds, self._rested_enough)
        self.look_again()

    def _rested_enough(self) -> None:
        self._timer = None
        self._go(self.door.loop.time())

    def _queue(self, pool: Pool, now: float) -> None:
        queue = pool.settings.queue
        urgency = self.door.urgency(self.forward)
        self._place = pool.line.join(urgency, queue.max_queue, self._its_turn, self._turned_away)
        if self._place is None:
            self._give_up("server_is_overloaded", "overload")
            return
        self._due = now + queue.timeout_s
        self.look_again()

    def _headers(self) -> dict[str, str]:
        head = self.door.head
        return {} if head is None else head.headers

    def _its_turn(self) -> None:
        self._place, self._due = None, NEVER
        self._go(self.door.loop.time())

    def _turned_away(self) -> None:
        """One more urgent took the place."""
        self._place, self._due = None, NEVER
        self._give_up("server_is_overloaded", "overload")

    def _make_second(self) -> None:
        """The first attempt is slow: make another beside it, if that is within the budget."""
        self._hedge = None
        pool, first = self._pool, self._first
        if pool is None or first is None or self._count > 1 or pool.full:
            return
        if self._unread is not None and self._unread.body is not self.forward.body:
            return  # what one server has fetched is not there for another
        now = self.door.loop.time()
        busy = (first.replica,) if self._reader is None else (first.replica, self._reader)
        replica = pool.pick_another(now, self.door.server.dice, busy, self._need)
        if replica is not None and pool.hedging.spend(now):
            self._begin(pool, replica, "hedge", now)

    # What becomes of attempts

    def answered(
        self,
        attempt: Attempt,
        head: ResponseHead,
        first: bytes,
        *,
        ended: Upstream | None = None,
        too_long: bool = False,
    ) -> None:
        """An answer is here, ``ended`` whole; it is taken unless there may be a better one."""
        pool, replica = attempt.pool, attempt.replica
        now = self.door.loop.time()
        status = head.status
        if status >= 400:
            if status >= 500:
                pool.erred(replica, now)
            if self._refuses(attempt, head, first, now, ended, too_long):
                return
            cap_retry_after(head, pool.settings.retries.longest_retry_after_s)
        else:
            if pool.watches_pace:
                pool.took(replica, now - attempt.sent_at, now)
            if attempt.need is not None:
                pool.answered(replica, attempt.need, now - attempt.sent_at)
            if pool.watches_errors:
                replica.answered(now)
        if self._second is not None and self._first is not None:
            other = self._second if attempt is self._first else self._first
            self._release(other, "hedge_lost", now)
            other.drop()
        attempt.errand = self._first = None  # so that the request's body can go
        if attempt.need is not None:
            attempt.need.let_go()
        self._finish()
        self.door.begin_answer(self, attempt, head, first)
        if ended is not None and self.door.passage is not None:
            self.door.passage.response_ended(ended)

    def _refuses(
        self,
        attempt: Attempt,
        head: ResponseHead,
        first: bytes,
        now: float,
        ended: Upstream | None,
        too_long: bool,
    ) -> bool:
        """Whether an error is not passed on, because something else is tried."""
        trouble = status_trouble(head.status)
        if trouble is None and not too_long:
            return False
        policy = attempt.pool.settings.retries
        if head.status in (429, 503):
            asked = retry_after_s(head)
            if asked:
                until = now + min(asked, policy.longest_retry_after_s)
                attempt.pool.cool(attempt.replica, until)
        other = self._second if attempt is self._first else self._first
        pause = None if trouble is None or other else self._pause(trouble, now)
        reason: Reason = "overload" if trouble == "429" else "failure"
        following = None
        if other is None and pause is None:
            if too_long:
                reason = "context_length"
            elif trouble not in policy.retry_on:
                return False
            following = self._following(reason)
            if following is None:
                return False
        outcome = "too_long" if too_long else f"status_{head.status}"
        self._release(attempt, outcome, now, head.status)
        self._clear_up(attempt, head, first, ended)
        if following is not None:
            self._follow(following)
        elif pause is not None:
            self._again(attempt, pause, now)
        else:  # the other one of two goes on
            self._tried += (attempt.replica,)
        return True

    def _clear_up(
        self, attempt: Attempt, head: ResponseHead, first: bytes, ended: Upstream | None
    ) -> None:
        upstream = attempt.upstream
        if ended is not None:
            Leftover(attempt.replica).response_ended(ended)
        elif upstream is not None and head.length == len(first):
            upstream.hand_over(Leftover(attempt.replica))
        elif upstream is not None:
            upstream.drop()
        attempt.upstream = None

    def failed(self, attempt: Attempt, reason: str) -> None:
        """An attempt came to nothing."""
        now = self.door.loop.time()
        attempt.pool.failed(attempt.replica, now)
        self._release(attempt, reason, now)
        if self._first is not None:  # the other one of two goes on
            self._tried += (attempt.replica,)
            self.look_again()
            return
        trouble = trouble_of(reason)
        pause = self._pause(trouble, now)
        if pause is not None:
            self._again(attempt, pause, now, sent=trouble != "connect")
        else:
            self._give_up(reason, "failure")

    def _release(self, attempt: Attempt, outcome: str, now: float, status: int = 0) -> None:
        """An attempt is over: count it, and let go of what it took."""
        exchange = self.door.exchange
        assert exchange is not None
        exchange.tried(attempt.tried(outcome, now, status))
        attempt.errand = None
        if attempt is self._first:
            self._first, self._second = self._second, None
        else:
            self._second = None
        attempt.pool.ended(attempt.replica, attempt.need)

    def _pause(self, trouble: Trouble, now: float) -> float | None:
        """Seconds to wait before another attempt; ``None``: there is to be none."""
        pool = self._pool
        assert pool is not None
        policy = pool.settings.retries
        if trouble not in policy.retry_on or self._count >= policy.attempts or now >= self.until:
            return None
        if self._leaves_it(pool, now):
            return None
        peace = pool.asked_for_peace(now)
        if peace and (self._rested or now + 1.5 * peace >= self.until):
            return None  # every server asks to be left alone, again: their answer is the answer
        if trouble == "connect":  # nobody was asked, so it is free; but only elsewhere
            return 0.0 if len(self._tried) + 1 < len(pool.replicas) else None
        if not pool.retrying.spend(now):
            return None
        most = min(policy.longest_backoff_s, policy.backoff_s * 2.0 ** (self._count - 1))
        pause = most * self.door.server.dice()
        return pause if now + pause < self.until else None

    def _leaves_it(self, pool: Pool, now: float) -> bool:
        """Whether no replica is left that is well, while another model is: then it is asked."""
        return bool(self.forward.fallback is not None and pool.open_until(now))

    def _again(self, attempt: Attempt, pause: float, now: float, *, sent: bool = True) -> None:
        """``sent``: its server may have fetched what another one read of the prompt, which is
        then gone there; so it is read again."""
        if sent and self._unread is not None:
            self._unhand()
            self._read = False
        if attempt.replica not in self._tried:
            self._tried += (attempt.replica,)
        if pause > 0:
            self._rest(pause)
        else:
            self._go(now)

    # Another model, or nobody

    def _following(self, reason: Reason) -> Forward | None:
        fallback = self.forward.fallback
        return None if fallback is None else fallback(reason)

    def _falls_back(self, reason: Reason) -> bool:
        following = self._following(reason)
        if following is None:
            return False
        self._follow(following)
        return True

    def _follow(self, forward: Forward) -> None:
        self._stop_timers()
        self._take_up(forward)
        self.door.rerouted(forward)
        self.start(self.door.loop.time())

    def _give_up(self, reason: str, why: Reason) -> None:
        """There is no answer from this model."""
        if not self._falls_back(why):
            self._tell(reason, None)

    def _tell(self, reason: str, peace: float | None) -> None:
        """Tell the client that there is no answer, and when to come back."""
        now = self.door.loop.time()
        pool = self._pool
        back = 0.0 if pool is None else pool.open_until(now)
        pairs: HeaderPairs = ()
        if reason in SHED:
            wait = SHED_S * (0.5 + self.door.server.dice()) if peace is None else peace
            pairs = retry_pairs(wait)
        elif pool is None or reason == "no_healthy_endpoint" or (back and reason in UNREACHABLE):
            pairs = retry_pairs(max(1.0, back - now))
            reason = "no_healthy_endpoint"
        self._finish()
        status, message = FAILURES[reason]
        self.door.unanswered(self.forward, status, message, reason, pairs)

    # Time

    def look_again(self) -> None:
        """The door's deadline is the nearest of what is due."""
        due = self._due
        first, second = self._first, self._second
        if first is not None and first.deadline < due:
            due = first.deadline
        if second is not None and second.deadline < due:
            due = second.deadline
        self.door.deadline = due if due < self.until else self.until

    def expire(self) -> None:
        """Something is overdue."""
        now = self.door.loop.time()
        if now >= self.until:
            reason = "slow_down" if self._place is not None else "upstream_timeout"
            self._abandon(reason)
            self._tell(reason, None)
            return
        if self._place is not None and now >= self._due:
            self._leave_line()
            self._give_up("slow_down", "overload")
            return
        for attempt in (self._first, self._second):
            if attempt is not None and attempt.deadline <= now and not self.over:
                attempt.expire()
        if not self.over:
            self.look_again()

    def _abandon(self, outcome: str) -> None:
        """Stop everything that is under way."""
        now = self.door.loop.time()
        self._leave_line()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for attempt in (self._second, self._first):
            if attempt is not None:
                attempt.drop()
                # Who was asked late, after a wait in the line or for another, is not to blame.
                if outcome == "upstream_timeout" and 2 * attempt.began <= self._since + now:
                    attempt.pool.failed(attempt.replica, now)
                self._release(attempt, outcome, now)

    def _leave_line(self) -> None:
        if self._place is not None and self._pool is not None:
            self._pool.line.leave(self._place)
        self._place, self._due = None, NEVER

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hedge is not None:
            self._hedge.cancel()
            self._hedge = None
        self._leave_place_there()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _finish(self) -> None:
        self.over = True
        self._stop_timers()

    def cancel(self) -> None:
        """The client is gone, or we are stopping."""
        self.over = True
        self._stop_timers()
        self._abandon("cancelled")
