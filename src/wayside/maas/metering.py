"""What each request took: settled against its caller's limits, counted, written to the ledger.

Told by telemetry once for each request, however it ended (:class:`wayside.telemetry.Watcher`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from wayside.maas.ledger import Ledger, Row
from wayside.maas.limits import MONEY, Limits
from wayside.settings.model import RouterSettings
from wayside.stores import Stores
from wayside.telemetry import Exchange, Log, Telemetry, Tokens
from wayside.telemetry.metrics import OTHER, Counter, Metrics
from wayside.vocab.access import Caller, Leave, Release, Reserve
from wayside.vocab.outcome import Record
from wayside.vocab.usage import NOTHING

GONE: Final = 499
"""The status of a request whose client left, as nginx has it."""
MAX_USERS: Final = 500
"""Users with metrics of their own; the rest are counted as ``other``."""
MAX_SERIES: Final = 10_000
_LEFT: Final = frozenset({"client_closed", "client_stalled", "answer_unfinished"})
"""Why an answer ended that its client did not wait for; the last as Envoy tells it."""
_OVER: Final = frozenset({"rate_limit_exceeded", "insufficient_quota"})
_Labels = tuple[str, str, str]


class Took(NamedTuple):
    """What a caller is charged for a request: ``tokens`` of all kinds, ``None`` where nobody
    knows; ``usage`` tells them apart, and calls from inside the request are in it."""

    tokens: int | None
    usage: Tokens
    cost: float
    currency: str


class Meters(NamedTuple):
    """The metrics."""

    counted: dict[str, dict[_Labels, float]]
    """The values of those that are told as Limitador tells them, by name."""
    lost: Counter
    uncounted: Counter
    unseen: Counter


def meter(metrics: Metrics, dropped: Callable[[], int]) -> Meters:
    """Declare them; ``dropped`` counts rows that were not written."""
    counted: dict[str, dict[_Labels, float]] = {}
    for name, help in (
        ("authorized_hits", "Tokens that limits counted, by the model that answered."),
        ("authorized_calls", "Requests that limits let in."),
        ("limited_calls", "Requests that limits refused."),
    ):
        values: dict[_Labels, float] = {}
        counted[name] = values
        # A counter's name would end in _total, and Limitador's does not.
        metrics.gauge(name, help, "user", "tier", "model", read=_reader(values))
    metrics.gauge(
        "wayside_maas_usage_rows_dropped",
        "Rows of the ledger that were not written since the start.",
        read=lambda: [((), float(dropped()))],
    )
    return Meters(
        counted,
        metrics.counter(
            "wayside_maas_settlements_lost_total",
            "Requests whose tokens could not be counted in the end: their hold lapses.",
        ),
        metrics.counter(
            "wayside_maas_uncounted_total",
            "Requests that were let in although the limits' store did not answer.",
        ),
        metrics.counter(
            "wayside_maas_unknown_usage_total",
            "Requests that were charged what was reserved, since nobody saw what they took.",
        ),
    )


class Metering:
    """Answers what the core asks about allowances, and watches every request end."""

    def __init__(
        self,
        settings: RouterSettings,
        telemetry: Telemetry,
        stores: Callable[[], Stores],
        log: Log,
        known: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``known`` says whether a model is called so: other names are a client's invention.
        ``clock`` tells the time of rows, ``steady`` that of windows, and never goes back."""
        self._telemetry, self._log, self._clock = telemetry, log, clock
        self.limits = Limits(settings, stores, steady, self._lost)
        self.limits.uncounted = self._uncounted
        self.ledger: Ledger | None = None
        self._known = known
        self._users: dict[str, None] = {}
        self._said: set[str] = set()
        self._meters = meter(telemetry.metrics, lambda: self.ledger.dropped if self.ledger else 0)
        self.follow(settings)

    def follow(self, settings: RouterSettings) -> None:
        """Put other settings in force."""
        maas = settings.maas
        assert maas is not None
        self.limits.follow(settings)
        if not maas.usage.enabled:
            found, self.ledger = self.ledger, None
            if found is not None:
                found.close()
        elif self.ledger is None:
            self.ledger = Ledger(maas, self._log, self._clock)
        else:
            self.ledger.keep_days = maas.usage.keep_days
            self.ledger.max_rows = maas.usage.max_rows

    def answerers(self) -> Mapping[type[Any], Callable[[Any], Any]]:
        return {
            Reserve: self.limits.reserve,
            Release: self.limits.release,
            Leave: self._left,
        }

    async def close(self) -> None:
        """Settle and write what is still to be."""
        await self.limits.close()
        if self.ledger is not None:
            self.ledger.close()

    # telemetry's watcher

    def began(self, exchange: Exchange) -> None:
        """Nothing is taken yet."""

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> None:
        caller, hold = exchange.caller, exchange.hold
        if caller is None:
            return
        record = exchange.record
        took = self._took(exchange, status, reason, usage)
        charged = took.tokens
        if hold is not None:
            self.limits.settle(hold, took.tokens, math.ceil(took.cost * MONEY))
            if charged is None:
                charged = hold.tokens
                self._meters.unseen.add(())
                self._once(
                    "usage not seen: what was reserved is charged",
                    "let Envoy show answers (extproc.count_usage, mode_override)",
                )
            labels = self._labels(caller, record.model or record.requested)
            self._count("authorized_calls", labels, 1)
            self._count("authorized_hits", labels, charged)
        elif status == 429 and record.path == "error" and record.reason in _OVER:
            self._count("limited_calls", self._labels(caller, record.requested), 1)
        if self.ledger is not None and (hold is not None or status >= 400):
            self.ledger.add(self._row(exchange, caller, status, reason, took, charged or 0))

    def _left(self, asked: Leave) -> None:
        """Nobody told the shell's exchange whose it was, so it counted for nobody."""
        exchange = Exchange(self._telemetry, "", asked.request_id)
        exchange.record = record = asked.record
        exchange.caller, exchange.hold = record.caller, record.hold
        self.ended(exchange, GONE, "client_closed", None)

    def _took(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> Took:
        record, accounts = exchange.record, self._telemetry.accounts
        known = usage or NOTHING
        cost = float(exchange.account.line.get("cost", 0.0))
        if exchange.hold is not None and _cut(exchange, status, reason):
            known = Tokens(exchange.hold.prompt, estimated="left")
            cost += accounts.priced(record.model, known) or 0.0
        price = accounts.prices.get(record.model)
        currency = price.currency if price else ""
        for call in record.calls:
            of = Tokens(
                call.prompt_tokens,
                call.completion_tokens,
                call.cached_tokens,
                call.written_tokens,
                estimated=call.estimated,
            )
            known = _sum(known, of)
            cost += accounts.priced(call.model, of) or 0.0
            called = accounts.prices.get(call.model)
            currency = currency or (called.currency if called else "")
        if _unseen(exchange, status, reason):
            return Took(None, known, cost, currency)
        return Took(known.total, known, cost, currency)

    def _row(
        self,
        exchange: Exchange,
        caller: Caller,
        status: int,
        reason: str,
        took: Took,
        charged: int,
    ) -> Row:
        record, usage = exchange.record, took.usage
        unserved = sum(exchange.account.unserved)
        if _cut(exchange, status, reason):  # of what nobody got, the prompt is charged
            unserved = max(0, unserved - usage.prompt)
        return Row(
            at=self._clock(),
            request_id=exchange.request_id[:256],
            shell=exchange.shell,
            path=record.path,
            user=caller.user,
            tier=caller.tier,
            subscription=caller.subscription,
            tenant=caller.tenant,
            key=caller.key,
            requested_model=record.requested[:256],
            executed_model=executed(record),
            decision=record.decision,
            status=status,
            reason=reason or record.reason,
            prompt_tokens=usage.prompt,
            cached_tokens=usage.cached,
            written_tokens=usage.written,
            completion_tokens=usage.completion,
            reasoning_tokens=usage.reasoning,
            charged_tokens=charged,
            estimated="unseen" if took.tokens is None else usage.estimated,
            unserved_tokens=unserved,
            saved_tokens=record.saved.total if record.saved else 0,
            calls=len(record.calls),
            retries=sum([tried.kind == "retry" for tried in exchange.tries]),
            cost=round(took.cost, 9),
            currency=took.currency,
            stream=record.stream,
            duration_ms=round((self._telemetry.now() - exchange.started) * 1e3, 3),
        )

    # numbers

    def _labels(self, caller: Caller, model: str) -> _Labels:
        """What a client may choose freely is no label."""
        user = caller.user
        if user not in self._users:
            if len(self._users) < MAX_USERS:
                self._users[user] = None
            else:
                user = OTHER
        return user, caller.tier, model if self._known(model) else OTHER

    def _count(self, name: str, labels: _Labels, amount: float) -> None:
        values = self._meters.counted[name]
        if labels not in values and len(values) >= MAX_SERIES:
            labels = (OTHER, OTHER, OTHER)
        values[labels] = values.get(labels, 0.0) + amount

    # news for the operator

    def _lost(self, why: str) -> None:
        self._meters.lost.add(())
        self._once("usage not counted in limits", why)

    def _uncounted(self, why: str) -> None:
        self._meters.uncounted.add(())
        self._once("limits are not counted", why)

    def _once(self, event: str, why: str) -> None:
        if event not in self._said:
            self._said.add(event)
            self._log(event, level="warning", why=why)


def executed(record: Record) -> str:
    """Who answered."""
    return record.path if record.path in ("cache", "fast_response") else record.model


def _cut(exchange: Exchange, status: int, reason: str) -> bool:
    """Whether the client left a model that had begun to read its prompt, before any words of an
    answer came. Else whoever asks, leaves and asks again would have it read for nothing."""
    record, meter = exchange.record, exchange.meter
    if record.path != "upstream" or not (record.model and record.billed):
        return False
    if meter is not None and meter.size:
        return False
    if status != GONE:
        return 200 <= status < 300 and reason in _LEFT
    return exchange.shell == "extproc" or any(exchange.account.unserved)


def _unseen(exchange: Exchange, status: int, reason: str) -> bool:
    """Whether a model answered and nobody saw what it said: behind an Envoy that shows none."""
    record, meter = exchange.record, exchange.meter
    if not record.model or record.path != "upstream" or not record.billed:
        return False
    if meter is None:
        return exchange.shell == "extproc" and (status == 0 or 200 <= status < 300)
    return exchange.shell == "extproc" and not meter.size and 200 <= status < 300 and not reason


def _sum(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(
        one.prompt + other.prompt,
        one.completion + other.completion,
        one.cached + other.cached,
        one.written + other.written,
        one.reasoning + other.reasoning,
        one.estimated or other.estimated,
    )


def _reader(values: dict[_Labels, float]) -> Callable[[], Any]:
    return lambda: list(values.items())
