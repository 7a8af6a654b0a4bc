"""What a controller counts, by the names that controller-runtime's dashboards know, and ours."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from wayside.operator.figures import Figures
from wayside.operator.queue import Queue
from wayside.resources import Object
from wayside.telemetry.metrics import Metrics
from wayside.vocab.objects import section, sections, text

MAX_NAMED: Final = 500
"""Objects that have series of their own; others are in the sums only."""
_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
_Samples = Iterable[tuple[tuple[str, ...], float]]
Objects = Callable[[], Iterator[tuple[str, Object]]]
"""Kind and whole object of everything that is looked after."""


class Gauges:
    """Declares the metrics of one program on a registry of its own."""

    def __init__(self, *, version: str, objects: Objects, leads: Callable[[], bool]) -> None:
        self.metrics = m = Metrics()
        self._version, self._objects = version, objects
        self._queues: dict[str, tuple[Queue[tuple[str, str]], int]] = {}
        self.passes = m.counter(
            "controller_runtime_reconcile_total", "Passes by outcome.", "controller", "result"
        )
        self.errors = m.counter(
            "controller_runtime_reconcile_errors_total", "Passes that failed.", "controller"
        )
        self.asked = m.counter(
            "wayside_operator_desired_total",
            "How often it was asked what there shall be for an object.",
            "controller",
        )
        self.pass_s = m.histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a pass took.",
            "controller",
            bounds=_BOUNDS,
        )
        self.wait_s = m.histogram(
            "workqueue_queue_duration_seconds",
            "How long an object waited for its pass.",
            "name",
            "controller",
            bounds=_BOUNDS,
        )
        self.work_s = m.histogram(
            "workqueue_work_duration_seconds",
            "How long an object was worked on.",
            "name",
            "controller",
            bounds=_BOUNDS,
        )
        self.requests = m.counter(
            "rest_client_requests_total", "Requests to the API server.", "code", "method"
        )
        self._adds = m.counter(
            "workqueue_adds_total", "Objects that were to be looked at.", "name", "controller"
        )
        self._retries = m.counter(
            "workqueue_retries_total", "Passes that were to be repeated.", "name", "controller"
        )
        self._lost = m.counter(
            "wayside_operator_events_lost_total", "Events that could not be written."
        )
        for name, help_, read in (
            ("controller_runtime_active_workers", "Passes under way.", _active),
            ("controller_runtime_max_concurrent_reconciles", "Passes at once.", _most),
        ):
            m.gauge(name, help_, "controller", read=self._of_queues(read))
        for name, help_, read in (
            ("workqueue_depth", "Objects that wait for a pass.", _depth),
            ("workqueue_longest_running_processor_seconds", "The longest pass.", _longest),
            ("workqueue_unfinished_work_seconds", "All passes under way.", _unfinished),
        ):
            m.gauge(name, help_, "name", "controller", read=self._of_queues(read, twice=True))
        m.gauge(
            "leader_election_master_status",
            "Whether this one leads.",
            "name",
            read=lambda: [((self.lease,), float(leads()))] if self.lease else [],
        )
        m.gauge(
            "wayside_custom_resources_condition",
            "Custom resources by kind, condition and its status.",
            "kind",
            "type",
            "status",
            read=self._conditions,
        )
        m.gauge(
            "semantic_router_info",
            "SemanticRouters by gateway mode; version is this operator's.",
            "mode",
            "version",
            read=self._info,
        )
        m.gauge(
            "semantic_router_condition",
            "SemanticRouters by condition and its status.",
            "type",
            "status",
            read=lambda: [(k[1:], v) for k, v in self._conditions() if k[0] == "SemanticRouter"],
        )
        m.gauge(
            "semantic_router_backends",
            "Backends of each SemanticRouter.",
            "sr",
            "state",
            read=self._backends,
        )
        m.gauge(
            "semantic_router_config_hash",
            "The first 12 digits of each SemanticRouter's configHash, as a number.",
            "sr",
            read=self._hashes,
        )
        self.lease = ""
        self.figures = Figures()

    def follow(self, controller: str, queue: Queue[tuple[str, str]], workers: int) -> None:
        """Show ``queue`` as that of ``controller``, with zeros for what has not happened yet."""
        self._queues[controller] = (queue, workers)
        for result in ("success", "error", "requeue", "requeue_after"):
            self.passes.add((controller, result), 0)
        self.errors.add((controller,), 0)

    def text(self, events_lost: int) -> bytes:
        """The page, in Prometheus's text format."""
        for name, (queue, _) in self._queues.items():
            self._adds.values[name, name] = float(queue.adds)
            self._retries.values[name, name] = float(queue.retries)
        self._lost.values[()] = float(events_lost)
        return self.metrics.text() + self.figures.text()

    def answered(self, method: str, status: int) -> None:
        self.requests.add((str(status) if status else "<error>", method))

    # --- inner workings ------------------------------------------------------------------------

    def _of_queues(
        self, read: Callable[[Queue[tuple[str, str]], int], float], *, twice: bool = False
    ) -> Callable[[], _Samples]:
        def samples() -> _Samples:
            for name, (queue, workers) in self._queues.items():
                yield ((name, name) if twice else (name,)), float(read(queue, workers))

        return samples

    def _conditions(self) -> _Samples:
        tally: Tally[tuple[str, ...]] = Tally()
        for kind, found in self._objects():
            for condition in sections(section(found, "status").get("conditions")):
                tally[kind, text(condition.get("type")), text(condition.get("status"))] += 1
        return [(labels, float(count)) for labels, count in sorted(tally.items())]

    def _routers(self) -> Iterator[tuple[str, Object]]:
        for kind, found in self._objects():
            if kind == "SemanticRouter":
                meta = section(found, "metadata")
                yield f"{meta.get('namespace')}/{meta.get('name')}", found

    def _info(self) -> _Samples:
        tally = Tally(
            text(section(found, "status").get("gatewayMode")) or "unknown"
            for _, found in self._routers()
        )
        return [((mode, self._version), float(count)) for mode, count in sorted(tally.items())]

    def _backends(self) -> _Samples:
        for i, (name, found) in enumerate(self._routers()):
            if i >= MAX_NAMED:
                return
            backends = sections(section(found, "status").get("backends"))
            ready = sum(backend.get("ready") is True for backend in backends)
            yield (name, "ready"), float(ready)
            yield (name, "unready"), float(len(backends) - ready)

    def _hashes(self) -> _Samples:
        for i, (name, found) in enumerate(self._routers()):
            if i >= MAX_NAMED:
                return
            digits = text(section(found, "status").get("configHash")).removeprefix("sha256:")[:12]
            try:
                yield (name,), float(int(digits, 16))
            except ValueError:
                continue


def _active(queue: Queue[tuple[str, str]], workers: int) -> float:
    return len(queue.busy)


def _most(queue: Queue[tuple[str, str]], workers: int) -> float:
    return workers


def _depth(queue: Queue[tuple[str, str]], workers: int) -> float:
    return len(queue)


def _longest(queue: Queue[tuple[str, str]], workers: int) -> float:
    return max(queue.busy, default=0.0)


def _unfinished(queue: Queue[tuple[str, str]], workers: int) -> float:
    return sum(queue.busy)
