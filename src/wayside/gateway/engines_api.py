"""Model servers by production-stack's word for them: ``GET /engines``, and ``?id=``, which has one
of them answer a request.

An engine is an address, whatever models it serves; its id is made from its URL (UUID version 5,
RFC 9562), so that it stays the same across restarts and workers.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from wayside.fleet import Fleet, Pool, Replica
from wayside.flow import refuse
from wayside.flow.protocols import BODIES
from wayside.gateway.further import Found, query, told
from wayside.telemetry.production_stack import Server
from wayside.vocab.endpoint import NEVER
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Forward, Outcome, Request

Handle = Callable[[Request], Any]
"""What the runtime does with a request."""


@lru_cache(4096)
def engine_id(url: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, url))


class Engine:
    """One address, and its places in the pools of the models that it serves."""

    __slots__ = ("id", "places", "url")

    def __init__(self, url: str) -> None:
        self.url, self.id = url, engine_id(url)
        self.places: list[tuple[str, Pool, Replica]] = []
        """A model's name, its pool, and the replica there."""

    def healthy(self, now: float) -> bool:
        """Whether it is in rotation for every one of its models."""
        return not any(r.asleep or r.down or r.out_until > now for _, _, r in self.places)

    def sleeps(self, *, asleep: bool) -> None:
        for _, pool, replica in self.places:
            pool.sleeps(replica, asleep=asleep)


def url_of(replica: Replica) -> str:
    """Without a base path: one server is one server."""
    return f"{replica.address.scheme}://{replica.address.netloc}"


def engines(fleet: Fleet) -> dict[str, Engine]:
    """All there are, by URL."""
    found: dict[str, Engine] = {}
    for model, pool in fleet.pools.items():
        for replica in pool.everybody:
            url = url_of(replica)
            engine = found.get(url)
            if engine is None:
                engine = found[url] = Engine(url)
            engine.places.append((model, pool, replica))
    return found


def servers(fleet: Fleet, said: Mapping[str, Server]) -> dict[str, Server]:
    """What the metrics tell of them; ``said`` is what some said themselves, by URL."""
    now = _now()
    return {
        url: msgspec.structs.replace(said.get(url, _SILENT), healthy=engine.healthy(now))
        for url, engine in engines(fleet).items()
    }


_SILENT = Server()


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # nothing is served yet
        return 0.0


class EnginesApi:
    """Lists them, and finds the one that ``?id=`` names."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._since: dict[str, int] = {}
        """When each was first seen, Unix seconds."""

    def listed(self) -> Outcome:
        now, clock = _now(), int(time.time())
        found = engines(self._fleet)
        self._since = {url: self._since.get(url, clock) for url in found}
        return told([self._card(engine, now) for engine in found.values()])

    def named(self, id: str) -> Engine:
        """Raises :class:`RequestError` where there is none."""
        for engine in engines(self._fleet).values():
            if engine.id == id:
                return engine
        raise unknown_engine(id)

    def _card(self, engine: Engine, now: float) -> dict[str, Any]:
        replicas = [replica for _, _, replica in engine.places]
        vitals = max((r.vitals for r in replicas), key=lambda v: v.at)
        labels = {key: value for r in replicas for key, value in r.labels.items()}
        said = {"running": vitals.running, "waiting": vitals.waiting, "kv_usage": vitals.kv}
        return {
            "engine_id": engine.id,
            "serving_models": list(dict.fromkeys(model for model, _, _ in engine.places)),
            "created": self._since[engine.url],
            "id": engine.id,
            "url": engine.url,
            "labels": labels,
            "healthy": engine.healthy(now),
            "asleep": any(r.asleep for r in replicas),
            "out_because": sorted(
                {r.why for r in replicas if r.out_until > now}.union(*(r.down for r in replicas))
            ),
            "in_flight": sum(r.in_flight for r in replicas),
            "metrics": said if vitals.at > NEVER else None,
        }


def unknown_engine(id: str) -> RequestError:
    return RequestError(
        f"Engine with id {id[:64]!r} not found. GET /engines lists them.",
        status=404,
        code="engine_not_found",
        param="id",
    )


class Pinned:
    """Requests with ``?id=``: routed as any other, then sent to that engine or to none."""

    def __init__(self, api: EnginesApi, handle: Handle) -> None:
        self._api, self._handle = api, handle

    def __call__(self, request: Request) -> Found | None:
        if request.path.partition("?")[0] not in BODIES:
            return None
        return self.there(request, self._handle)

    def there(self, request: Request, handle: Handle) -> Found | None:
        """What ``handle`` says, at the engine that the query names; ``None`` where it names
        none."""
        path, _, rest = request.path.partition("?")
        id = query(request).get("id") if "id=" in rest else None
        if id is None:
            return None
        engine = self._api.named(id)
        kept = urlencode([pair for pair in parse_qsl(rest, True) if pair[0] != "id"])
        plain = msgspec.structs.replace(request, path=f"{path}?{kept}" if kept else path)
        outcome = handle(plain)
        if hasattr(outcome, "__await__"):
            return _later(outcome, engine)
        return pinned(outcome, engine)


def _later(outcome: Any, engine: Engine) -> Coroutine[Any, Any, Outcome]:
    async def waited() -> Outcome:
        return pinned(await outcome, engine)

    return waited()


def pinned(outcome: Outcome, engine: Engine) -> Outcome:
    """``outcome`` at ``engine``, if its model is served there."""
    if not isinstance(outcome, Forward):
        return outcome
    for model, _, replica in engine.places:
        if model == outcome.target.name:
            return msgspec.structs.replace(outcome, pin=replica.host_port, fallback=None)
    served = ", ".join(_names(engine))
    return refuse(
        RequestError(
            f"Engine {engine.id} serves {served}, not {outcome.target.name!r}.",
            status=404,
            code="engine_not_found",
            param="id",
        )
    )


def _names(engine: Engine) -> Iterator[str]:
    yield from dict.fromkeys(model for model, _, _ in engine.places)
