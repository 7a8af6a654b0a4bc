"""Who took how many tokens, and what they cost: the caller's number, and the provider's beside it.

What a caller is charged is the answer that was served, and the calls that made it, once each.
What attempts took besides, whose answers nobody got (a hedge that lost, a server that broke off),
the provider may charge us for, and never the caller: it is counted apart, as **unserved**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from wayside.telemetry.meter import Meter
from wayside.telemetry.metrics import COUNTS, Metrics
from wayside.vocab.outcome import Record, Tried
from wayside.vocab.usage import Tokens, prompt_guess

UNSENT: Final = frozenset(
    {"connect_failed", "connect_timeout", "dns_failed", "tls_failed", "stale_connection"}
)
"""How attempts end of which no server has read anything."""


class Price(msgspec.Struct, frozen=True):
    """Per million tokens, in ``currency``: input, output, cached input, input put in the cache."""

    currency: str
    prompt: float
    completion: float
    cached: float
    written: float


class Account(NamedTuple):
    """One request's: what its log line says of tokens and money, and what each of its attempts
    took for nothing."""

    line: dict[str, Any]
    unserved: tuple[int, ...] = ()


NO_ACCOUNT: Final = Account({})


class Accounts:
    """The token and cost metrics, and what the log says of them."""

    __slots__ = (
        "_cost",
        "_doubts",
        "_saved",
        "_sizes",
        "_tokens",
        "_unserved",
        "_unserved_cost",
        "prices",
    )

    def __init__(self, metrics: Metrics) -> None:
        self.prices: Mapping[str, Price] = {}
        self._tokens = metrics.counter(
            "wayside_tokens_total",
            "Tokens of answers that were served; the types add up.",
            "model",
            "type",
        )
        self._sizes = metrics.histogram(
            "wayside_answer_tokens",
            "Tokens that one answer took: those that were read, and those that were written.",
            "model",
            "type",
            bounds=COUNTS,
        )
        self._cost = metrics.counter(
            "wayside_cost_total", "Cost of answers that were served.", "model", "currency"
        )
        self._unserved = metrics.counter(
            "wayside_unserved_tokens_total",
            "Prompt tokens, as a guess, of attempts whose answer nobody got.",
            "model",
            "outcome",
        )
        self._unserved_cost = metrics.counter(
            "wayside_unserved_cost_total", "Cost of those tokens.", "model", "currency"
        )
        self._doubts = metrics.counter(
            "wayside_usage_estimated_total",
            "Answers whose tokens had to be estimated.",
            "model",
            "why",
        )
        self._saved = metrics.counter(
            "wayside_cache_saved_tokens_total",
            "Tokens of answers from the response cache, which no model was asked for.",
            "model",
            "type",
        )

    def usage(
        self, meter: Meter | None, record: Record, status: int, reason: str
    ) -> Tokens | None:
        """What the served answer took; ``None`` where no model gave one."""
        if meter is None or not record.billed:
            return None
        if status < 400:
            found = meter.took(broken=bool(reason))
            return found if found.total or not found.estimated else None
        return meter.told()  # a guard took the place of an answer that came whole

    def settle(
        self, record: Record, usage: Tokens | None, tries: Sequence[Tried], status: int
    ) -> Account:
        """Count one request that is over."""
        line: dict[str, Any] = {}
        model = record.model
        if usage is not None:
            cost = self.served(model, usage)
            line["prompt_tokens"] = usage.prompt
            line["completion_tokens"] = usage.completion
            for name, part in (
                ("cached_tokens", usage.cached),
                ("cache_write_tokens", usage.written),
                ("reasoning_tokens", usage.reasoning),
            ):
                if part:
                    line[name] = part
            if usage.estimated:
                line["usage_estimated"] = usage.estimated
            if cost is not None:
                line["cost"] = round(cost, 9)
        elif record.saved is not None:
            line |= self._save(record.saved_model, record.saved)
        if not tries or not record.billed or (len(tries) == 1 and tries[0].outcome == "ok"):
            return Account(line)
        unserved = self._unserved_by_each(record, usage, tries, status)
        if any(unserved):
            line |= self._count_unserved(tries, unserved)
        return Account(line, unserved)

    def served(self, model: str, tokens: Tokens) -> float | None:
        """Count tokens that a caller got; what they cost, where a price is known."""
        for kind, count in tokens.kinds():
            if count:
                self._tokens.add((model, kind), count)
        self._sizes.observe((model, "input"), tokens.prompt)
        self._sizes.observe((model, "output"), tokens.completion)
        if tokens.estimated:
            self._doubts.add((model, tokens.estimated))
        cost = self.priced(model, tokens)
        if cost is not None:
            self._cost.add((model, self.prices[model].currency), cost)
        return cost

    def priced(self, model: str, tokens: Tokens) -> float | None:
        """What ``tokens`` cost in the model's currency, where it has a price."""
        price = self.prices.get(model)
        if price is None:
            return None
        return tokens.cost(price.prompt, price.completion, price.cached, price.written)

    def _save(self, model: str, saved: Tokens) -> dict[str, Any]:
        for kind, count in saved.kinds():
            if count:
                self._saved.add((model, kind), count)
        line: dict[str, Any] = {"saved_tokens": saved.total}
        cost = self.priced(model, saved)
        if cost is not None:
            line["saved_cost"] = round(cost, 9)
        return line

    def _unserved_by_each(
        self, record: Record, usage: Tokens | None, tries: Sequence[Tried], status: int
    ) -> tuple[int, ...]:
        """Tokens of attempts that a server may have worked on for nothing. It has read the prompt;
        how far it wrote is not known, so that is not guessed at."""
        known = usage.prompt if usage is not None and usage.prompt else record.tokens
        return tuple(
            [
                prompt_guess(known, tried.sent) if _unserved(tried, status, usage) else 0
                for tried in tries
            ]
        )

    def _count_unserved(self, tries: Sequence[Tried], unserved: tuple[int, ...]) -> dict[str, Any]:
        line: dict[str, Any] = {"unserved_tokens": sum(unserved)}
        for tried, prompt in zip(tries, unserved, strict=True):
            if not prompt:
                continue
            self._unserved.add((tried.model, tried.outcome), prompt)
            paid = self.priced(tried.model, Tokens(prompt))
            if paid is not None:
                line["unserved_cost"] = round(line.get("unserved_cost", 0.0) + paid, 9)
                self._unserved_cost.add((tried.model, self.prices[tried.model].currency), paid)
        return line


def _unserved(tried: Tried, status: int, usage: Tokens | None) -> bool:
    if tried.outcome in UNSENT:
        return False
    if not tried.status:  # nothing of an answer came from there
        return tried.outcome != "ok"
    # It answered; what came of it is the caller's, unless all of it was withheld.
    return tried.outcome != "ok" and tried.status < 400 <= status and usage is None
