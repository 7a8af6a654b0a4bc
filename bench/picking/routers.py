"""Who is compared, and how each is started.

Everybody gets the same eight addresses. Health checks are set to every two seconds where the
default (60 s) would leave a dead server in rotation for the whole run; everything else is the
default, but for the rows named "tuned", which get thresholds that fit replicas of eight slots.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rig import BENCH, free_ports
from targets import VENVS, Place

from picking.load import MODEL

EVENTS = "tcp://EVENTS"
"""Stands for the address that the replicas' KV cache events are sent to."""


@dataclass(frozen=True, slots=True)
class Where(Place):
    """A place, and the port for the replicas' KV cache events."""

    events: int = 0

    @property
    def events_address(self) -> str:
        return f"tcp://127.0.0.1:{self.events}"


Start = Callable[[Where], list[str]]


@dataclass(frozen=True, slots=True)
class Router:
    """One row. ``start`` writes its files and says what to run."""

    name: str
    what: str
    start: Start
    ours: bool = False
    quick: bool = True
    events: bool = False
    """Whether it listens to the replicas' KV cache events."""
    named: bool = False
    """Whether it says something only of requests that name their session."""


def wayside(picking: Any = None, scrape_s: float = 0.2) -> Start:
    """Our gateway with this ``models.<model>.picking``; ``None`` leaves it out. ``scrape_s`` is
    how often it reads the replicas' metrics, if it does."""

    def start(place: Where) -> list[str]:
        model: dict[str, Any] = {
            "endpoints": [{"url": f"http://127.0.0.1:{port}"} for port in place.backends]
        }
        if picking is not None:
            model["picking"] = picking
        config = {
            "listen": {"address": "127.0.0.1", "port": place.port},
            "management": {"address": "127.0.0.1", "port": free_ports(1)[0]},
            "log": {"access": str(place.folder / "access.log")},
            "models": {MODEL: model},
            "fleet": {"scrape": {"interval_s": scrape_s, "stale_after_s": 10 * scrape_s}},
        }
        text = json.dumps(config).replace(EVENTS, place.events_address)
        path = place.write("wayside.yaml", text)
        return [sys.executable, "-m", "wayside", "serve", "--config", path]

    return start


def _rust(program: list[str], policy: str, *more: str) -> Start:
    def start(place: Where) -> list[str]:
        return [
            *program,
            *("--host", "127.0.0.1", "--port", str(place.port), "--policy", policy),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_ports(1)[0])),
            *("--health-check-interval-secs", "2", "--log-level", "error", *more),
            *("--worker-urls", *[f"http://127.0.0.1:{port}" for port in place.backends]),
        ]

    return start


def _stack(routing: str) -> Start:
    def start(place: Where) -> list[str]:
        real = VENVS / "production-stack/bin/vllm-router"
        if not real.exists():
            file = str(BENCH / "picking/stack.py")
            return [sys.executable, file, routing, str(place.port), *map(str, place.backends)]
        urls = ",".join(f"http://127.0.0.1:{port}" for port in place.backends)
        models = ",".join([MODEL] * len(place.backends))
        return [
            *(str(real), "--host", "127.0.0.1", "--port", str(place.port)),
            *("--service-discovery", "static", "--static-backends", urls),
            *("--static-models", models, "--routing-logic", routing),
            *("--session-key", "x-session-id", "--max-instance-failover-reroute-attempts", "2"),
            *("--static-backend-health-checks", "--static-backend-health-check-interval", "2"),
        ]

    return start


_VLLM = [str(VENVS / "vllm-router/bin/vllm-router")]
_SGLANG = [str(VENVS / "sglang-router/bin/python"), "-m", "sglang_router.launch_router"]
_TUNED = ("--balance-abs-threshold", "4", "--balance-rel-threshold", "1.5")

PEERS = (
    Router("vllm-rr", "vllm-router, round_robin", _rust(_VLLM, "round_robin")),
    Router("vllm-cache", "vllm-router, cache_aware", _rust(_VLLM, "cache_aware")),
    Router(
        "vllm-cache-tuned",
        "vllm-router, cache_aware, balance threshold 4",
        _rust(_VLLM, "cache_aware", *_TUNED),
    ),
    Router(
        "vllm-hash",
        "vllm-router, consistent_hash; requests without a session would all go to one replica",
        _rust(_VLLM, "consistent_hash"),
        named=True,
    ),
    Router("vllm-p2c", "vllm-router, power_of_two", _rust(_VLLM, "power_of_two")),
    Router("sglang-cache", "sglang-router, cache_aware", _rust(_SGLANG, "cache_aware")),
    Router(
        "sglang-cache-tuned",
        "sglang-router, cache_aware, balance threshold 4",
        _rust(_SGLANG, "cache_aware", *_TUNED),
    ),
    Router("sglang-p2c", "sglang-router, power_of_two", _rust(_SGLANG, "power_of_two")),
    Router("stack-rr", "production-stack's roundrobin", _stack("roundrobin"), quick=False),
    Router("stack-session", "production-stack's session", _stack("session"), quick=False),
    Router("stack-prefix", "production-stack's prefixaware", _stack("prefixaware")),
)

LLM_D: dict[str, Any] = {
    "scorers": [
        {"queue": {}, "weight": 2},
        {"kv_utilization": {}, "weight": 2},
        {"prefix_cache": {}, "weight": 3},
    ]
}
"""The default profile of llm-d's picker (spec 3.4)."""
PICKING: dict[str, Any] = {
    "default": None,
    "round-robin": "round_robin",
    "least-requests": "least_requests",
    "prefix-hash": "prefix_hash",
    "prefix-cache": "prefix_cache",
    "llm-d": LLM_D,
    "precise": {
        "filters": ["bounded_load"],
        "scorers": [{"precise_prefix_cache": {"bind": EVENTS}, "weight": 0}, "least_work"],
    },
    "balanced": "balanced",
}
"""Ours: the name of the row and its ``picking``."""
SELDOM = ("balanced", "precise", "prefix-cache")
"""Those that read the size of a replica's cache from its metrics and nothing else: every two
seconds is often enough. Seven replicas that share a process also share the time that it takes to
write seven pages of 24 KB, which in a real fleet is nobody's."""


def ours(name: str, picking: Any) -> Router:
    what = "power of two choices" if picking is None else f"picking: {picking}"
    events = EVENTS in str(picking)
    scrape_s = 2.0 if name in SELDOM else 0.2
    return Router(
        f"wayside-{name}", f"ours, {what}", wayside(picking, scrape_s), ours=True, events=events
    )


ROUTERS = (*PEERS, *[ours(name, picking) for name, picking in PICKING.items()])
