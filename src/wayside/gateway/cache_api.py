"""The response cache for operators: ``/api/v1/response-cache`` (spec: vSR 7.1).

Answers are never shown here, and questions never told back. What changes something is a dry run
unless the request says otherwise, and is written down in a bounded audit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.gateway.api import ApiError, Endpoint, needs_text, parsed
from wayside.gateway.cache_rehearsal import Asked, Rehearsal
from wayside.gateway.cache_shapes import (
    Audit,
    Changed,
    Entry,
    FlushRequest,
    Gone,
    Health,
    InvalidateRequest,
    Stats,
    StoreHealth,
    StoreStats,
    Tested,
    TestPrompt,
    TestRequest,
)
from wayside.plugins.response_cache import ResponseCachePlugin
from wayside.runtime import Runtime
from wayside.settings.problems import suggest
from wayside.stores import Store, Stores
from wayside.telemetry.redaction import scrubbed
from wayside.vocab.errors import AskFailed, RequestError, WaysideError

AUDITED = 500
"""Entries of the audit; the oldest make room."""
ROOT = "/api/v1/response-cache"
_EVERY = "every cache that is in use"
_NAME = "x-wayside-operator"
"""A request header by which the command line says who runs it. Nobody checks it."""


class CacheApi:
    """Looks after the stores that the plugin ``response_cache`` uses under the policy in force."""

    def __init__(self, runtime: Runtime, stores: Callable[[], Stores]) -> None:
        """``stores`` are those in force: a reload replaces them."""
        self._runtime, self._stores = runtime, stores
        self._audit: deque[Entry] = deque(maxlen=AUDITED)

    def endpoints(self) -> list[Endpoint]:
        def get(name: str, handler: Any, summary: str, answer: Any) -> Endpoint:
            return Endpoint("GET", f"{ROOT}/{name}", handler, summary, answer=answer)

        asks: dict[str, Any] = {"text": "What is the capital of France?"}
        again = {"text": "What's the capital of France?"}
        return [
            get("capabilities", self._get_capabilities, "What its stores can do.", None),
            get("health", self._get_health, "How its stores are, and in which mode.", Health),
            get("stats", self._get_stats, "How much its stores hold.", Stats),
            get("audit", self._get_audit, "Who let answers go, and when.", Audit),
            Endpoint("POST", f"{ROOT}/test", self._post_test,
                     "Would two requests share an answer? No model is asked.",
                     body=TestRequest, answer=Tested, example={"first": asks, "second": again}),
            Endpoint("POST", f"{ROOT}/invalidate", self._post_invalidate,
                     "Let some answers go; a dry run unless told otherwise.",
                     body=InvalidateRequest, answer=Changed,
                     role="operator", deed="forget answers",
                     example={"selector": {"decision": "maths"}, "dry_run": True}),
            Endpoint("POST", f"{ROOT}/flush", self._post_flush,
                     "Let every answer go, those under way too.",
                     body=FlushRequest, answer=Changed, role="operator", deed="forget all answers",
                     example={"dry_run": True}),
        ]  # fmt: skip

    # reading

    async def _get_capabilities(self, _: HttpRequest) -> Response:
        rows = [
            {
                "store": name,
                "kind": self._stores().kind_of(name),
                "shared": store.shared,
                "capabilities": sorted(store.capabilities),
                "exact": True,
                "semantic": True,
                "mode": store.standing().mode,
            }
            for name, store in self.caches().items()
        ]
        done = {"invalidate": True, "flush": True, "dry_run": True, "audit": AUDITED}
        return JSONResponse({"stores": rows, **done})

    async def _get_health(self, _: HttpRequest) -> Response:
        rows: list[StoreHealth] = []
        for name, store in self.caches().items():
            now = store.standing()
            rows.append(
                {
                    "store": name,
                    "kind": self._stores().kind_of(name),
                    "mode": now.mode,
                    "healthy": now.ok,
                    "why": scrubbed(now.why),
                }
            )
        well = all(row["healthy"] for row in rows)
        answer: Health = {
            "status": "unused" if not rows else "healthy" if well else "degraded",
            "stores": rows,
        }
        return JSONResponse(answer)

    async def _get_stats(self, _: HttpRequest) -> Response:
        rows: list[StoreStats] = []
        for name, store in self.caches().items():
            row: StoreStats = {
                "store": name,
                "kind": self._stores().kind_of(name),
                "mode": store.standing().mode,
                "shared": store.shared,
                "answers": None,
                "counted_all": False,
                "bytes": None,
                "error": "",
            }
            try:
                held = await store.held()
                row["answers"], row["counted_all"] = held.answers, held.whole
                row["bytes"] = held.bytes
            except (OSError, WaysideError) as error:
                row["error"] = scrubbed(str(error))
            rows.append(row)
        total = sum(row["answers"] or 0 for row in rows)
        answer: Stats = {"stores": rows, "total_entries": total}
        return JSONResponse(answer)

    async def _get_audit(self, _: HttpRequest) -> Response:
        answer: Audit = {"entries": list(reversed(self._audit)), "kept": AUDITED}
        return JSONResponse(answer)

    # changing

    async def _post_invalidate(self, http: HttpRequest) -> Response:
        body = await parsed(http, InvalidateRequest)
        asked = body.selector.model_dump(exclude_defaults=True)
        if not asked:
            said = "selector: is empty; say which answers, or POST to /flush for all"
            raise ApiError(400, "INVALID_INPUT", said)
        if "question" in asked:
            asked["question"] = "(given)"
        which = body.selector.which()

        async def forget(store: Store) -> tuple[int, str]:
            return await store.forget(which, dry_run=body.dry_run), ""

        return await self._change(http, "invalidate", body.store, asked, body.dry_run, forget)

    async def _post_flush(self, http: HttpRequest) -> Response:
        body = await parsed(http, FlushRequest)
        if not body.dry_run and body.confirm != "flush":
            said = 'confirm: is missing; write "confirm": "flush", or "dry_run": true'
            raise ApiError(400, "INVALID_INPUT", said)

        async def flush(store: Store) -> tuple[int, str]:
            held = (await store.held()).answers
            return held, "" if body.dry_run else await store.flush()

        return await self._change(http, "flush", body.store, {}, body.dry_run, flush)

    async def _change(
        self,
        http: HttpRequest,
        action: str,
        store: str,
        selector: dict[str, Any],
        dry_run: bool,
        act: Callable[[Store], Awaitable[tuple[int, str]]],
    ) -> Response:
        rows: list[Gone] = []
        for name, held in self.caches(store).items():
            row: Gone = {
                "store": name,
                "shared": held.shared,
                "answers": 0,
                "epoch": "",
                "error": "",
            }
            try:
                row["answers"], row["epoch"] = await act(held)
            except (OSError, WaysideError) as error:
                row["error"] = scrubbed(str(error))
            rows.append(row)
        failed = [row for row in rows if row["error"]]
        total = sum(row["answers"] for row in rows)
        self._audit.append(
            {
                "at": round(time.time(), 3),
                "action": action,
                "by": _who(http),
                "stores": [row["store"] for row in rows],
                "selector": selector,
                "dry_run": dry_run,
                "answers": total,
                "errors": len(failed),
            }
        )
        if failed and len(failed) == len(rows):
            said = "; ".join(f"{row['store']}: {row['error']}" for row in failed)
            raise ApiError(503, "CACHE_UNAVAILABLE", said)
        answer: Changed = {"dry_run": dry_run, "answers": total, "stores": rows}
        return JSONResponse(answer)

    # trying

    async def _post_test(self, http: HttpRequest) -> Response:
        body = await parsed(http, TestRequest)
        policy = self._runtime.policy
        model = body.model or next(iter(policy.virtual), "auto")
        if model not in policy.virtual:
            said = suggest(model[:64], policy.virtual, "names that route")
            raise ApiError(400, "INVALID_ROUTING_MODEL", f"model: no {model[:64]!r}; {said}")
        rehearsal = Rehearsal(self._runtime)
        try:
            first = await rehearsal.go(_asked(body.first, model, "first"), keep=True)
            second = await rehearsal.go(_asked(body.second, model, "second"))
        except (RequestError, AskFailed) as error:
            raise ApiError(400, "INVALID_INPUT", str(error)) from None
        answer: Tested = {
            "shared": second.from_cache,
            "why": rehearsal.why(first, second),
            "similarity": None if rehearsal.similarity is None else round(rehearsal.similarity, 4),
            "first": {"decision": first.decision, "model": first.model, "cache": first.cache},
            "second": {"decision": second.decision, "model": second.model, "cache": second.cache},
        }
        return JSONResponse(answer)

    def caches(self, name: str = "") -> dict[str, Store]:
        """The stores that hold answers under the policy in force, or the one called ``name``."""
        used = {
            plugin.rule.store: None
            for recipe in self._runtime.policy.recipes.values()
            for plugins in recipe.plugins.values()
            for plugin in plugins
            if isinstance(plugin, ResponseCachePlugin)
        }
        if name:
            if name not in used:
                said = suggest(name[:64], tuple(used), _EVERY) if used else "none is in use"
                raise ApiError(400, "INVALID_INPUT", f"store: no cache {name[:64]!r}; {said}")
            used = {name: None}
        return {each: self._stores().store(each) for each in used}


def _asked(prompt: TestPrompt, model: str, key: str) -> Asked:
    if prompt.messages is not None:
        return Asked(prompt.messages, model, prompt.headers)
    needs_text(prompt.text, f"{key}.text")
    return Asked([{"role": "user", "content": prompt.text}], model, prompt.headers)


def _who(http: HttpRequest) -> str:
    """Where a request came from, and who it says it is from."""
    name = "".join(c for c in http.headers.get(_NAME, "")[:64] if c.isprintable())
    where = http.client.host if http.client else "this machine"
    return f"{name} at {where}" if name else where
