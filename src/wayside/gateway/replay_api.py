"""What was decided earlier: ``/v1/router_replay`` (spec: vSR 7.1).

The records are those that the plugin ``router_replay`` keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.gateway.api import ApiError, Endpoint
from wayside.net.turns import Turns
from wayside.plugins.router_replay import SPACE, RouterReplayPlugin
from wayside.runtime import Runtime
from wayside.telemetry import Price
from wayside.vocab.ask import ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Get, Listing

MAX_LIMIT = 100
LOOKED_AT = 10_000
"""Records that one request looks through."""
ROOT = "/v1/router_replay"
_PAGE = 500
_DETAILS = ("request_body", "response_body", "tool_trace")
_FILTERS = {
    "recipe": "recipe",
    "decision": "decision",
    "model": "selected_model",
    "session_id": "session_id",
    "cache_status": "cache_status",
}


class Records(TypedDict):
    object: str
    data: list[dict[str, Any]]
    count: int
    offset: int
    limit: int
    has_more: bool


class Aggregate(TypedDict):
    records: int
    looked_at_most: int
    by_decision: dict[str, int]
    by_model: dict[str, int]
    by_path: dict[str, int]
    by_status: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost: dict[str, float]
    seconds: dict[str, float]


class Trajectory(TypedDict):
    session_id: str
    turns: list[dict[str, Any]]
    models: list[str]
    switches: int


class ReplayApi:
    """Reads the records; changes nothing."""

    def __init__(self, runtime: Runtime, prices: Callable[[], Mapping[str, Price]]) -> None:
        self._runtime, self._prices = runtime, prices

    def endpoints(self) -> list[Endpoint]:
        narrowed = (
            *((name, f"Only records of this {name}.") for name in _FILTERS),
            ("search", "Only records that hold this text somewhere."),
        )
        page = (
            ("limit", f"At most so many, up to {MAX_LIMIT}."),
            ("offset", "Leave out so many of the newest."),
            ("showDetails", "`true`: with bodies and tool steps."),
        )

        def get(path: str, handler: Any, summary: str, **more: Any) -> Endpoint:
            also = path.replace("/v1/router_replay", "/api/v1/observability/replays")
            refused = (
                (400, "A parameter that is missing, or no such number."),
                (404, "There is no such record."),
                (503, "The store does not answer."),
            )
            return Endpoint("GET", path, handler, summary, also=also, refusals=refused, **more)

        root = ROOT
        return [
            get(root, self._list, "Records, the newest first.", answer=Records,
                query=(*narrowed, *page)),
            get(f"{root}/aggregate", self._aggregate, "Sums over records.", answer=Aggregate,
                query=narrowed),
            get(f"{root}/trajectory", self._trajectory,
                "The turns of one session, the oldest first.", answer=Trajectory,
                query=(("session_id", "Whose turns."),)),
            get(f"{root}/{{id}}", self._one, "One record with its bodies."),
        ]  # fmt: skip

    async def _list(self, http: HttpRequest) -> Response:
        limit = _number(http, "limit", 20, 1, MAX_LIMIT)
        offset = _number(http, "offset", 0, 0, LOOKED_AT)
        details = http.query_params.get("showDetails") == "true"
        found = await self._records(
            lambda record: _passes(record, http), most=offset + limit + 1, details=details
        )
        page = found[offset : offset + limit]
        answer: Records = {
            "object": "list",
            "data": [self._told(record, details=details) for record in page],
            "count": len(page),
            "offset": offset,
            "limit": limit,
            "has_more": offset + limit < len(found),
        }
        return JSONResponse(answer)

    async def _one(self, http: HttpRequest) -> Response:
        record = await self.record(http.path_params["id"])
        return JSONResponse(self._told(record, details=True))

    async def record(self, id: str) -> dict[str, Any]:
        """One record with its bodies. Raises :class:`ApiError`."""
        key = id.removeprefix("replay_")
        for store in self._stores():
            raw = await self._ask(Get(store, SPACE, key))
            if raw is not None:
                found: dict[str, Any] = msgspec.json.decode(raw)
                return found
        raise ApiError(404, "REPLAY_NOT_FOUND", f"no record {key[:128]!r}; it may have expired")

    async def _aggregate(self, http: HttpRequest) -> Response:
        found = await self._records(lambda record: _passes(record, http))
        usages = [r.get("usage") or {} for r in found]
        cost: dict[str, float] = {}
        for record in found:
            told = self._cost(record)
            if told is not None:
                cost[told[1]] = cost.get(told[1], 0.0) + told[0]
        times = sorted(float(r.get("seconds", 0.0)) for r in found)
        answer: Aggregate = {
            "records": len(found),
            "looked_at_most": LOOKED_AT,
            "by_decision": _count(found, "decision"),
            "by_model": _count(found, "selected_model"),
            "by_path": _count(found, "response_path"),
            "by_status": _count(found, "response_status"),
            "prompt_tokens": sum(_tokens(u, "prompt_tokens") for u in usages),
            "completion_tokens": sum(_tokens(u, "completion_tokens") for u in usages),
            "cost": {currency: round(total, 9) for currency, total in cost.items()},
            "seconds": {f"p{p}": _percentile(times, p) for p in (50, 95, 99)},
        }
        return JSONResponse(answer)

    async def _trajectory(self, http: HttpRequest) -> Response:
        session = http.query_params.get("session_id", "")
        if not session:
            raise ApiError(400, "INVALID_INPUT", "session_id: is missing; name one session")
        found = await self._records(lambda record: record.get("session_id") == session)
        turns = found[::-1]
        models = [str(turn.get("selected_model", "")) for turn in turns]
        answer: Trajectory = {
            "session_id": session,
            "turns": [self._told(turn, details=False) for turn in turns],
            "models": models,
            "switches": sum(a != b for a, b in pairwise(models)),
        }
        return JSONResponse(answer)

    def _stores(self) -> list[str]:
        """The stores that hold records under the policy in force."""
        policy = self._runtime.policy
        found = {
            plugin.rule.store: None
            for recipe in policy.recipes.values()
            for plugins in recipe.plugins.values()
            for plugin in plugins
            if isinstance(plugin, RouterReplayPlugin)
        }
        return list(found)

    async def _records(
        self,
        wanted: Callable[[dict[str, Any]], bool],
        *,
        most: int = LOOKED_AT,
        details: bool = False,
    ) -> list[dict[str, Any]]:
        """The newest ``most`` records that are ``wanted``, the newest first; their bodies are let
        go of at once unless ``details`` are. Requests have their turn meanwhile, so that pages may
        move: a record that comes twice is told once."""
        turns = Turns()
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for store in self._stores():
            mine = 0
            for offset in range(0, LOOKED_AT, _PAGE):
                page = await self._ask(Listing(store, SPACE, _PAGE, offset))
                for key, raw in page:
                    record: dict[str, Any] = msgspec.json.decode(raw)
                    if wanted(record):
                        kept = record if details else _without_bodies(record)
                        mine += (store, key) not in found
                        found[store, key] = kept
                    await turns.rest()
                if len(page) < _PAGE or mine >= most:
                    break
        records = sorted(found.values(), key=lambda record: -float(record.get("timestamp", 0.0)))
        return records[:most]

    async def _ask(self, question: Any) -> Any:
        try:
            return await self._runtime.run(ask(question))
        except AskFailed as failed:
            raise ApiError(
                503, "REPLAY_UNAVAILABLE", f"the store gives no answer: {failed}"
            ) from None

    def _told(self, record: dict[str, Any], *, details: bool) -> dict[str, Any]:
        told = {**record} if details else _without_bodies(record)
        cost = self._cost(record)
        if cost is not None:
            told["cost"], told["currency"] = cost
        return told

    def _cost(self, record: Mapping[str, Any]) -> tuple[float, str] | None:
        """What the tokens cost by the prices in force now, and in which currency."""
        price, usage = self._prices().get(record.get("selected_model", "")), record.get("usage")
        if price is None or not isinstance(usage, dict):
            return None
        prompt, completion = (_tokens(usage, k) for k in ("prompt_tokens", "completion_tokens"))
        details = usage.get("prompt_tokens_details")
        cached = min(_tokens(details, "cached_tokens") if isinstance(details, dict) else 0, prompt)
        whole = (prompt - cached) * price.prompt + cached * price.cached
        return round((whole + completion * price.completion) / 1e6, 9), price.currency


def _without_bodies(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in _DETAILS}


def _passes(record: Mapping[str, Any], http: HttpRequest) -> bool:
    wanted = http.query_params
    for name, field in _FILTERS.items():
        if name in wanted and str(record.get(field, "")) != wanted[name]:
            return False
    said = wanted.get("search", "").lower()
    return not said or any(said in text.lower() for text in _texts(record))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _number(http: HttpRequest, name: str, default: int, low: int, high: int) -> int:
    said = http.query_params.get(name, "")
    if not said:
        return default
    if not said.isascii() or not said.isdigit() or not low <= int(said) <= high:
        raise ApiError(400, "INVALID_INPUT", f"{name}: is not a number from {low} to {high}")
    return int(said)


def _count(records: list[dict[str, Any]], field: str) -> dict[str, int]:
    return dict(Counter(str(record.get(field, "")) for record in records).most_common())


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _percentile(ordered: list[float], percent: int) -> float:
    """The nearest rank (0 where there is nothing)."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]
