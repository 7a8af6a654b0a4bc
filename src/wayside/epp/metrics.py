"""What a picker counts, under the names that llm-d's dashboards read.

Each has its name of today (``llm_d_epp_``) and, where dashboards still use it, the one of the
Gateway API Inference Extension. Values are counted once, and shown under both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean, pstdev
from typing import Final

from wayside import __version__
from wayside.epp.lanes import Lanes, Waiting
from wayside.epp.requests import Sent
from wayside.epp.store import Store
from wayside.telemetry.metrics import Counter, Histogram, Labels, Metrics

MOST_MODELS: Final = 1000
"""Distinct models and fairness ids that have numbers of their own; clients make them up."""
OTHER: Final = "other"

_PREFIX: Final = "llm_d_epp_"
_OLD: Final = "inference_objective_"
_LATENCY: Final = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20,
    30, 45, 60, 120, 180, 240, 300, 600, 1200, 1800, 3600,
)  # fmt: skip
_BYTES: Final = tuple(float(64 << (2 * i)) for i in range(13))
_TOKENS: Final = (1.0, 8.0, 16.0, *(float(32 << i) for i in range(16)))
_QUICK: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_LABELS: Final = ("model_name", "target_model_name", "fairness_id", "priority")
_SHORT: Final = {"model_name": "model_name", "target_model_name": "target_model_name"}


class Capped:
    """Names as label values: the first :data:`MOST_MODELS` as they are, all further ``other``."""

    def __init__(self, most: int = MOST_MODELS) -> None:
        self._most, self._known = most, {"": ""}

    def __call__(self, name: str) -> str:
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self._known) > self._most:
            return OTHER
        self._known[name] = short = name[:256]
        return short


class EppMetrics:
    """Declares them in ``metrics``; sessions begin their visits here."""

    def __init__(self, metrics: Metrics, store: Store, clock: Callable[[], float]) -> None:
        self.clock, self._store = clock, store
        self.model, self.fairness = Capped(), Capped()
        self._labels: dict[tuple[str, str, str, int], Labels] = {}
        self._metrics = metrics
        count = self._counter
        self.requests = count("request_total", "Requests that were sent to an endpoint.")
        self.errors = metrics.counter(
            f"{_PREFIX}request_error_total",
            "Requests that were refused.",
            *("model_name", "target_model_name", "error_code"),
        )
        self._also("request_error_total", model_name="model_name", error_code="error_code")
        self.duration = self._histogram("request_duration_seconds", "Their time.", _LATENCY)
        self.size = self._histogram("request_size_bytes", "Sizes of their bodies.", _BYTES)
        self.answer_size = self._histogram("response_size_bytes", "Sizes of answers.", _BYTES)
        self.prompt = self._histogram(
            "request_input_tokens", "Tokens of prompts.", _TOKENS, old="input_tokens"
        )
        self.completion = self._histogram(
            "request_output_tokens", "Tokens of answers.", _TOKENS, old="output_tokens"
        )
        self.cached = self._histogram(
            "request_cached_tokens", "Prompt tokens that the server had.", _TOKENS,
            old="prompt_cached_tokens",
        )  # fmt: skip
        self.ttft = metrics.histogram(
            f"{_PREFIX}request_ttft_seconds",
            "Until the answer began.",
            *(*_LABELS, "streaming"),
            bounds=_LATENCY,
        )
        self.per_token = self._histogram(
            "request_ntpot_seconds", "Time per token of an answer.", (*_QUICK, 0.5, 1.0),
            old="normalized_time_per_output_token_seconds",
        )  # fmt: skip
        self.running: dict[Labels, float] = {}
        metrics.gauge(
            f"{_PREFIX}request_running", "Requests under way.", "model_name",
            read=lambda: self.running.items(),
        )  # fmt: skip
        metrics.gauge(
            f"{_OLD}running_requests", "Requests under way.", "model_name",
            read=lambda: self.running.items(),
        )  # fmt: skip
        self.schedule = metrics.histogram(
            f"{_PREFIX}scheduler_e2e_duration_seconds", "Choosing an endpoint.", bounds=_QUICK
        )
        metrics.gauge(
            f"{_PREFIX}info", "The picker's build.", "commit", "build_ref",
            read=lambda: [((__version__, "wayside"), 1.0)],
        )  # fmt: skip
        self.attempts = metrics.counter(
            f"{_PREFIX}scheduler_attempts_total", "Choices, by how they ended.", "status"
        )
        self.rewrites = metrics.counter(
            f"{_PREFIX}model_rewrite_decisions_total",
            "Rules of InferenceModelRewrites applied.",
            *("model_rewrite_name", "model_name", "target_model"),
        )
        self.disagg = metrics.counter(
            f"{_PREFIX}disagg_decision_total",
            "Who reads the prompt.",
            *("model_name", "decision_type"),
        )
        self.polls = metrics.counter(
            f"{_PREFIX}datalayer_poll_errors_total", "Metrics of endpoints not read.", "reason"
        )
        self.kv = metrics.counter(
            f"{_PREFIX}kv_messages_total",
            "Messages of KV cache events, by what was in them.",
            "result",
        )
        self.waited = metrics.histogram(
            f"{_PREFIX}flow_control_request_queue_duration_seconds",
            "Time in line.",
            *("fairness_id", "priority", "outcome"),
            bounds=(*_QUICK, 0.5, 1.0, 5.0, 10.0, 60.0),
        )
        self._quiet = metrics.histogram(
            "inference_extension_scheduler_e2e_duration_seconds",
            "Choosing an endpoint.",
            bounds=_QUICK,
        )
        self._pool()

    # --- declaring -----------------------------------------------------------------------------

    def _counter(self, name: str, text: str) -> Counter:
        found = self._metrics.counter(_PREFIX + name, text, *_LABELS)
        self._also(name, **_SHORT, priority="priority")
        return found

    def _histogram(
        self, name: str, text: str, bounds: tuple[float, ...], *, old: str = ""
    ) -> Histogram:
        found = self._metrics.histogram(_PREFIX + name, text, *_LABELS, bounds=bounds)
        self._also(name, old or name, **_SHORT)
        return found

    def _also(self, name: str, old: str = "", **labels: str) -> None:
        self._metrics.copy(_PREFIX + name, _OLD + (old or name), labels, empty=True)

    def _pool(self) -> None:
        """The pool's gauges, each under its two names."""
        store = self._store

        def over(read: Callable[[list[float]], float], what: str) -> Callable[[], _Read]:
            def now() -> _Read:
                values = [float(getattr(e.vitals, what)) for e in store.roster.endpoints]
                return [((store.pool,), read(values) if values else 0.0)]

            return now

        for name, what in (
            ("kv_cache_utilization", "kv"),
            ("queue_size", "waiting"),
            ("running_requests", "running"),
        ):
            for how, read in (("average", fmean), ("std_dev", pstdev)):
                self._both(f"{how}_{name}", f"{how} over endpoints", over(read, what))
        ready = lambda: [((store.pool,), float(len(store.roster)))]  # noqa: E731
        self._metrics.gauge(f"{_PREFIX}ready_endpoints", "Endpoints.", "name", read=ready)
        self._metrics.gauge("inference_pool_ready_pods", "Endpoints.", "name", read=ready)
        self._metrics.gauge(
            f"{_PREFIX}per_endpoint_queue_size", "Requests waiting there.", "name", "endpoint",
            read=lambda: [
                ((store.pool, e.name), e.vitals.waiting) for e in store.roster.endpoints[:2000]
            ],
        )  # fmt: skip
        self._metrics.gauge(
            "inference_pool_per_pod_queue_size", "Requests waiting there.", "name",
            "model_server_pod",
            read=lambda: [
                ((store.pool, e.name), e.vitals.waiting) for e in store.roster.endpoints[:2000]
            ],
        )  # fmt: skip

    def _both(self, name: str, text: str, read: Callable[[], _Read]) -> None:
        self._metrics.gauge(_PREFIX + name, text, "name", read=read)
        self._metrics.gauge(f"inference_pool_{name}", text, "name", read=read)

    # --- what happens --------------------------------------------------------------------------

    def begin(self, request_id: str, now: float) -> EppVisit:
        return EppVisit(self, now)

    def scheduled(self, seconds: float, found: bool) -> None:
        """A choice was made, or none was left."""
        self.schedule.observe((), seconds)
        self._quiet.observe((), seconds)
        self.attempts.add(("success" if found else "failure",))

    def rewritten(self, name: str, model: str, target: str) -> None:
        self.rewrites.add((name, self.model(model), self.model(target)))

    def disaggregated(self, model: str, decision: str) -> None:
        self.disagg.add((self.model(model), decision))

    def poll_failed(self, reason: str) -> None:
        self.polls.add((reason,))

    def kv_message(self, result: str) -> None:
        self.kv.add((result,))

    def queued(self, waiting: Waiting, seconds: float, outcome: str) -> None:
        labels = (self.fairness(waiting.flow), str(waiting.priority), outcome)
        self.waited.observe(labels, seconds)

    def election(self, lease: str, leads: Callable[[], bool]) -> None:
        """Show who leads; declared once, where one is elected."""
        self._metrics.gauge(
            "leader_election_master_status", "1 where this picker leads.", "name",
            read=lambda: [((lease,), 1.0 if leads() else 0.0)],
        )  # fmt: skip

    def lines(self, lanes: Lanes, saturation: Callable[[], float]) -> None:
        """Show who waits; declared once, where there is flow control."""
        labels = ("fairness_id", "priority", "inference_pool")

        def now() -> _Read:
            found: dict[Labels, float] = {}
            for priority, flow, count, _ in lanes.sizes():
                key = (self.fairness(flow), str(priority), self._store.pool)
                found[key] = found.get(key, 0.0) + count
            return found.items()

        def size() -> _Read:
            bands = {priority: total for priority, _, _, total in lanes.sizes()}
            pool = self._store.pool
            return [(("", str(p), pool), float(total)) for p, total in bands.items()]

        gauge = self._metrics.gauge
        for prefix in (_PREFIX, "inference_extension_"):
            name = f"{prefix}flow_control"
            gauge(f"{name}_queue_size", "Requests in line.", *labels, read=now)
            gauge(f"{name}_queue_bytes", "Their bytes.", *labels, read=size)
            gauge(
                f"{name}_pool_saturation",
                "How full the pool is; 1 is full.",
                "inference_pool",
                read=lambda: [((self._store.pool,), saturation())],
            )

    def labels(self, sent: Sent) -> Labels:
        key = (sent.model, sent.target, sent.fairness, sent.priority)
        found = self._labels.get(key)
        if found is None:
            priority = str(sent.priority)
            if len(self._labels) >= MOST_MODELS:
                return (OTHER, OTHER, OTHER, priority)
            found = (
                self.model(sent.model),
                self.model(sent.target),
                self.fairness(sent.fairness),
                priority,
            )
            self._labels[key] = found
        return found


