"""What a picker counts, under the names that llm-d's dashboards read.

Each has its name of today (``llm_d_epp_``) and, where dashboards still use it, the one of the
Gateway API Inference Extension. Values are counted once, and shown under both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wayside import __version__
from wayside.epp.gauges import EXTENSION, PREFIX, pool
from wayside.epp.lanes import Waiting
from wayside.epp.requests import Sent
from wayside.epp.store import Store
from wayside.epp.visit import EppVisit
from wayside.telemetry.metrics import Counter, Histogram, Labels, Metrics

MOST_MODELS: Final = 1000
"""Distinct models and fairness ids that have numbers of their own; clients make them up."""
LONGEST: Final = 256
"""Characters of a name that has numbers of its own."""
OTHER: Final = "other"

_OLD: Final = "inference_objective_"
_LATENCY: Final = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20,
    30, 45, 60, 120, 180, 240, 300, 600, 1200, 1800, 3600,
)  # fmt: skip
_BYTES: Final = tuple(float(64 << (2 * i)) for i in range(13))
_TOKENS: Final = (1.0, 8.0, 16.0, *(float(32 << i) for i in range(16)))
_QUICK: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_BETWEEN: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4,
    0.5, 0.6, 0.8, 1.0, 2.0,
)  # fmt: skip
_HANDLING: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_TENTHS: Final = tuple(i / 10 for i in range(11))
_PLUGIN: Final = ("plugin_type", "plugin_name")
_LINE: Final = ("fairness_id", "priority", "outcome")
_LABELS: Final = ("model_name", "target_model_name", "fairness_id", "priority")
_SHORT: Final = {"model_name": "model_name", "target_model_name": "target_model_name"}


class Capped:
    """Names as label values: the first :data:`MOST_MODELS` as they are, all further ones and those
    that are too long ``other``."""

    def __init__(self, most: int = MOST_MODELS) -> None:
        self._most, self._known = most, {"": ""}

    def __call__(self, name: str) -> str:
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self._known) > self._most or len(name) > LONGEST:
            return OTHER
        self._known[name] = name
        return name


class EppMetrics:
    """Declares them in ``metrics``; sessions begin their visits here."""

    def __init__(self, metrics: Metrics, store: Store, clock: Callable[[], float]) -> None:
        self.clock, self._store = clock, store
        self.model, self.fairness = Capped(), Capped()
        self._labels: dict[tuple[str, str, str, int], Labels] = {}
        self.registry = metrics
        count = self._counter
        self.requests = count("request_total", "Requests that were sent to an endpoint.")
        self.errors = metrics.counter(
            f"{PREFIX}request_error_total",
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
            f"{PREFIX}request_ttft_seconds",
            "Until the answer began.",
            *(*_LABELS, "streaming"),
            bounds=_LATENCY,
        )
        self._also("request_ttft_seconds", **_SHORT)
        self.tpot = self._histogram(
            "request_streaming_tpot_seconds",
            "Time per token of a streamed answer after the first.",
            _BETWEEN,
            old="request_tpot_seconds",
        )
        self.gap = metrics.histogram(
            f"{PREFIX}request_streaming_itl_seconds",
            "Time between two pieces of a streamed answer.",
            *_LABELS,
            bounds=_BETWEEN,
        )
        self.per_token = self._histogram(
            "request_ntpot_seconds", "Time per token of an answer.", (*_QUICK, 0.5, 1.0),
            old="normalized_time_per_output_token_seconds",
        )  # fmt: skip
        self.running: dict[Labels, float] = {}
        metrics.gauge(
            f"{PREFIX}request_running", "Requests under way.", "model_name",
            read=lambda: self.running.items(),
        )  # fmt: skip
        metrics.gauge(
            f"{_OLD}running_requests", "Requests under way.", "model_name",
            read=lambda: self.running.items(),
        )  # fmt: skip
        self.schedule = metrics.histogram(
            f"{PREFIX}scheduler_e2e_duration_seconds", "Choosing an endpoint.", bounds=_QUICK
        )
        metrics.gauge(
            f"{PREFIX}info", "The picker's build.", "commit", "build_ref",
            read=lambda: [((__version__, "wayside"), 1.0)],
        )  # fmt: skip
        self.attempts = metrics.counter(
            f"{PREFIX}scheduler_attempts_total", "Choices, by how they ended.", "status"
        )
        self.rewrites = metrics.counter(
            f"{PREFIX}model_rewrite_decisions_total",
            "Rules of InferenceModelRewrites applied.",
            *("model_rewrite_name", "model_name", "target_model"),
        )
        self.disagg = metrics.counter(
            f"{PREFIX}disagg_decision_total",
            "Who reads the prompt.",
            *("model_name", "decision_type"),
        )
        self.polls = metrics.counter(
            f"{PREFIX}datalayer_poll_errors_total", "Metrics of endpoints not read.", "reason"
        )
        self.kv = metrics.counter(
            f"{PREFIX}kv_messages_total",
            "Messages of KV cache events, by what was in them.",
            "result",
        )
        self.waited = metrics.histogram(
            f"{PREFIX}flow_control_request_queue_duration_seconds",
            "Time in line.",
            *_LINE,
            bounds=(*_QUICK, 0.5, 1.0, 5.0, 10.0, 60.0),
        )
        self.request_time = metrics.histogram(
            f"{PREFIX}request_processing_duration_seconds",
            "From a request's headers until it is on its way, with its time in line.",
            bounds=_HANDLING,
        )
        self.answer_time = metrics.histogram(
            f"{PREFIX}response_processing_duration_seconds",
            "Our own time for the pieces of an answer, together.",
            bounds=_HANDLING,
        )
        self.plugins = metrics.histogram(
            f"{PREFIX}plugin_duration_seconds",
            "Time of a plugin, in one choice of 16.",
            *("extension_point", "plugin_type", "plugin_name"),
            bounds=_QUICK,
        )
        self.hit_ratio = metrics.histogram(
            f"{PREFIX}prefix_indexer_hit_ratio",
            "Share of a prompt that the chosen endpoint has.",
            *_PLUGIN,
            bounds=_TENTHS,
        )
        self.hit_bytes = metrics.histogram(
            f"{PREFIX}prefix_indexer_hit_bytes",
            "Bytes of it.",
            *_PLUGIN,
            bounds=(0.0, *(float(16 << i) for i in range(13))),
        )
        for name in (
            "scheduler_e2e_duration_seconds",
            "prefix_indexer_hit_ratio",
            "prefix_indexer_hit_bytes",
        ):
            metrics.copy(PREFIX + name, EXTENSION + name, {}, empty=True)
        for name, labels in (
            ("scheduler_attempts_total", ("status",)),
            ("plugin_duration_seconds", ("extension_point", *_PLUGIN)),
            ("flow_control_request_queue_duration_seconds", _LINE),
        ):
            metrics.copy(PREFIX + name, EXTENSION + name, {n: n for n in labels})
        metrics.copy(
            f"{PREFIX}disagg_decision_total",
            "llm_d_inference_scheduler_disagg_decision_total",
            {"model_name": "model_name", "decision_type": "decision_type"},
            empty=True,
        )
        pool(metrics, store)

    # --- declaring -----------------------------------------------------------------------------

    def _counter(self, name: str, text: str) -> Counter:
        found = self.registry.counter(PREFIX + name, text, *_LABELS)
        self._also(name, **_SHORT, priority="priority")
        return found

    def _histogram(
        self, name: str, text: str, bounds: tuple[float, ...], *, old: str = ""
    ) -> Histogram:
        found = self.registry.histogram(PREFIX + name, text, *_LABELS, bounds=bounds)
        self._also(name, old or name, **_SHORT)
        return found

    def _also(self, name: str, old: str = "", **labels: str) -> None:
        self.registry.copy(PREFIX + name, _OLD + (old or name), labels, empty=True)

    # --- what happens --------------------------------------------------------------------------

    def begin(self, request_id: str, now: float) -> EppVisit:
        return EppVisit(self, now)

    def scheduled(self, seconds: float, found: bool) -> None:
        """A choice was made, or none was left."""
        self.schedule.observe((), seconds)
        self.attempts.add(("success" if found else "failure",))

    def rewritten(self, name: str, model: str, target: str) -> None:
        self.rewrites.add((name, self.model(model), self.model(target)))

    def disaggregated(self, model: str, decision: str) -> None:
        self.disagg.add((self.model(model), decision))

    def plugin(self, point: str, type_: str, name: str, seconds: float) -> None:
        self.plugins.observe((point, type_, name), seconds)

    def prefix(self, labels: Labels, share: float, size: int) -> None:
        """The chosen endpoint has ``share`` of a prompt of ``size`` bytes."""
        self.hit_ratio.observe(labels, share)
        self.hit_bytes.observe(labels, share * size)

    def poll_failed(self, reason: str) -> None:
        self.polls.add((reason,))

    def kv_message(self, result: str) -> None:
        self.kv.add((result,))

    def queued(self, waiting: Waiting, seconds: float, outcome: str) -> None:
        labels = (self.fairness(waiting.flow), str(waiting.priority), outcome)
        self.waited.observe(labels, seconds)

    def labels(self, sent: Sent) -> Labels:
        key = (sent.model, sent.target, sent.fairness, sent.priority)
        found = self._labels.get(key)
        if found is None:
            found = (
                self.model(sent.model),
                self.model(sent.target),
                self.fairness(sent.fairness),
                str(sent.priority),
            )
            if len(self._labels) < MOST_MODELS and OTHER not in found:
                self._labels[key] = found
        return found
