"""The management listener: classification API, health, metrics (spec: vSR 7.1).

Not the hot path, so it is a plain Starlette application with its own port, on loopback unless
told otherwise. Requests are answered by the same runtime as the data plane's.
"""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wayside import __version__
from wayside.catalog import catalog
from wayside.dialects import encode, openai_chat
from wayside.flow import Choice
from wayside.flow.report import PLURAL
from wayside.runtime import Runtime
from wayside.runtime.explain import explanation
from wayside.runtime.reload import ConfigState
from wayside.settings.problems import problems_from, suggest
from wayside.telemetry import Telemetry
from wayside.vocab.ask import Classify, Labels, ask
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.outcome import Request
from wayside.vocab.prompt import Prompt

MAX_BODY_BYTES = 2 << 20
MAX_BATCH = 100
GRACE_S = 2
"""What requests under way get when the process ends; nobody's answer depends on them."""
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
DOMAIN = "domain"
B = TypeVar("B", bound=BaseModel)
Handler = Callable[[HttpRequest], Awaitable[Response]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(_Body):
    """How much of an answer is wanted."""

    return_probabilities: bool = False
    confidence_threshold: float = Field(0.7, ge=0, le=1)
    include_explanation: bool = False
    evaluate_all_signals: bool = False
    trace: bool = False


class IntentRequest(_Body):
    """A text, or the messages of a conversation."""

    text: str = ""
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    model: str = ""
    metadata: dict[str, str] | None = None
    options: Options = Options()


class CombinedRequest(_Body):
    """Every classifier there is, over one text."""

    text: str
    intent_options: Options = Options()


class BatchRequest(_Body):
    """Up to 100 texts."""

    texts: list[str] = Field(min_length=1, max_length=MAX_BATCH)
    task_type: Literal["intent"] = "intent"
    options: Options = Options()


_BODIES: dict[str, type[BaseModel]] = {
    "/api/v1/classify/intent": IntentRequest,
    "/api/v1/classify/combined": CombinedRequest,
    "/api/v1/classify/batch": BatchRequest,
    "/api/v1/eval": IntentRequest,
    "/api/v1/routing/preview": IntentRequest,
}
_REFUSALS = {
    "400": "The request is wrong; the message names the key.",
    "413": "The body is too large.",
    "503": "A classifier did not answer.",
}
_TEXTS = {key: {"type": "string"} for key in ("code", "message", "timestamp")}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "object", "required": list(_TEXTS), "properties": _TEXTS},
    },
}


