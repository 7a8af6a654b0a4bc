"""What the members of a tier may take: one table of requests, tokens and money, asked about before
each request and settled after it.

How much one request may take is not known before its answer is over, so it is **reserved** first:
what its prompt is taken for, and what its answer is bounded by. While two requests are under way,
each finds what the other has reserved gone. :doc:`limits-and-usage` says how exact that is.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from wayside.maas.counters import Counters, Full, Granted, Limit, MemoryCounters
from wayside.maas.counters_redis import RedisCounters
from wayside.maas.settling import Settlements
from wayside.settings.maas import BudgetOf, LimitOf, MaasSettings, TierSettings, seconds
from wayside.settings.model import RouterSettings
from wayside.stores import Stores
from wayside.stores.redis import RedisStore
from wayside.vocab.access import Caller, Hold, Left, Over, Release, Reserve
from wayside.vocab.errors import AskFailed, Problem

MONEY: Final = 1_000_000_000
"""Money is counted in billionths of the currency, so that sums stay exact."""
MAX_BUDGET: Final = 1_000_000.0
"""Beyond it, Redis's numbers would no longer be exact."""
AGAIN_S: Final = 1.0
_UNKNOWN_TIER_S: Final = 60.0
_MAX_RATES: Final = 1_000


class _Tier(NamedTuple):
    limits: tuple[Limit, ...]
    told: tuple[str, ...]
    """Each of them, for people."""


class Rates(NamedTuple):
    """Billionths of the currency for one token, read and written."""

    read: float
    written: float


class Limits:
    """Answers :class:`Reserve` and :class:`Release`, and settles."""

    def __init__(
        self,
        settings: RouterSettings,
        stores: Callable[[], Stores],
        clock: Callable[[], float],
        lost: Callable[[str], None],
    ) -> None:
        """``clock`` never goes back; ``lost`` is told why a settlement will never be made."""
        self._stores, self._clock = stores, clock
        self._settings: MaasSettings | None = None
        self._counters: Counters = MemoryCounters(clock, 1.0)
        self._settlements = Settlements(lambda: self._counters, clock, lost)
        self.uncounted: Callable[[str], None] = lambda why: None
        """Told of each request that was let in although nobody could count it."""
        self._tiers: dict[str, _Tier] = {}
        self._prices: dict[str, Rates] = {}
        self._rates: dict[frozenset[str] | None, Rates] = {}
        self.follow(settings)

    def follow(self, settings: RouterSettings) -> None:
        """Put other settings in force. What was counted stays, unless it is to be kept elsewhere.
        A limit that changes its size finds what was taken of the one of the same window."""
        maas = settings.maas
        assert maas is not None
        old, self._settings = self._settings, maas
        kept = maas.limits
        if kept.store != "memory":
            self._open(kept.store)
        if old is None or (old.limits.store, old.limits.hold_s) != (kept.store, kept.hold_s):
            self._counters = self._counters_of(maas)
        currency = next((m.price.currency for m in settings.models.values() if m.price), "")
        self._tiers = {tier.name: _table(tier, currency) for tier in maas.tiers}
        self._prices = {name: rates(model) for name, model in settings.models.items()}
        self._rates.clear()

    def _open(self, name: str) -> None:
        """Begin to connect, so that no request has to wait for it."""
        found = self._stores().store(name)
        with suppress(RuntimeError):  # before there is a loop: all stores are opened later
            asyncio.get_running_loop()
            found.open()

    def _counters_of(self, maas: MaasSettings) -> Counters:
        name = maas.limits.store
        if name == "memory":
            return MemoryCounters(self._clock, maas.limits.hold_s)

        def store() -> RedisStore:
            found = self._stores().store(name)
            if not isinstance(found, RedisStore):
                raise AskFailed(f"store {name!r} cannot count")
            return found

        return RedisCounters(store, maas.limits.hold_s)

    # before

    def reserve(self, asked: Reserve) -> Any:
        """A :class:`Hold` or an :class:`Over`, at once where the counters are in this process.
        Raises :class:`AskFailed` where nobody can say."""
        assert self._settings is not None
        caller = asked.caller
        tier = self._tiers.get(caller.tier)
        if tier is None:
            said = f"what tier {caller.tier or '(none)'} may take: it has no limits in maas.tiers"
            return Over(limit=said, kind="requests", retry_after_s=_UNKNOWN_TIER_S)
        if not tier.limits:
            return Hold("", account=caller.user, prompt=asked.estimate)
        strict = self._settings.limits.strict
        read = asked.prompt if strict else asked.estimate
        written, cap = asked.answer, None
        if written is None:
            each = asked.usual or self._settings.limits.answer_tokens
            written = each * asked.choices
            cap = each if strict else None
        tokens, money = read + written, self._dearest(caller, read, written)
        wanted = {"requests": 1, "tokens": tokens, "budget": money}
        amounts = [wanted[limit.kind] for limit in tier.limits]
        id = secrets.token_hex(16)
        hold = Hold(id, tokens, caller.user, money, cap, prompt=asked.estimate)
        found = self._counters.reserve(caller.user, id, tier.limits, amounts, strict=strict)
        if isinstance(found, Granted | Full):
            return _told(found, hold, tier, amounts, strict=strict)
        return self._waited(found, hold, tier, amounts)

    async def _waited(
        self, asking: Any, hold: Hold, tier: _Tier, amounts: list[int]
    ) -> Hold | Over:
        assert self._settings is not None
        strict = self._settings.limits.strict
        try:
            return _told(await asking, hold, tier, amounts, strict=strict)
        except AskFailed as failed:
            self._undo(hold)
            if self._settings.on_unknown == "refuse":
                raise
            self.uncounted(str(failed))
            return msgspec.structs.replace(hold, id="", tokens=0, money=0)
        except BaseException:  # nobody waits any more, and the question is on its way
            self._undo(hold)
            raise

    def _undo(self, hold: Hold) -> None:
        """It may have been counted, and only the answer was lost. What undoes that may overtake
        it on another connection, so it is sent again."""
        self._settlements.put(hold.account, hold.id, {})
        later = asyncio.get_running_loop().call_later
        later(AGAIN_S, self._settlements.put, hold.account, hold.id, {})

    def _dearest(self, caller: Caller, read: int, written: int) -> int:
        """What the dearest model that may answer would cost."""
        rates = self._rates.get(caller.models)
        if rates is None:
            if len(self._rates) >= _MAX_RATES:
                self._rates.clear()
            found = [r for name, r in self._prices.items() if caller.may(name)]
            rates = Rates(
                max([r.read for r in found], default=0.0),
                max([r.written for r in found], default=0.0),
            )
            self._rates[caller.models] = rates
        return math.ceil(read * rates.read + written * rates.written)

    # after

    def release(self, asked: Release) -> None:
        self.settle(asked.hold, 0, 0)

    def settle(self, hold: Hold, tokens: int | None, money: int) -> None:
        """What a request took in the end; ``None``: nobody knows, so what was reserved."""
        if hold.id:
            took = None if tokens is None else {"tokens": tokens, "budget": money}
            self._settlements.put(hold.account, hold.id, took)

    async def close(self, patience_s: float = 5.0) -> None:
        """Make the settlements that are still to be made."""
        await self._settlements.close(patience_s)


