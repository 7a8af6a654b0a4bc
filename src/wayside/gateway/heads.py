"""The management API's way to the models: asks, with their failures as errors, counted and timed.

A head is an engine by the name that settings use. One that no signal needs is loaded by the first
request that asks it, on another thread: the data plane's event loop does not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any, TypeVar

from wayside.engines import Engines
from wayside.engines.registry import Stocked
from wayside.gateway.api import ApiError
from wayside.runtime import Runtime
from wayside.telemetry.metrics import MICRO, Metrics
from wayside.telemetry.redaction import scrubbed
from wayside.vocab.ask import Ask, Classify, Embed, Labels, Mark, Spans, Vector, ask
from wayside.vocab.errors import AskFailed, WaysideError

T = TypeVar("T")
RECENT = 1_000
"""Answers of a head whose times are kept for the percentiles."""
TEXTS_AT_ONCE = 8
"""Texts embedded by one ask; between two of them others get their turn."""
UNAVAILABLE = "CLASSIFICATION_ERROR"
BUILT_IN = "built_in"


class Heads:
    """Asks one head at a time. A failure is :class:`ApiError` 503 with the code given."""

    def __init__(
        self,
        runtime: Runtime,
        metrics: Metrics,
        engines: Callable[[], Engines | None] = lambda: None,
    ) -> None:
        self._runtime, self._engines = runtime, engines
        self._loading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._seconds = metrics.histogram(
            "wayside_classification_seconds",
            "Answers of models to the management API.",
            "head",
            bounds=MICRO,
        )
        self._failed = metrics.counter(
            "wayside_classification_errors_total",
            "Questions of the management API that no model answered.",
            "head",
        )
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    async def labels(self, head: str, text: str, code: str = UNAVAILABLE) -> Labels:
        """Every label with its probability, best first."""
        found = await self._ask(head, Classify(text, head), code, text)
        if not found:
            raise ApiError(503, code, f"{head}: the classifier gave no label")
        return found

    async def spans(
        self, head: str, text: str, context: str = "", code: str = UNAVAILABLE
    ) -> Spans:
        """The pieces of ``text`` that were found, in its order."""
        return await self._ask(head, Mark(text, head, context), code, text, context)

    async def vectors(self, head: str, texts: tuple[str, ...], code: str) -> list[Vector]:
        """One vector of length one a text."""
        found: list[Vector] = []
        for i in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[i : i + TEXTS_AT_ONCE]
            question: Ask[tuple[Vector, ...]] = Embed(some, head)
            answer: tuple[Vector, ...] = await self._ask(head, question, code, *some)
            found += answer
            await asyncio.sleep(0)
        return found

    def stock(self) -> list[Stocked]:
        """The engines there are; none where nobody told."""
        engines = self._engines()
        return engines.inventory() if engines else []

    def is_built_in(self, head: str) -> bool:
        """Whether ``head`` is the engine in the wheel, and not one that took its name."""
        return all(s.kind == BUILT_IN for s in self.stock() if s.name == head)

    def told(self) -> dict[str, Any]:
        """Of every head asked so far: how often, how long (milliseconds), how often in vain."""
        failed = Counter({head: int(n) for (head,), n in self._failed.values.items()})
        found = {}
        for head in sorted({*self._recent, *failed}):
            times = sorted(self._recent.get(head, ()))
            series = self._seconds.values.get((head,))
            count = series.count if series else 0
            found[head] = {
                "count": count,
                "errors": failed[head],
                "mean_ms": _ms(series.sum / count) if series and count else None,
                "p50_ms": _percentile(times, 0.5),
                "p95_ms": _percentile(times, 0.95),
                "p99_ms": _percentile(times, 0.99),
            }
        return found

    async def _ask(self, head: str, question: Ask[T], code: str, *texts: str) -> T:
        try:
            await self._made(head)
            began = time.perf_counter()
            found = await self._runtime.run(ask(question))
        except WaysideError as error:
            self._failed.add((head,))
            raise ApiError(503, code, scrubbed(f"{head}: {error}", *texts)) from None
        took = time.perf_counter() - began
        self._seconds.observe((head,), took)
        self._recent[head].append(took)
        return found

    async def _made(self, head: str) -> None:
        engines = self._engines()
        if engines is None or engines.made(head):
            return
        async with self._loading[head]:
            if not engines.made(head):
                try:
                    await asyncio.to_thread(engines.load, [head])
                except (OSError, ValueError, ImportError) as error:
                    why = getattr(error, "strerror", None) or str(error)
                    raise AskFailed(f"cannot be loaded: {why}") from error


def _percentile(times: list[float], share: float) -> float | None:
    return _ms(times[min(len(times) - 1, int(share * len(times)))]) if times else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)
