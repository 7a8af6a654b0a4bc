"""``GET /catalog``: every kind with its JSON Schema, and the schema of a whole configuration."""

from __future__ import annotations

import asyncio
import json
from functools import cache

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.catalog import catalog
from wayside.gateway.api import Endpoint
from wayside.settings import RouterSettings
from wayside.settings.schema import full_schema

_FAMILIES = ("signal", "selector", "plugin", "engine", "store")


class CatalogApi:
    """Forms are drawn from it. Kinds do not change while a process runs, and making it takes two
    seconds of a core: so it is made once, when somebody asks, beside the event loop."""

    def __init__(self) -> None:
        self._making = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("GET", "/catalog", self._shown, "Every kind, with its JSON Schema.")]

    async def _shown(self, _: HttpRequest) -> Response:
        async with self._making:
            whole = await asyncio.to_thread(_whole)
        return Response(whole, media_type="application/json")


@cache
def _whole() -> bytes:
    kinds = [
        {
            "family": kind.family,
            "name": kind.name,
            "summary": kind.summary,
            "stability": kind.stability,
            "schema": kind.settings.model_json_schema(),
        }
        for family in _FAMILIES
        for kind in catalog.family(family)  # type: ignore[arg-type]
    ]
    whole = {"kinds": kinds, "configuration": full_schema(RouterSettings, catalog)}
    return json.dumps(whole, separators=(",", ":")).encode()