def _told(
    said: Granted | Full, hold: Hold, tier: _Tier, amounts: list[int], *, strict: bool
) -> Hold | Over:
    if isinstance(said, Full):
        limit = tier.limits[said.at]
        return Over(
            limit=tier.told[said.at],
            kind=limit.kind,
            size=limit.size,
            remaining=max(0, said.remaining),
            wanted=amounts[said.at],
            retry_after_s=said.retry_after_s,
            busy=said.busy,
            never=amounts[said.at] > limit.size and (strict or not limit.size),
        )
    tightest: dict[str, Left] = {}
    for limit, amount, (remaining, reset_s) in zip(
        tier.limits, said.amounts, said.left, strict=True
    ):
        if limit.kind == "budget":
            continue
        if limit.kind == "tokens":  # what this one takes is not known yet
            remaining += amount
        found = tightest.get(limit.kind)
        if found is None or remaining < found.remaining:
            tightest[limit.kind] = Left(limit.kind, limit.size, remaining, reset_s)
    return msgspec.structs.replace(hold, left=tuple(tightest.values()))


def _table(tier: TierSettings, currency: str) -> _Tier:
    """Of limits of the same kind and window, the smallest one holds."""
    found: dict[str, tuple[Limit, str]] = {}

    def add(kind: str, size: int, of: LimitOf | BudgetOf, told: str) -> None:
        limit = Limit(kind, size, seconds(of.window))
        if limit.name not in found or found[limit.name][0].size > size:
            found[limit.name] = limit, f"{told} in {of.window} of tier {tier.name}"

    for of in tier.requests:
        add("requests", of.limit, of, f"{of.limit:,} requests")
    for of in tier.tokens:
        add("tokens", of.limit, of, f"{of.limit:,} tokens")
    for budget in tier.budgets:
        add("budget", round(budget.limit * MONEY), budget, f"{budget.limit:g} {currency}".strip())
    return _Tier(
        tuple([limit for limit, _ in found.values()]), tuple([told for _, told in found.values()])
    )


def rates(model: Any) -> Rates:
    """The dearest that a token of a configured model can be."""
    price = model.price
    if price is None:
        return Rates(0.0, 0.0)
    read = max(
        price.prompt_per_1m, price.cached_input_per_1m or 0.0, price.cache_write_per_1m or 0.0
    )
    return Rates(read * MONEY / 1e6, price.completion_per_1m * MONEY / 1e6)


def problems(settings: RouterSettings) -> list[Problem]:
    """What of the settings cannot be counted with."""
    maas = settings.maas
    if maas is None:
        return []
    found = []
    name = maas.limits.store
    kinds: Mapping[str, Any] = settings.stores
    if name != "memory" and next(iter(kinds.get(name, {})), "") != "redis":
        what = f"store {name!r} is of another kind" if name in kinds else f"no store {name!r}"
        fix = "memory, or the name of one of stores that is {redis: ...}"
        found.append(Problem(what, "maas.limits.store", fix))
    currencies = sorted({m.price.currency for m in settings.models.values() if m.price})
    for i, tier in enumerate(maas.tiers):
        if tier.budgets and len(currencies) > 1:
            found.append(Problem(
                f"a budget of models whose prices are in {' and '.join(currencies)}",
                f"maas.tiers[{i}].budgets",
                "give all prices in one currency",
            ))  # fmt: skip
        for j, budget in enumerate(tier.budgets):
            if budget.limit > MAX_BUDGET:
                where = f"maas.tiers[{i}].budgets[{j}].limit"
                found.append(Problem(f"is more than {MAX_BUDGET:,.0f}", where))
    return found