class ApiError(Exception):
    """Answered as ``{"error": {"code", "message", "timestamp"}}``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Management:
    """The handlers. ``ready`` says whether the data plane takes requests, and why not.

    They run on the data plane's event loop: whatever takes long gives way in between.
    """

    def __init__(
        self,
        runtime: Runtime,
        telemetry: Telemetry,
        state: ConfigState,
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        self._runtime, self._telemetry, self._state, self._ready = runtime, telemetry, state, ready
        self._started = time.time()

    def app(self) -> Starlette:
        routes = [
            Route(path, self._guarded(handler), methods=[method])
            for method, path, handler, _ in self._table()
        ]
        handlers: Mapping[Any, Any] = {HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers)

    def _table(self) -> list[tuple[str, str, Handler, str]]:
        return [
            ("GET", "/health", self.health, "The process is alive."),
            ("GET", "/ready", self.ready, "Requests are taken; and the state of the settings."),
            ("GET", "/startup-status", self.ready, "The same, under the name vSR gives it."),
            ("GET", "/metrics", self.metrics, "Prometheus text format."),
            ("GET", "/api/v1", self.index, "This list."),
            ("GET", "/openapi.json", self.openapi, "This API as OpenAPI 3.1."),
            ("GET", "/info/models", self.info_models, "The built-in classifiers."),
            ("GET", "/info/classifier", self.info_classifier, "What signals are configured."),
            ("GET", "/catalog", self.show_catalog, "Every kind, with its JSON Schema."),
            ("GET", "/v1/models", self.models, "The names to ask for, as on the data plane."),
            ("POST", "/api/v1/classify/intent", self.intent, "Domain, and where it would go."),
            ("POST", "/api/v1/classify/combined", self.combined, "Every classifier at once."),
            ("POST", "/api/v1/classify/batch", self.batch, "Up to 100 texts."),
            ("POST", "/api/v1/eval", self.evaluate, "The whole decision; ?trace=true explains."),
            ("POST", "/api/v1/routing/preview", self.evaluate, "The same, under its later name."),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: HttpRequest) -> Response:
            try:
                return await handler(request)
            except ApiError as error:
                return _error(error.status, error.code, str(error))
            except ClientDisconnect:
                return _error(400, "INVALID_INPUT", "the client left")
            except Exception as error:  # noqa: BLE001 - one bad request ends here, in JSON
                frame = traceback.extract_tb(error.__traceback__)[-1]
                self._telemetry.log(
                    "management failed",
                    level="error",
                    path=request.url.path,
                    error=type(error).__name__,  # its text may quote a prompt
                    at=f"{frame.filename}:{frame.lineno}",
                )
                return _error(500, "INTERNAL_ERROR", "this is a bug; the log says more")

        return guarded

    # health

    async def health(self, _: HttpRequest) -> Response:
        return JSONResponse({"status": "healthy", "service": "classification-api"})

    async def ready(self, _: HttpRequest) -> Response:
        body, status = self.readiness()
        return JSONResponse(body, status_code=status)

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
        return {
            "status": "ready" if ok else "starting",
            "service": "classification-api",
            "ready": ok,
            "phase": "serving" if ok else message.partition(":")[0],
            "message": message,
            "downloading_model": "",
            "pending_models": [],
            "ready_models": [DOMAIN],
            "total_models": 1,
            "config": config,
        }, (200 if ok else 503)

    async def metrics(self, _: HttpRequest) -> Response:
        return Response(
            self._telemetry.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    # what there is

    async def index(self, request: HttpRequest) -> Response:
        endpoints = [
            {"method": method, "path": path, "description": text}
            for method, path, _, text in self._table()
        ]
        return JSONResponse({"service": "wayside", "version": __version__, "endpoints": endpoints})

    async def openapi(self, _: HttpRequest) -> Response:
        schemas: dict[str, Any] = {"Error": _ERROR_SCHEMA}
        paths: dict[str, dict[str, Any]] = {}
        for method, path, _handler, text in self._table():
            name = path.strip("/").replace("/", "_").replace(".", "_").replace("-", "_")
            operation: dict[str, Any] = {
                "operationId": f"{method.lower()}_{name}",
                "summary": text,
                "responses": {"200": _answered("Done.", metrics=path == "/metrics")},
            }
            if path in ("/ready", "/startup-status"):
                operation["responses"]["503"] = _answered("Starting or draining.")
            if path in _BODIES:
                schemas |= _schemas(_BODIES[path])
                schema = {"$ref": f"#/components/schemas/{_BODIES[path].__name__}"}
                content = {"application/json": {"schema": schema}}
                operation["requestBody"] = {"required": True, "content": content}
                for status, why in _REFUSALS.items():
                    operation["responses"][status] = _answered(why, error=True)
            if self.evaluate == _handler:
                operation["parameters"] = [
                    {"name": "trace", "in": "query", "schema": {"type": "boolean"}}
                ]
            paths.setdefault(path, {})[method.lower()] = operation
        return JSONResponse(
            {
                "openapi": "3.1.0",
                "info": {"title": "wayside management API", "version": __version__},
                "paths": paths,
                "components": {"schemas": schemas},
            }
        )

    async def models(self, _: HttpRequest) -> Response:
        items = b",".join(self._runtime.policy.listing.values())
        body = b'{"object":"list","data":[' + items + b"]}"
        return Response(body, media_type="application/json")

    async def info_models(self, _: HttpRequest) -> Response:
        model = {"name": DOMAIN, "type": "domain_classification", "loaded": True, "built_in": True}
        system = {"version": __version__, "uptime_s": round(time.time() - self._started, 1)}
        return JSONResponse({"models": [model], "system": system})

    async def info_classifier(self, _: HttpRequest) -> Response:
        recipes = {
            name: {
                "signals": {kind: list(rules) for kind, (_, rules) in recipe.every_signal.items()},
                "decisions": [d.name for d in recipe.decider.decisions],
            }
            for name, recipe in self._runtime.policy.recipes.items()
        }
        return JSONResponse({"status": "active", "recipes": recipes})

    async def show_catalog(self, _: HttpRequest) -> Response:
        kinds = [
            {
                "family": kind.family,
                "name": kind.name,
                "summary": kind.summary,
                "stability": kind.stability,
                "schema": kind.settings.model_json_schema(),
            }
            for family in ("signal", "selector", "plugin")
            for kind in catalog.family(family)
        ]
        return JSONResponse({"kinds": kinds})

    # classification

    async def intent(self, http: HttpRequest) -> Response:
        body = await _parsed(http, IntentRequest)
        return JSONResponse(await self._intent(body))

    async def combined(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await _parsed(http, CombinedRequest)
        intent = await self._intent(IntentRequest(text=body.text, options=body.intent_options))
        return JSONResponse({"intent": intent, "processing_time_ms": _since(began)})

    async def batch(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await _parsed(http, BatchRequest)
        results: list[dict[str, Any]] = []
        for text in body.texts:
            await asyncio.sleep(0)  # requests of the data plane go first
            started = time.perf_counter()
            labels = await self._labels(text)
            best, confidence = labels[0]
            result: dict[str, Any] = {
                "category": best,
                "confidence": round(confidence, 4),
                "processing_time_ms": _since(started),
            }
            if body.options.return_probabilities:
                result["probabilities"] = {k: round(v, 6) for k, v in labels}
            results.append(result)
        low = [r for r in results if r["confidence"] < body.options.confidence_threshold]
        mean = sum(r["confidence"] for r in results) / len(results)
        return JSONResponse(
            {
                "results": results,
                "total_count": len(results),
                "processing_time_ms": _since(began),
                "statistics": {
                    "category_distribution": dict(Counter(r["category"] for r in results)),
                    "avg_confidence": round(mean, 4),
                    "low_confidence_count": len(low),
                },
            }
        )

    async def evaluate(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await _parsed(http, IntentRequest)
        prompt, choice = await self._choose(body)
        told = explanation(prompt, choice)
        chosen = next((d for d in told["decisions"] if d["chosen"]), None)
        answer: dict[str, Any] = {
            "original_text": prompt.question,
            "requested_model": prompt.model,
            "recipe": choice.recipe.name,
            "decision_result": {
                "decision_name": told["decision"] or "",
                "confidence": told["confidence"],
                "algorithm": choice.algorithm,
                "plugins": told["plugins"],
                "used_signals": sorted(str(r) for r in _refs(choice)),
                "matched_signals": _matched(choice),
                "unmatched_signals": sorted(
                    str(r) for r in _refs(choice) if not _held(choice, str(r))
                ),
            },
            "recommended_models": told["candidates"] or [told["model"]],
            "selected_model": told["model"],
            "selection_status": "selected" if chosen else "fallback",
            "selection_method": choice.algorithm,
            "selection_reason": told["why"],
            "routing_decision": told["decision"] or "default",
            "signal_confidences": {
                s["signal"]: s["confidence"] for s in told["signals"] if s["matched"]
            },
            "signal_values": {
                s["signal"]: s["value"] for s in told["signals"] if s["value"] is not None
            },
            "signal_errors": _errors(choice),
            "metrics": {"total_ms": _since(began)},
        }
        if body.options.trace or http.query_params.get("trace") == "true":
            answer["eval_trace"] = {"signals": told["signals"], "decisions": told["decisions"]}
        return JSONResponse(answer)

    async def _intent(self, body: IntentRequest) -> dict[str, Any]:
        began = time.perf_counter()
        prompt, choice = await self._choose(body)
        labels = await self._labels(prompt.question)
        best, confidence = labels[0]
        told = explanation(prompt, choice)
        if choice.recipe.decider.decisions:
            routing = told["decision"] or "default"
        elif confidence >= body.options.confidence_threshold:
            routing = "high_confidence_specialized"
        else:
            routing = "low_confidence_general"
        answer: dict[str, Any] = {
            "classification": {
                "category": best,
                "confidence": round(confidence, 4),
                "processing_time_ms": _since(began),
            },
            "recommended_model": told["lora"] or told["model"],
            "routing_decision": routing,
            "matched_signals": _matched(choice),
            "decision_result": {
                "decision_name": told["decision"] or "",
                "confidence": told["confidence"],
                "matched_rules": sorted(str(r) for r in _refs(choice) if _held(choice, str(r))),
            },
            "signal_errors": _errors(choice),
        }
        if body.options.return_probabilities:
            answer["probabilities"] = {k: round(v, 6) for k, v in labels}
        if body.options.include_explanation:
            answer["explanation"] = told["why"]
        if body.options.trace:
            answer["trace"] = {"signals": told["signals"], "decisions": told["decisions"]}
        return answer

    async def _labels(self, text: str) -> Labels:
        try:
            return await self._runtime.run(ask(Classify(text, DOMAIN)))
        except AskFailed as error:
            raise ApiError(503, "CLASSIFICATION_ERROR", str(error)) from None

    async def _choose(self, body: IntentRequest) -> tuple[Prompt, Choice]:
        messages = body.messages or ([{"role": "user", "content": body.text}] if body.text else [])
        if not messages:
            raise ApiError(400, "INVALID_INPUT", "text: is required (or messages)")
        chat: dict[str, Any] = {"model": body.model or self._auto(), "messages": messages}
        if body.tools is not None:
            chat["tools"] = body.tools
        if body.metadata is not None:
            chat["metadata"] = body.metadata
        self._refuse_concrete(chat["model"])
        request = Request("POST", openai_chat.PATH, {}, encode(chat))
        try:
            return await self._runtime.explain(
                request, every_signal=body.options.evaluate_all_signals
            )
        except RequestError as error:
            code = "CLASSIFICATION_ERROR" if error.status >= 500 else "INVALID_INPUT"
            raise ApiError(error.status, code, str(error)) from None

    def _refuse_concrete(self, model: str) -> None:
        policy = self._runtime.policy
        if model in policy.virtual:
            return
        names = ", ".join(policy.virtual)
        if model in policy.concrete:
            said = f"{model!r} goes straight through, nothing is decided; ask for one of: {names}"
        else:
            said = f"no model {model!r}; {suggest(model, policy.virtual, 'names that route')}"
        raise ApiError(400, "INVALID_ROUTING_MODEL", f"model: {said}")

    def _auto(self) -> str:
        return next(iter(self._runtime.policy.virtual), "auto")


async def serve_management(
    app: Starlette, address: str = "", port: int = 0, *, unix: str | None = None
) -> QuietServer:
    """Start serving; returns once it listens. Raises ``OSError`` where it cannot."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = QuietServer(config)
    await server.start(_bound(address, port, unix))
    return server


