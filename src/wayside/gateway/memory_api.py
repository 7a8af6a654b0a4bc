"""What is remembered of users: ``/v1/memory`` (spec: vSR 7.1), for the plugin ``memory``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.gateway.api import ApiError, Endpoint
from wayside.plugins.memory import MemoryPlugin, space_of
from wayside.runtime import Runtime
from wayside.vocab.ask import ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Contents, Passage, Unindex

MAX_LIMIT = 1000


class Told(TypedDict):
    id: str
    text: str
    created_at: float | None


class Memories(TypedDict):
    memories: list[Told]
    total: int


class Deleted(TypedDict):
    success: bool
    deleted: int


class MemoryApi:
    """One user at a time, whom the caller has to name: this listener is for operators."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def endpoints(self) -> list[Endpoint]:
        user = (
            ("user_id", "Whose memories; must be given."),
            ("tenant_id", "The user's tenant, where the proxy in front names tenants."),
        )
        limit = (("limit", f"At most so many, up to {MAX_LIMIT}."),)
        one, every = "/v1/memory/{id}", "/v1/memory"
        refused = (
            (400, "No user is named, or the limit is no such number."),
            (404, "No decision has the plugin memory, or there is no such memory."),
            (503, "The store does not answer."),
        )
        return [
            Endpoint("GET", every, self._list, "What is remembered of a user, the newest first.",
                     answer=Memories, query=(*user, *limit), refusals=refused),
            Endpoint("DELETE", every, self._forget, "Forget all of a user.",
                     role="operator", answer=Deleted, query=user, refusals=refused),
            Endpoint("GET", one, self._one, "One memory.",
                     answer=Told, query=user, refusals=refused),
            Endpoint("DELETE", one, self._forget_one, "Forget one memory.",
                     role="operator", answer=Deleted, query=user, refusals=refused),
        ]  # fmt: skip

    async def _list(self, http: HttpRequest) -> Response:
        said = http.query_params.get("limit", "100")
        if not (said.isascii() and said.isdigit() and 0 < int(said) <= MAX_LIMIT):
            raise ApiError(400, "INVALID_INPUT", f"limit: is not a number from 1 to {MAX_LIMIT}")
        found = await self._memories(http, int(said))
        return JSONResponse({"memories": [_told(p) for p in found], "total": len(found)})

    async def _one(self, http: HttpRequest) -> Response:
        key = http.path_params["id"]
        for passage in await self._memories(http, MAX_LIMIT):
            if passage.key == key:
                return JSONResponse(_told(passage))
        raise _unknown(key)

    async def _forget(self, http: HttpRequest) -> Response:
        space = _space(http)
        gone = [await self._ask(Unindex(store, space)) for store in self._stores()]
        return JSONResponse({"success": True, "deleted": sum(gone)})

    async def _forget_one(self, http: HttpRequest) -> Response:
        space, key = _space(http), http.path_params["id"]
        gone = [await self._ask(Unindex(store, space, key)) for store in self._stores()]
        if not any(gone):
            raise _unknown(key)
        return JSONResponse({"success": True, "deleted": sum(gone)})

    async def _memories(self, http: HttpRequest, limit: int) -> list[Passage]:
        space = _space(http)
        found: list[Passage] = []
        for store in self._stores():
            found += await self._ask(Contents(store, space, limit))
        return found[:limit]

    def _stores(self) -> list[str]:
        """The stores that hold memories under the policy in force."""
        found = {
            plugin.rule.store: None
            for recipe in self._runtime.policy.recipes.values()
            for plugins in recipe.plugins.values()
            for plugin in plugins
            if isinstance(plugin, MemoryPlugin)
        }
        if not found:
            raise ApiError(
                404, "MEMORY_NOT_AVAILABLE", "no decision has the plugin memory: nothing is kept"
            )
        return list(found)

    async def _ask(self, question: Any) -> Any:
        try:
            return await self._runtime.run(ask(question))
        except AskFailed as failed:
            said = f"the store gives no answer: {failed}"
            raise ApiError(503, "MEMORY_NOT_AVAILABLE", said) from None


def _space(http: HttpRequest) -> str:
    user = http.query_params.get("user_id", "")
    if not user:
        raise ApiError(400, "MISSING_USER_ID", "user_id: is missing; say whose memories")
    return space_of(user, http.query_params.get("tenant_id", ""))


def _told(passage: Passage) -> Told:
    at = passage.metadata.get("at")
    created = float(at) if isinstance(at, int | float) else None
    return {"id": passage.key, "text": passage.text, "created_at": created}


def _unknown(key: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", f"this user has no memory {key[:64]!r}")
