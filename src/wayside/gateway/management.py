"""The management API: health, metrics, inventories, and the tables of what else it serves.

Not the hot path, so it is a plain Starlette application with its own port, on loopback unless
told otherwise. Requests are answered by the same runtime as the data plane's.
"""

from __future__ import annotations

import asyncio
import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wayside import __version__
from wayside.engines import Engines
from wayside.flow import rights
from wayside.flow.report import PLURAL
from wayside.gateway.api import ApiError, Endpoint, Handler, caller_of, error_answer
from wayside.gateway.cache_api import CacheApi
from wayside.gateway.catalog_api import CatalogApi
from wayside.gateway.classify_api import ClassifyApi
from wayside.gateway.embeddings_api import EmbeddingsApi
from wayside.gateway.heads import Heads
from wayside.gateway.memory_api import MemoryApi
from wayside.gateway.openapi import PAGE_POLICY, document, page
from wayside.gateway.outcomes_api import OutcomesApi
from wayside.gateway.passages_api import PassagesApi
from wayside.gateway.replay_api import ReplayApi
from wayside.gateway.routing_api import RoutingApi
from wayside.runtime import Runtime
from wayside.runtime.experience import Experience
from wayside.runtime.reload import ConfigState
from wayside.settings import ManagementSettings
from wayside.stores import Stores
from wayside.telemetry import Telemetry
from wayside.telemetry.metrics import Counter