def _bound(address: str, port: int, unix: str | None) -> socket.socket:
    """Bound by us: where uvicorn cannot bind, it ends the process."""
    if unix is not None:
        family, where = socket.AF_UNIX, unix
    else:
        family, *_, where = socket.getaddrinfo(  # type: ignore[assignment]
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if unix is None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
    except OSError:
        found.close()
        raise
    return found


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to us, and starts before it is returned."""

    async def start(self, where: socket.socket) -> None:
        config = self.config
        if not config.loaded:
            config.load()
        self.lifespan = config.lifespan_class(config)
        await self.startup(sockets=[where])

    async def stop(self) -> None:
        self.should_exit = True
        await self.shutdown()


async def _http_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "INVALID_INPUT")
    answer = _error(error.status_code, code, f"{error.detail}; GET /api/v1 lists what there is")
    answer.headers.update(error.headers or {})
    return answer


def _error(status: int, code: str, message: str) -> JSONResponse:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    body = {"error": {"code": code, "message": message, "timestamp": stamp}}
    return JSONResponse(body, status_code=status)


async def _parsed(http: HttpRequest, model: type[B]) -> B:
    raw = bytearray()
    async for chunk in http.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise ApiError(413, "REQUEST_BODY_TOO_LARGE", f"more than {MAX_BODY_BYTES >> 20} MiB")
    try:
        return model.model_validate_json(bytes(raw))
    except ValidationError as error:
        found = problems_from(error, model)
        wrong_task = any(p.where == "task_type" for p in found)
        code = "INVALID_TASK_TYPE" if wrong_task else "INVALID_INPUT"
        raise ApiError(400, code, "; ".join(str(p) for p in found)) from None


def _answered(text: str, *, error: bool = False, metrics: bool = False) -> dict[str, Any]:
    """An OpenAPI response object."""
    if metrics:
        return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    schema = {"$ref": "#/components/schemas/Error"} if error else {"type": "object"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    inner: dict[str, Any] = schema.pop("$defs", {})
    return {**inner, model.__name__: schema}


def _matched(choice: Choice) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ref, verdict in choice.verdicts.items():
        if verdict.matched:
            found.setdefault(PLURAL.get(ref.kind, ref.kind), []).append(ref.name)
    return {kind: sorted(names) for kind, names in found.items()}


def _refs(choice: Choice) -> set[Any]:
    return {ref for d in choice.recipe.decider.decisions for ref in d.refs}


def _held(choice: Choice, ref: str) -> bool:
    return any(str(r) == ref and v.matched for r, v in choice.verdicts.items())


def _errors(choice: Choice) -> dict[str, str]:
    return {str(ref): v.because for ref, v in choice.verdicts.items() if v.unknown}


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
