"""Passages for the plugin ``rag``: take them in, show them, forget them."""

from __future__ import annotations

from typing import Any, cast

from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.gateway.api import ApiError, Body, Endpoint, at_most, needs_text, parsed
from wayside.runtime import Runtime
from wayside.vocab.ask import Embed, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Contents, Index, Unindex

MAX_LIMIT = 1000
_PATH = "/api/v1/passages"
_OF_MEMORIES = "memory"
"""The collection in which the plugin `memory` keeps what belongs to users."""


class PassageBody(Body):
    """One passage."""

    key: str = Field(min_length=1, max_length=256)
    """Unique in its collection; another with the same key takes its place."""
    text: str
    """What is found, and told to the model."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """``source``, ``title`` or ``url`` is told to the model with the text."""


class PassagesRequest(Body):
    """Passages for one collection."""

    store: str = "memory"
    """A store that takes passages."""
    collection: str = Field("documents", min_length=1, max_length=256)
    """As the plugin's ``collection``."""
    engine: str = "embedding"
    """Embeds the passages; the plugin has to name the same."""
    ttl_s: float | None = Field(None, gt=0)
    """How long they are kept."""
    passages: list[PassageBody] = Field(min_length=1)
    """``management.max_batch_size`` at most."""


class Taken(TypedDict):
    indexed: int
    store: str
    collection: str


class Shown(TypedDict):
    passages: list[dict[str, Any]]
    count: int


class PassagesApi:
    """Writes to any store that takes passages, through the engines of the policy in force."""

    def __init__(self, runtime: Runtime, most: int) -> None:
        self._runtime, self._most = runtime, most

    def endpoints(self) -> list[Endpoint]:
        where = (
            ("store", "A store that takes passages; `memory` where absent."),
            ("collection", "As the plugin's `collection`; `documents` where absent."),
        )
        limit = (("limit", f"At most so many, up to {MAX_LIMIT}."),)
        refused = (
            (400, "Nothing a collection can be asked."),
            (503, "The store does not answer."),
        )
        key = (("key", "Only the passage with this key."),)
        example = {"passages": [{"key": "p1", "text": "Travel is paid by train."}]}
        return [
            Endpoint("POST", _PATH, self._post, "Take passages in.", body=PassagesRequest,
                     role="operator", answer=Taken, example=example, refusals=refused),
            Endpoint("GET", _PATH, self._get, "What a collection holds, the newest first.",
                     answer=Shown, query=(*where, *limit), refusals=refused),
            Endpoint("DELETE", _PATH, self._delete, "Forget passages.", query=(*where, *key),
                     role="operator", refusals=refused),
        ]  # fmt: skip

    async def _post(self, http: HttpRequest) -> Response:
        body = await parsed(http, PassagesRequest)
        at_most(body.passages, self._most, "passages")
        for i, passage in enumerate(body.passages):
            needs_text(passage.text, f"passages[{i}].text")
        collection = _collection(body.collection)
        texts = tuple(passage.text for passage in body.passages)
        vectors = await self._ask(Embed(texts, body.engine))
        for passage, vector in zip(body.passages, vectors, strict=True):
            await self._ask(
                Index(body.store, collection, passage.key, passage.text, vector,
                      passage.metadata, body.ttl_s)
            )  # fmt: skip
        told: Taken = {"indexed": len(texts), "store": body.store, "collection": collection}
        return JSONResponse(told)

    async def _get(self, http: HttpRequest) -> Response:
        store, collection = _where(http)
        said = http.query_params.get("limit", "20")
        if not (said.isascii() and said.isdigit() and 0 < int(said) <= MAX_LIMIT):
            raise ApiError(400, "INVALID_INPUT", f"limit: is not a number from 1 to {MAX_LIMIT}")
        found = await self._ask(Contents(store, collection, int(said)))
        passages = [{"key": p.key, "text": p.text, "metadata": p.metadata} for p in found]
        told: Shown = {"passages": passages, "count": len(passages)}
        return JSONResponse(told)

    async def _delete(self, http: HttpRequest) -> Response:
        store, collection = _where(http)
        key = http.query_params.get("key", "")
        gone = cast(int, await self._ask(Unindex(store, collection, key)))
        return JSONResponse({"success": True, "deleted": gone})

    async def _ask(self, question: Any) -> Any:
        try:
            return await self._runtime.run(ask(question))
        except AskFailed as failed:
            raise ApiError(503, "VECTOR_STORE_UNAVAILABLE", str(failed)) from None


def _where(http: HttpRequest) -> tuple[str, str]:
    query = http.query_params
    return query.get("store", "memory"), _collection(query.get("collection", "documents"))


def _collection(name: str) -> str:
    """A collection that is not made of parts: those belong to users."""
    if "/" in name or name == _OF_MEMORIES:
        raise ApiError(
            400, "INVALID_INPUT", "collection: what belongs to users is under /v1/memory"
        )
    return name