_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
Part = Literal["all", "clients", "metrics"]
"""All of it: whoever reaches that can read what others asked, and empty caches, so it stays on
loopback. ``clients``: what those may see who may also ask models. ``metrics``: for Prometheus and
probes."""
CLIENTS: Final = frozenset(
    ("/health", "/ready", "/startup-status", "/info/models", "/info/classifier", "/v1/models")
)
"""For clients, beside the endpoints that read a text which they are given."""
METRICS: Final = frozenset(("/metrics", "/health", "/ready", "/info/config"))
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Management:
    """The application. ``ready`` says whether the data plane takes requests, and why not.

    Its handlers run on the data plane's event loop: whatever takes long gives way in between.
    """

    def __init__(
        self,
        runtime: Runtime,
        telemetry: Telemetry,
        state: ConfigState,
        ready: Callable[[], tuple[bool, str]],
        *,
        engines: Callable[[], Engines | None] = lambda: None,
        settings: ManagementSettings | None = None,
        experience: Experience | None = None,
        stores: Callable[[], Stores] = Stores,
        more: Sequence[Endpoint] = (),
    ) -> None:
        """``engines`` and ``stores`` are those in force: a reload replaces them. ``more``: further
        endpoints of all of it."""
        self._runtime, self._telemetry, self._state, self._ready = runtime, telemetry, state, ready
        self._started = time.time()
        most = (settings or ManagementSettings()).max_batch_size
        self.heads = self._heads = Heads(runtime, telemetry.metrics, engines)
        self.console: Callable[[], Sequence[BaseRoute]] = list
        """Routes of the console, in all of it alone."""
        routing = RoutingApi(runtime, self._heads)
        reading = [
            *routing.endpoints(),
            *ClassifyApi(self._heads, routing, most).endpoints(),
            *EmbeddingsApi(self._heads, most).endpoints(),
        ]
        own = self._own()
        self._parts: dict[Part, list[Endpoint]] = {"all": [], "clients": [], "metrics": []}
        self._parts["clients"] = [
            *self._described("clients"),
            *[self._brief(e) for e in own if e.path in CLIENTS],
            *reading,
        ]
        self._parts["metrics"] = [e for e in own if e.path in METRICS]
        self._parts["all"] = [
            *self._described("all"),
            *own,
            *reading,
            *ReplayApi(runtime, lambda: telemetry.prices).endpoints(),
            *MemoryApi(runtime).endpoints(),
            *PassagesApi(runtime, most).endpoints(),
            *CacheApi(runtime, stores).endpoints(),
            *OutcomesApi(runtime, experience or Experience()).endpoints(),
            *more,
        ]

    def app(self, part: Part = "all") -> Starlette:
        """The application, or a part of it: each on a listener of its own."""
        routes: list[BaseRoute] = [
            Route(path, endpoint.handler, methods=[endpoint.method])
            for endpoint in self.endpoints(part)
            for path in endpoint.paths
        ]
        if part == "all":
            routes = [*routes, *self.console()]
        handlers: Mapping[Any, Any] = {HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers)

    def endpoints(self, part: Part) -> list[Endpoint]:
        """What a part has. Their handlers answer whatever goes wrong, too."""
        return [replace(e, handler=self._guarded(e.handler)) for e in self._parts[part]]

    def _described(self, part: Part) -> list[Endpoint]:
        """The pages that tell what else there is in this part."""
        narrowed = (
            ("path", "Only what is under this path."),
            ("method", "Only this method."),
        )

        async def index(_: HttpRequest) -> Response:
            return _index(self._parts[part])

        # Each takes a tenth of a second, for which requests would wait: so they are made in a
        # thread, one at a time, and what everybody asks for is made once.
        making, made = asyncio.Lock(), dict[str, Response]()

        async def openapi(http: HttpRequest) -> Response:
            async with making:
                if http.query_params:
                    return await asyncio.to_thread(_openapi, self._parts[part], http)
                if "openapi" not in made:
                    made["openapi"] = await asyncio.to_thread(_openapi, self._parts[part], http)
                return made["openapi"]

        async def docs(_: HttpRequest) -> Response:
            headers = {"content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff"}
            async with making:
                if "docs" not in made:
                    text = await asyncio.to_thread(page, self._parts[part])
                    made["docs"] = HTMLResponse(text, headers=headers)
                return made["docs"]

        return [
            Endpoint("GET", "/api/v1", index, "This list."),
            Endpoint(
                "GET",
                "/openapi.json",
                openapi,
                "This API as OpenAPI 3.1.",
                query=narrowed,
                refusals=((404, "Nothing is under this path, or takes this method."),),
            ),
            Endpoint("GET", "/docs", docs, "This API as a page, to try it.", media="text/html"),
        ]

    def _brief(self, endpoint: Endpoint) -> Endpoint:
        """For clients: readiness without what is known of the configuration."""
        return replace(endpoint, handler=self.ready_or_not) if endpoint.unready else endpoint

    def _own(self) -> list[Endpoint]:
        inventory = "/api/v1/inventory"

        def get(path: str, handler: Handler, summary: str, **more: Any) -> Endpoint:
            return Endpoint("GET", path, handler, summary, **more)

        return [
            get("/health", self.health, "The process is alive."),
            get(
                "/ready",
                self.ready,
                "Requests are taken; and the state of the settings.",
                unready=True,
            ),
            get(
                "/startup-status",
                self.ready,
                "The same, under the name vSR gives it.",
                unready=True,
            ),
            get("/metrics", self.metrics, "Prometheus text format.", media="text/plain"),
            get(
                "/metrics/classification",
                self.classification_metrics,
                "How often each model was asked here, and how long it took.",
                also="/api/v1/observability/classification-metrics",
            ),
            get(
                "/info/models",
                self.info_models,
                "The models that read prompts.",
                also=f"{inventory}/models",
            ),
            get(
                "/info/classifier",
                self.info_classifier,
                "What signals and decisions are configured.",
                also=f"{inventory}/classifier",
            ),
            get("/info/config", self.config, "Which configuration is in force."),
            *CatalogApi().endpoints(),
            get("/v1/models", self.models, "The names to ask for, as on the data plane."),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: HttpRequest) -> Response:
            try:
                own_page(request)
                return await handler(request)
            except ApiError as error:
                return error_answer(error.status, error.code, str(error))
            except ClientDisconnect:
                return error_answer(400, "INVALID_INPUT", "the client left")
            except Exception as error:  # noqa: BLE001 - one bad request ends here, in JSON
                frame = traceback.extract_tb(error.__traceback__)[-1]
                self._telemetry.log(
                    "management failed",
                    level="error",
                    path=request.url.path,
                    error=type(error).__name__,  # its text may quote a prompt
                    at=f"{frame.filename}:{frame.lineno}",
                )
                return error_answer(500, "INTERNAL_ERROR", "this is a bug; the log says more")

        return guarded

    # health

    async def health(self, _: HttpRequest) -> Response:
        return JSONResponse({"status": "healthy", "service": "classification-api"})

    async def ready(self, _: HttpRequest) -> Response:
        body, status = self.readiness()
        return JSONResponse(body, status_code=status)

    async def ready_or_not(self, _: HttpRequest) -> Response:
        body, status = self.readiness()
        del body["config"]
        return JSONResponse(body, status_code=status)

    async def config(self, _: HttpRequest) -> Response:
        """The same from every process that has the same file, so that it can be compared.
        ``applied`` ends where the newest file was refused, or part of it waits for a restart."""
        state = self._state
        return JSONResponse(
            {
                "digest": state.digest,
                "applied": not state.error and not state.needs_restart,
                "refused": bool(state.error),
                "needs_restart": list(state.needs_restart),
            }
        )

    def readiness(self) -> tuple[dict[str, Any], int]:
        """Readiness as the probes see it. A refused configuration does not make it unready."""
        ok, message = self._ready()
        state = self._state
        config: dict[str, Any] = {
            "path": state.path,
            "digest": state.digest,
            "generation": state.generation,
            "loaded_at": state.loaded_at,
            "error": state.error or None,
            "refused": state.refused,
            "needs_restart": list(state.needs_restart),
        }
        loaded = [s.name for s in self._heads.stock() if s.loaded]
        pending = sorted(self._runtime.policy.engines - set(loaded))
        return {
            "status": "ready" if ok else "starting",
            "service": "classification-api",
            "ready": ok,
            "phase": "serving" if ok else message.partition(":")[0],
            "message": message,
            "downloading_model": "",
            "pending_models": pending,
            "ready_models": loaded,
            "total_models": len(loaded) + len(pending),
            "config": config,
        }, (200 if ok else 503)

    async def metrics(self, http: HttpRequest) -> Response:
        page, kind = self._telemetry.metrics.page(http.headers.get("accept", ""))
        return Response(page, media_type=kind)

    async def classification_metrics(self, _: HttpRequest) -> Response:
        """``heads`` counts questions of this API alone, ``signal_matches`` those of traffic."""
        recipes = self._runtime.policy.recipes.values()
        counts: dict[str, int] = {}
        for recipe in recipes:
            for kind, (_signal, rules) in recipe.every_signal.items():
                plural = PLURAL.get(kind, kind)
                counts[plural] = counts.get(plural, 0) + len(rules)
        matches: dict[str, int] = {}
        for metric in self._telemetry.metrics.declared():
            if isinstance(metric, Counter) and metric.name == "wayside_signal_matches_total":
                matches = {":".join(ref): int(n) for ref, n in metric.values.items()}
        return JSONResponse(
            {
                "heads": self._heads.told(),
                "signal_matches": matches,
                "signal_counts": counts,
                "decision_count": sum(len(r.decider.decisions) for r in recipes),
            }
        )

    # what there is

    async def models(self, http: HttpRequest) -> Response:
        items = b",".join(rights.listing(self._runtime.policy, caller_of(http)).values())
        body = b'{"object":"list","data":[' + items + b"]}"
        return Response(body, media_type="application/json")

    async def info_models(self, _: HttpRequest) -> Response:
        stock = self._heads.stock()
        models = [
            {
                "name": known.name,
                "type": "_".join(sorted(known.tasks)),
                "kind": known.kind,
                "built_in": known.kind == "built_in",
                "loaded": known.loaded,
                "state": "loaded" if known.loaded else "loaded on first use",
                "in_use": known.name in self._runtime.policy.engines,
                "categories": list(known.labels),
                "description": known.summary,
            }
            for known in stock
        ]
        ok, message = self._ready()
        loaded = sum(known.loaded for known in stock)
        system = {
            "version": __version__,
            "python": platform.python_version(),
            "architecture": platform.machine(),
            "os": platform.system().lower(),
            "uptime_s": round(time.time() - self._started, 1),
        }
        summary = {
            "ready": ok,
            "message": message,
            "loaded_models": loaded,
            "total_models": len(stock),
        }
        return JSONResponse({"models": models, "summary": summary, "system": system})

    async def info_classifier(self, _: HttpRequest) -> Response:
        recipes = {
            name: {
                "signals": {kind: list(rules) for kind, (_, rules) in recipe.every_signal.items()},
                "decisions": [d.name for d in recipe.decider.decisions],
            }
            for name, recipe in self._runtime.policy.recipes.items()
        }
        engines = sorted(self._runtime.policy.engines)
        return JSONResponse({"status": "active", "engines": engines, "recipes": recipes})