_Read = Iterable[tuple[Labels, float]]


class EppVisit:
    """One request, as it is counted."""

    __slots__ = ("_answered", "_labels", "_metrics", "_sent", "_since")

    def __init__(self, metrics: EppMetrics, now: float) -> None:
        self._metrics, self._since = metrics, now
        self._sent: Sent | None = None
        self._labels: Labels = ()
        self._answered = False

    def sent(self, sent: Sent) -> None:
        m = self._metrics
        self._sent, self._labels = sent, m.labels(sent)
        m.requests.add(self._labels)
        m.size.observe(self._labels, len(sent.body))
        model = (self._labels[0],)
        m.running[model] = m.running.get(model, 0.0) + 1

    def refused(self, code: str) -> None:
        self._metrics.errors.add(("", "", code))

    def answered(self, status: int) -> None:
        if self._answered or self._sent is None:
            return
        self._answered = True
        m, streams = self._metrics, "true" if self._sent.stream else "false"
        m.ttft.observe((*self._labels, streams), m.clock() - self._since)

    def took(self, prompt: int, completion: int, cached: int) -> None:
        m, labels = self._metrics, self._labels
        if not labels:
            labels = ("", "", "", "0")
        m.prompt.observe(labels, prompt)
        m.completion.observe(labels, completion)
        if cached:
            m.cached.observe(labels, cached)
        if completion:
            m.per_token.observe(labels, (m.clock() - self._since) / completion)

    def ended(self, *, complete: bool, size: int = 0) -> None:
        if self._sent is None:
            return
        m = self._metrics
        if size:
            m.answer_size.observe(self._labels, size)
        model = (self._labels[0],)
        m.running[model] -= 1
        if complete:
            m.duration.observe(self._labels, m.clock() - self._since)
