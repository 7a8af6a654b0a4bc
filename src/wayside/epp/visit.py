"""One request as it is counted, from its headers to the end of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wayside.epp.requests import Sent
from wayside.telemetry.metrics import Labels

if TYPE_CHECKING:
    from wayside.epp.metrics import EppMetrics


class EppVisit:
    """Counts one request. Times are of the clock that ``metrics`` has, in seconds."""

    __slots__ = ("_began", "_labels", "_last", "_metrics", "_own", "_sent", "_since")

    def __init__(self, metrics: EppMetrics, now: float) -> None:
        self._metrics, self._since = metrics, now
        self._sent: Sent | None = None
        self._labels: Labels = ()
        self._began = self._last = 0.0
        """When the answer's first piece came, and its last."""
        self._own = 0.0

    def sent(self, sent: Sent) -> None:
        m = self._metrics
        self._sent, self._labels = sent, m.labels(sent)
        m.requests.add(self._labels)
        m.size.observe(self._labels, len(sent.body))
        m.request_time.observe((), m.clock() - self._since)
        model = (self._labels[0],)
        m.running[model] = m.running.get(model, 0.0) + 1

    def refused(self, code: str) -> None:
        self._metrics.errors.add(("", "", code))

    def piece(self, now: float, seconds: float, *, stream: bool) -> None:
        self._own += seconds
        if self._sent is None:
            return
        m = self._metrics
        if not self._began:
            self._began = now
            m.ttft.observe((*self._labels, "true" if stream else "false"), now - self._since)
        elif stream:
            m.gap.observe(self._labels, now - self._last)
        self._last = now

    def took(self, prompt: int, completion: int, cached: int, *, stream: bool) -> None:
        m, labels = self._metrics, self._labels
        if not labels:
            labels = ("", "", "", "0")
        m.prompt.observe(labels, prompt)
        m.completion.observe(labels, completion)
        if cached:
            m.cached.observe(labels, cached)
        if completion:
            m.per_token.observe(labels, (m.clock() - self._since) / completion)
        if stream and completion > 1 and self._last > self._began:
            m.tpot.observe(labels, (self._last - self._began) / (completion - 1))

    def ended(self, *, complete: bool, size: int = 0) -> None:
        if self._sent is None:
            return
        m = self._metrics
        if size:
            m.answer_size.observe(self._labels, size)
        if self._own:
            m.answer_time.observe((), self._own)
        model = (self._labels[0],)
        m.running[model] -= 1
        if complete:
            m.duration.observe(self._labels, m.clock() - self._since)