def own_page(http: HttpRequest) -> None:
    """Raises :class:`ApiError` for a change that another site's page sends: no key protects this
    listener, and a browser on the same machine reaches it."""
    origin = http.headers.get("origin")
    if origin is None or http.method in ("GET", "HEAD"):
        return
    if origin.partition("://")[2] != http.headers.get("host", ""):
        raise ApiError(403, "FOREIGN_ORIGIN", "sent by a page of another site")


def _index(endpoints: list[Endpoint]) -> Response:
    listed = [
        {"method": e.method, "path": path, "description": e.summary}
        for e in endpoints
        for path in e.paths
    ]
    return JSONResponse(
        {
            "service": "wayside",
            "version": __version__,
            "endpoints": listed,
            "links": {"openapi": "/openapi.json", "docs": "/docs"},
        }
    )


def _openapi(endpoints: list[Endpoint], http: HttpRequest) -> Response:
    path, method = http.query_params.get("path", ""), http.query_params.get("method", "")
    found = document(endpoints, path, method)
    if not found["paths"]:
        asked = " ".join(filter(None, [method, path]))[:200]
        raise ApiError(404, "NOT_FOUND", f"no operation {asked}; GET /api/v1 lists them")
    return JSONResponse(found)


async def _http_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "INVALID_INPUT")
    said = f"{error.detail}; GET /api/v1 lists what there is"
    answer = error_answer(error.status_code, code, said)
    answer.headers.update(error.headers or {})
    return answer
