"""The simulator's own pages, `/_sim/...`: what it remembers, and switches to break it."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .ask import Body, read_body
from .refusal import Refusal, vllm_error
from .settings import parse_fault_rates
from .transfers import FETCH_PATH
from .wire import Reply, Request

if TYPE_CHECKING:
    from .replica import Replica

_PAGES = tuple(
    f"/_sim/{name}" for name in ("requests", "stats", "usage", "faults", "health", "pace", "life")
)
_MOST_S = 86_400.0
_FAREWELL_S = 0.02
"""Time for the answer to leave before its connection is dropped."""


class Control:
    """The pages of one server. They answer while it hangs, and need no key."""

    def __init__(self, replica: "Replica") -> None:
        self._replica = replica
        self._back: asyncio.TimerHandle | None = None

    def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request for such a page."""
        try:
            body = self._page(request)
        except (Refusal, ValidationError) as error:
            message = error.message if isinstance(error, Refusal) else str(error)
            status = error.status if isinstance(error, Refusal) else 400
            reply.whole(status, vllm_error(Refusal(status, message)))
            return
        reply.whole(200, json.dumps(body).encode())

    def _page(self, request: Request) -> object:
        replica = self._replica
        match request.method, request.path:
            case "GET", "/_sim/requests":
                return {"requests": [recorded.as_json() for recorded in replica.recording.all()]}
            case "DELETE", "/_sim/requests":
                replica.recording.clear()
                return {"requests": []}
            case "GET", "/_sim/stats":
                return self._stats()
            case "GET", "/_sim/usage":
                return replica.ledger.as_json()
            case "DELETE", "/_sim/usage":
                replica.ledger.clear()
                return replica.ledger.as_json()
            case "PUT", "/_sim/faults":
                replica.faults = parse_fault_rates(read_body(request.body))
                return {"set": True}
            case "PUT", "/_sim/health":
                replica.healthy = read_body(request.body).get("healthy") is True
                return {"healthy": replica.healthy}
            case "PUT", "/_sim/pace":
                replica.pace = _number(read_body(request.body), "factor", 0.0, 1e6)
                return {"factor": replica.pace}
            case "PUT", "/_sim/life":
                return self._live(read_body(request.body))
            case "POST", path if path == FETCH_PATH:
                asked = read_body(request.body)
                engines = replica.engines.values()
                if not replica.transfers.give(engines, asked.get("engine_id"), asked.get("ids")):
                    raise Refusal(404, "These blocks are not held here.")
                return {"fetched": True}
            case _:
                raise Refusal(404, f"use {', '.join(_PAGES)}")

    def _live(self, body: Body) -> object:
        """`{"state": "up" | "hung" | "down", "for_s": 5}`: for that long, or for good."""
        replica, state = self._replica, body.get("state")
        if state not in ("up", "hung", "down"):
            raise Refusal(400, "'state' must be 'up', 'hung' or 'down'", param="state")
        for_s = None if body.get("for_s") is None else _number(body, "for_s", 0.0, _MOST_S)
        loop = asyncio.get_running_loop()
        if self._back is not None:
            self._back.cancel()
            self._back = None
        if state == "down":
            loop.call_later(_FAREWELL_S, replica.crash, for_s)
        elif state == "hung":
            replica.life.hang()
            if for_s is not None:
                self._back = loop.call_later(for_s, replica.life.revive)
        else:
            replica.life.revive()
        return {"state": state, "for_s": for_s}

    def _stats(self) -> dict[str, object]:
        replica = self._replica
        stats = replica.stats
        models = {
            name: {
                "running": engine.running,
                "waiting": engine.waiting,
                "kv_usage": engine.kv_usage(),
                "cached_blocks": engine.kv.cached,
                "hit_rate": engine.hit_rate,
                "adapters_on_gpu": list(engine.adapters.on_gpu),
            }
            for name, engine in replica.engines.items()
        }
        events: dict[str, Any] | None = None
        if (publisher := replica.publisher) is not None:
            events = {
                "endpoint": publisher.endpoint,
                "sent": publisher.sent,
                "subscribers": publisher.subscribers,
            }
        return {
            "replica": replica.settings.replica,
            "pod": replica.pod,
            "role": replica.settings.role,
            "asleep": replica.life.asleep,
            "hung": replica.life.hung,
            "pace": replica.pace,
            "requests": stats.requests,
            "completed": stats.completed,
            "cancelled": stats.cancelled,
            "faulted": stats.faulted,
            "probes": stats.probes,
            "running": stats.running,
            "waiting": stats.waiting,
            "connections": stats.connections,
            "statuses": {str(status): count for status, count in stats.statuses.items()},
            "transfers": replica.transfers.tally.as_json(),
            "kv_events": events,
            "models": models,
            "sni": list(replica.sni_seen),
        }


def _number(body: Body, name: str, low: float, high: float) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise Refusal(400, f"'{name}' must be a number above {low:g}, up to {high:g}", param=name)
    return float(value)
