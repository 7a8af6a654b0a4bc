"""What is read of a picker when somebody looks: its pool, who waits, what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean, pstdev
from typing import Final

from wayside.epp.lanes import Lanes
from wayside.epp.store import Store
from wayside.telemetry.metrics import Labels, Metrics

PREFIX: Final = "llm_d_epp_"
POOL: Final = "inference_pool_"
EXTENSION: Final = "inference_extension_"
"""Names of today, and those of the Gateway API Inference Extension that dashboards still use."""
_MOST_ENDPOINTS: Final = 2000

Read = Iterable[tuple[Labels, float]]


def pool(metrics: Metrics, store: Store) -> None:
    """The pool's gauges, each under its two names."""

    def over(read: Callable[[list[float]], float], what: str) -> Callable[[], Read]:
        def now() -> Read:
            values = [float(getattr(e.vitals, what)) for e in store.roster.endpoints]
            return [((store.pool,), read(values) if values else 0.0)]

        return now

    def both(name: str, old: str, text: str, read: Callable[[], Read]) -> None:
        metrics.gauge(PREFIX + name, text, "name", read=read)
        metrics.gauge(POOL + old, text, "name", read=read)

    for name, what in (
        ("kv_cache_utilization", "kv"),
        ("queue_size", "waiting"),
        ("running_requests", "running"),
    ):
        for how, read in (("average", fmean), ("std_dev", pstdev)):
            named = f"{how}_{name}"
            both(named, named, f"{how} over endpoints", over(read, what))
    ready = lambda: [((store.pool,), float(len(store.roster)))]  # noqa: E731
    both("ready_endpoints", "ready_pods", "Endpoints.", ready)

    def waiting() -> Read:
        found = store.roster.endpoints[:_MOST_ENDPOINTS]
        return [((store.pool, e.name), e.vitals.waiting) for e in found]

    text = "Requests waiting there."
    for name, label in (
        (f"{PREFIX}per_endpoint_queue_size", "model_server_endpoint"),
        (f"{POOL}per_pod_queue_size", "model_server_pod"),
    ):
        metrics.gauge(name, text, "name", label, read=waiting)


def lines(
    metrics: Metrics,
    store: Store,
    fairness: Callable[[str], str],
    lanes: Lanes,
    saturation: Callable[[], float],
) -> None:
    """Who waits, where there is flow control. An empty line is told as 0: who scales by it must
    be able to tell it from a picker that is away."""
    labels = ("fairness_id", "priority", "inference_pool")

    def gathered(position: int) -> Read:
        found: dict[Labels, float] = {("default-flow", "0", store.pool): 0.0}
        for priority, flow, *sizes in lanes.sizes():
            key = (fairness(flow), str(priority), store.pool)
            found[key] = found.get(key, 0.0) + sizes[position]
        return found.items()

    for prefix in (PREFIX, EXTENSION):
        name = f"{prefix}flow_control"
        count, size = (lambda: gathered(0)), (lambda: gathered(1))
        metrics.gauge(f"{name}_queue_size", "Requests in line.", *labels, read=count)
        metrics.gauge(f"{name}_queue_bytes", "Their bytes.", *labels, read=size)
        metrics.gauge(
            f"{name}_pool_saturation",
            "How full the pool is; 1 is full.",
            "inference_pool",
            read=lambda: [((store.pool,), saturation())],
        )


def blocks(metrics: Metrics, known: Callable[[], Iterable[tuple[Labels, int]]]) -> None:
    """How much of prompts is remembered: blocks by the plugin's type and name."""
    text = "Blocks of prompts that are remembered."
    read = lambda: [(labels, float(n)) for labels, n in known()]  # noqa: E731
    metrics.gauge(f"{PREFIX}prefix_indexer_size", text, "plugin_type", "plugin_name", read=read)
    metrics.gauge(
        f"{EXTENSION}prefix_indexer_size", text,
        read=lambda: [((), float(sum(n for _, n in known())))],
    )  # fmt: skip


def election(metrics: Metrics, lease: str, leads: Callable[[], bool]) -> None:
    """Who leads, where one is elected."""
    metrics.gauge(
        "leader_election_master_status", "1 where this picker leads.", "name",
        read=lambda: [((lease,), 1.0 if leads() else 0.0)],
    )  # fmt: skip
