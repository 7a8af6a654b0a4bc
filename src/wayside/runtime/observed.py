"""How models are doing, from the requests that passed: answers :class:`Observe`.

Bounded in age and in number, per model of the configuration. Nothing is collected until something
asks for it: an algorithm, or conversations that stay on a model.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from wayside.fleet.servers import Servers
from wayside.telemetry import Exchange, Tokens
from wayside.vocab.ask import Ask
from wayside.vocab.observed import Observe, Seen
from wayside.vocab.outcome import Tried
from wayside.vocab.selection_math import decayed

SAMPLES = 512
"""The most samples of one measure of one model; the oldest go first."""
MAX_AGE_S = 600.0
"""Older samples are not looked at: what was slow ten minutes ago gets another chance."""
STALE_S = 0.1
"""How old sorted percentiles may be; what is in flight is always of this moment."""
WEIGHT = 0.2
"""Of the newest sample in a moving average: five requests ago counts a third."""
_THEIRS = ("upstream_", "connect_", "dns_", "tls_")
"""How the reasons begin that speak against a model's servers, and not against its client."""
_BLIND = frozenset({"extproc"})
"""Shells that do not see when the first token comes."""
Percentiles = tuple[float, ...]


class Window:
    """The latest samples of one measure."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def add(self, now: float, value: float) -> None:
        self._samples.append((now, value))

    def values(self, now: float) -> list[float]:
        """Those that are not too old, the oldest first."""
        samples = self._samples
        while samples and now - samples[0][0] > MAX_AGE_S:
            samples.popleft()
        return [value for _, value in samples]


def percentiles(values: Iterable[float], at: Percentiles) -> tuple[float | None, ...]:
    """By nearest rank: the least value with at least ``p`` percent of all at or below it."""
    ranked = sorted(values)
    if not ranked:
        return (None,) * len(at)
    return tuple([ranked[max(0, math.ceil(p / 100 * len(ranked)) - 1)] for p in at])


class Watched:
    """Everything known of one model."""

    __slots__ = (
        "cache_hit",
        "first",
        "in_flight",
        "latency_s",
        "outcomes",
        "per_token",
        "whole",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.first, self.whole, self.per_token = Window(), Window(), Window()
        """Seconds: to the first token, of a whole answer, per token."""
        self.outcomes = Window()
        """1 for each answer that failed, 0 for others."""
        self.latency_s: float | None = None
        self.cache_hit: float | None = None


class Observed:
    """Collects samples as requests end (a watcher of
    :class:`~wayside.telemetry.Telemetry`), and answers :class:`Observe`.

    Times count from the decision. Those per token need the number of tokens: what the model's
    server reports or, of a stream, its events. The shell behind Envoy is shown the head of an
    answer, which may come long before the first token, and not its body: there is the time of the
    whole answer, and none per token.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._models: dict[str, Watched] = {}
        self._told: dict[Observe, tuple[float, tuple[Seen, ...]]] = {}
        self.servers: Callable[[str], Servers | None] = lambda model: None
        """What a model's servers say of themselves; whoever has the fleet sets it."""

    def answerers(self) -> Mapping[type[Ask[Any]], Callable[[Any], Any]]:
        return {Observe: self.answer}

    def keep(self, models: Iterable[str]) -> None:
        """Forget models that are no longer configured."""
        known = set(models)
        self._models = {name: seen for name, seen in self._models.items() if name in known}
        self._told.clear()

    # what happens to requests

    def began(self, exchange: Exchange) -> None:
        """A request is on its way to a model."""
        self._leave(exchange)
        model = exchange.record.model
        if model:
            exchange.watched = model
            self._model(model).in_flight += 1

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> None:
        """A request is over."""
        model = exchange.watched
        self._leave(exchange)
        if not model:
            return
        now = self._clock()
        done = 200 <= status < 300 and not reason
        failed = status >= 500 or status == 429 or reason.startswith(_THEIRS)
        tries = [t for t in exchange.tries if t.kind != "prefill"]
        fates = {t.model: _failed(t) for t in tries}  # the last attempt of each counts
        if done or failed:
            fates[model] = failed
        for name, fate in fates.items():
            if fate is not None:
                self._model(name).outcomes.add(now, float(fate))
        if done and exchange.first:
            self._answered(self._model(model), now, exchange, usage)

    def _answered(
        self, seen: Watched, now: float, exchange: Exchange, usage: Tokens | None
    ) -> None:
        """All of a good answer has come."""
        whole, first = now - exchange.asked_at, exchange.first - exchange.asked_at
        streamed = exchange.record.stream and exchange.shell not in _BLIND
        if streamed:
            seen.first.add(now, first)
        else:
            seen.whole.add(now, whole)
        seen.latency_s = decayed(seen.latency_s, whole, WEIGHT)
        if usage is None:
            return
        tokens = usage.completion
        if streamed and tokens > 1:
            seen.per_token.add(now, (whole - first) / (tokens - 1))
        elif not streamed and tokens and not usage.estimated:
            seen.per_token.add(now, whole / tokens)
        if usage.prompt and not usage.estimated:
            hit = min(1.0, usage.cached / usage.prompt)
            seen.cache_hit = decayed(seen.cache_hit, hit, WEIGHT)

    def _leave(self, exchange: Exchange) -> None:
        model, exchange.watched = exchange.watched, ""
        if model and model in self._models:
            seen = self._models[model]
            seen.in_flight = max(0, seen.in_flight - 1)

    # what is asked

    def answer(self, question: Observe) -> tuple[Seen, ...]:
        """At once; of this moment, or of a tenth of a second ago."""
        if question.servers:
            return self._with_servers(question)
        now = self._clock()
        held = self._told.get(question)
        if held is not None and now - held[0] < STALE_S:
            return self._live(question, held[1])
        watched = [self._models.get(name, _NOBODY) for name in question.models]
        at = question.percentiles
        found = []
        for w in watched:
            ends = w.outcomes.values(now)
            found.append(
                Seen(
                    in_flight=w.in_flight,
                    samples=len(ends),
                    ttft_s=percentiles(w.first.values(now), at),
                    tpot_s=percentiles(w.per_token.values(now), at),
                    whole_s=percentiles(w.whole.values(now), at),
                    error_rate=sum(ends) / len(ends) if ends else 0.0,
                    latency_s=w.latency_s,
                    cache_hit=w.cache_hit,
                )
            )
        if len(self._told) >= 1024:  # as many as there are decisions and models, no more
            self._told.clear()
        told = tuple(found)
        self._told[question] = (now, told)
        return told

    def _with_servers(self, question: Observe) -> tuple[Seen, ...]:
        told = self.answer(Observe(question.models, question.percentiles))
        found = []
        for name, seen in zip(question.models, told, strict=True):
            said = self.servers(name)
            if said is not None:
                seen = replace(seen, servers=said.ready, waiting=said.waiting, kv=said.kv)
            found.append(seen)
        return tuple(found)

    def _live(self, question: Observe, told: tuple[Seen, ...]) -> tuple[Seen, ...]:
        """The same with what is in flight now."""
        flights = [self._models.get(name, _NOBODY).in_flight for name in question.models]
        if all([s.in_flight == n for s, n in zip(told, flights, strict=True)]):
            return told
        return tuple([replace(s, in_flight=n) for s, n in zip(told, flights, strict=True)])

    def _model(self, name: str) -> Watched:
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = Watched()
        return found


_NOBODY = Watched()
_STOPPED = frozenset({"hedge_lost", "cancelled", "stale_connection"})


def _failed(attempt: Tried) -> bool | None:
    """Whether an attempt speaks against the model; ``None`` where it says nothing about it."""
    if attempt.outcome in _STOPPED:
        return None
    if attempt.outcome.startswith("status_"):
        return attempt.status >= 500 or attempt.status == 429 or None
    return attempt.outcome != "ok"
