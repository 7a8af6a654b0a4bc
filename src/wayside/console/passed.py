"""The requests that passed: the newest ones, the last fifteen minutes, and sums since the start.

While a request is on its way, nothing is done; when it ends, a few of its facts are put in a list.
They are worked out some hundred at a time, or when somebody looks. Prompts are in none of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from wayside.console.shapes import Passed
from wayside.console.spread import Spread, ms
from wayside.console.sums import NAMES, ByName, Series, Sums, currency_of
from wayside.flow import Policy
from wayside.plugins.router_replay import RouterReplayPlugin
from wayside.telemetry import Exchange, Telemetry, Tokens
from wayside.telemetry.calls import tokens_of_call
from wayside.vocab.outcome import Record, Tried

FOLDED: Final = 128
"""Requests that are worked out at once: about half a millisecond."""
NEWEST: Final = 200
"""Requests that are told one by one."""
SLICE_S: Final = 10
SLICES: Final = 90
"""Fifteen minutes."""
NEWS: Final = 1_000
"""Requests that wait to be told to whoever looks on."""
_TEXT: Final = 300
_NOBODYS: Final = frozenset({"local", "models"})
"""Paths of answers about the router itself, which are no traffic."""

Facts = tuple[str, Record, str, list[Tried], int, str, Tokens | None, float, float, float, float]
"""Of a request that has ended: id, record, server, attempts, status, reason, tokens; and when it
began, was routed, answered its first byte, and ended, in the seconds of the loop."""


class Slice:
    """Ten seconds."""

    __slots__ = ("_told", "at", "routing", "sums", "total")

    def __init__(self, at: int) -> None:
        self.at = at
        """Seconds since 1970, divided by :data:`SLICE_S`."""
        self.sums = Sums()
        self.total, self.routing = Spread(), Spread()
        """Seconds of requests that went well; of deciding, where something was decided."""
        self._told = Sums()

    def since_told(self) -> Sums:
        """What came since this was asked last."""
        now = msgspec.structs.replace(self.sums)
        found = now.less(self._told)
        self._told = now
        return found


class Server(msgspec.Struct):
    """Attempts at one server of a model. ``spread`` is of those that went well."""

    attempts: int = 0
    errors: int = 0
    spread: Spread = msgspec.field(default_factory=Spread)


class Passing:
    """A watcher of :class:`~wayside.telemetry.Telemetry`, put there by :meth:`watch`.

    ``count`` and ``failed`` are all requests since the start, and those that did not go well.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        policy: Callable[[], Policy],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._telemetry, self._policy, self.clock = telemetry, policy, wall
        self._now = telemetry.now
        self._pending: list[Facts] = []
        self._kept: tuple[Policy | None, frozenset[tuple[str, str]]] = None, frozenset()
        self.since = wall()
        self.count = self.failed = 0
        self.newest: deque[Facts] = deque(maxlen=NEWEST)
        self.slices: deque[Slice] = deque(maxlen=SLICES)
        self.by_model, self.by_decision = ByName(), ByName()
        self._series = Series()
        self.servers: dict[tuple[str, str], Server] = {}
        """By model and the name of the server."""
        self.elsewhere: dict[str, float] = {}
        """Spent with models whose price is in another currency than most, by currency."""
        self.news: deque[Facts] | None = None
        """What is to be told to whoever looks on; ``None`` while nobody does."""
        self.untold = 0
        """Of those, how many were more than it holds."""

    def watch(self) -> None:
        """From now on, for as long as the process lives."""
        self._telemetry.always += (self,)
        self._telemetry.watchers += (self,)

    # what telemetry calls

    def began(self, exchange: Exchange) -> None:
        """Nothing is known yet that somebody would look at."""

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> None:
        pending = self._pending
        pending.append(
            (
                exchange.request_id,
                exchange.record,
                exchange.endpoint,
                exchange.tries,
                status,
                reason,
                usage,
                exchange.started,
                exchange.routed_at,
                exchange.first,
                self._now(),
            )
        )
        if len(pending) >= FOLDED:
            self.fold()

    # what those who look call

    def fold(self) -> None:
        """Work out what has ended since."""
        pending, self._pending = self._pending, []
        offset = self.clock() - self._now()
        for facts in pending:
            self._add(facts, offset)

    def recent(self) -> list[Slice]:
        """The last fifteen minutes, the oldest first; the ten seconds of now are the last."""
        self.fold()
        first = self.this_slice() - SLICES + 1
        return [one for one in self.slices if one.at >= first]

    def this_slice(self) -> int:
        """The ten seconds of now."""
        return int(self.clock() // SLICE_S)

    def total(self) -> Sums:
        """Of all requests since the start."""
        found = Sums()
        for sums in self.by_decision.found.values():
            found.add(sums)
        return found

    def over_time(self) -> list[tuple[float, Sums]]:
        """The same since the start, with when each begins, the oldest first."""
        if self.slices:  # the last one is not over
            last = self.slices[-1]
            self._series.of(last.at * SLICE_S).add(last.since_told())
        return self._series.told()

    def told(self, facts: Facts) -> Passed:
        """One request, for people."""
        id, record, endpoint, tries, status, reason, usage, started, routed, first, ended = facts
        taken = self._taken(record, usage)
        paid = [(tokens, *self._priced(model, tokens)) for model, tokens in taken]
        return {
            "id": id[:_TEXT],
            "at": round(ended + self.clock() - self._now(), 3),
            "requested": record.requested[:_TEXT],
            "signals": [str(ref) for ref, v in record.verdicts.items() if v.matched],
            "decision": record.decision,
            "algorithm": record.algorithm,
            "model": record.model,
            "endpoint": endpoint,
            "status": status,
            "reason": (reason or record.reason)[:_TEXT],
            "path": "model" if record.path == "upstream" else record.path,
            "why": record.why[:_TEXT],
            "total_ms": ms(ended - started),
            "routing_ms": ms((routed or ended) - started),
            "first_byte_ms": ms(first - started) if first else None,
            "prompt_tokens": sum(tokens.prompt for tokens, _, _ in paid),
            "completion_tokens": sum(tokens.completion for tokens, _, _ in paid),
            "cost": round(sum(cost for _, cost, abroad in paid if not abroad), 9),
            "attempts": max(1, len(tries)) if record.model else 0,
            "replay": (record.recipe, record.decision) in self._replayed(),
        }

    # working it out

    def _add(self, facts: Facts, offset: float) -> None:
        _, record, _, tries, status, reason, usage, started, routed, _, ended = facts
        for tried in tries:
            self._server(tried)
        if record.path in _NOBODYS:
            return
        wrong = status >= 400 or bool(reason)
        here = self._slice(int((ended + offset) // SLICE_S))
        both = (here.sums, self.by_decision.of(record.decision))
        self.count += 1
        self.failed += wrong
        for sums in both:
            sums.requests += 1
            sums.errors += wrong
        if usage is not None or record.calls:
            for model, tokens in self._taken(record, usage):
                cost, abroad = self._priced(model, tokens)
                if abroad:
                    self.elsewhere[abroad] = self.elsewhere.get(abroad, 0.0) + cost
                    continue
                for sums in (*both, self.by_model.of(model)):
                    sums.took(tokens, cost)
        if record.path == "cache":
            spared = self._priced(record.saved_model, record.saved)[0] if record.saved else 0.0
            for sums in both:
                sums.hits += 1
                sums.spared += spared
        if record.model:
            by_model = self.by_model.of(record.model)
            by_model.requests += 1
            by_model.errors += wrong
        if not wrong:
            here.total.add(ended - started)
        if record.recipe:
            here.routing.add((routed or ended) - started)
        self.newest.append(facts)
        if self.news is not None:
            if len(self.news) >= NEWS:
                self.untold += 1
            else:
                self.news.append(facts)

    @staticmethod
    def _taken(record: Record, usage: Tokens | None) -> list[tuple[str, Tokens]]:
        """What the answer took, and each call that an algorithm made for it, with its model."""
        taken = [] if usage is None else [(record.model, usage)]
        return taken + [(call.model, tokens_of_call(call)) for call in record.calls]

    def _priced(self, model: str, tokens: Tokens) -> tuple[float, str]:
        """What they cost, and in which currency where it is not that of most."""
        prices = self._telemetry.prices
        price = prices.get(model)
        if price is None:
            return 0.0, ""
        cost = tokens.cost(price.prompt, price.completion, price.cached, price.written)
        return cost, "" if price.currency == self._currency(prices) else price.currency

    def _currency(self, prices: Mapping[str, Any]) -> str:
        if self._money[0] is not prices:
            self._money = prices, currency_of(prices)
        return self._money[1]

    _money: tuple[Mapping[str, Any] | None, str] = None, ""

    def _server(self, tried: Tried) -> None:
        key = (tried.model, tried.endpoint)
        server = self.servers.get(key)
        if server is None:
            if len(self.servers) >= NAMES:
                self.servers.pop(next(iter(self.servers)))  # the one that was met first
            server = self.servers[key] = Server()
        server.attempts += 1
        if tried.outcome == "ok":
            server.spread.add(tried.seconds)
        elif tried.outcome not in ("hedge_lost", "cancelled"):
            server.errors += 1

    def _slice(self, at: int) -> Slice:
        slices = self.slices
        if slices:
            last = slices[-1]
            if last.at >= at:  # also where the clock was put back
                return last
            self._series.of(last.at * SLICE_S).add(last.since_told())
        slices.append(Slice(at))
        return slices[-1]

    def _replayed(self) -> frozenset[tuple[str, str]]:
        """The recipes and decisions of which records are kept."""
        policy = self._policy()
        if self._kept[0] is not policy:
            found = frozenset(
                (name, decision)
                for name, recipe in policy.recipes.items()
                for decision, plugins in recipe.plugins.items()
                if any(isinstance(p, RouterReplayPlugin) for p in plugins)
            )
            self._kept = policy, found
        return self._kept[1]
