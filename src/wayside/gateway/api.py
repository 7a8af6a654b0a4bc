"""What the endpoints of the management API share: how one is declared, read and refused."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.settings.described import Described
from wayside.settings.problems import problems_from
from wayside.telemetry.redaction import scrubbed as scrubbed
from wayside.vocab.access import Caller

MAX_BODY_BYTES = 2 << 20
CALLER = "wayside.caller"
"""In a scope of ASGI: who asks, where a gate has let them in."""
Role = Literal["viewer", "operator", "admin"]
"""Who sees; who changes what is configured and remembered; who decides about other people."""
Handler = Callable[[HttpRequest], Awaitable[Response]]
B = TypeVar("B", bound=BaseModel)


class Body(Described):
    """Base of every request body: unknown keys are errors, so that a slip is not a default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path with one method, and what is to be known about it.

    ``also`` is the path that later versions of vSR give it. ``answer`` is the typed dictionary of
    a 200, ``query`` the parameters with their meaning, ``headers`` the request headers it needs,
    ``refusals`` the errors beside the usual ones. ``unready`` ones answer 503 with the same body
    as 200. ``role`` is the least that somebody has to be who asks for it in the console,
    ``deed`` what its audit says that they did.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    also: str = ""
    body: type[BaseModel] | None = None
    answer: Any = None
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    refusals: tuple[tuple[int, str], ...] = ()
    example: Mapping[str, Any] | None = None
    media: str = "application/json"
    unready: bool = False
    role: Role = "viewer"
    deed: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, self.also) if self.also else (self.path,)


class ApiError(Exception):
    """Answered as ``{"error": {"code", "message", "timestamp"}}``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def error_answer(status: int, code: str, message: str) -> JSONResponse:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    body = {"error": {"code": code, "message": scrubbed(message), "timestamp": stamp}}
    return JSONResponse(body, status_code=status)


def caller_of(http: HttpRequest) -> Caller | None:
    """Who asks; ``None`` on the management listener, where operators are."""
    found: Caller | None = http.scope.get(CALLER)
    return found


async def raw_body(http: HttpRequest) -> bytes:
    """The request's body as it came; :class:`ApiError` for one that is too large, or packed."""
    encoding = http.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "content-encoding: send it as plain JSON")
    raw = bytearray()
    async for chunk in http.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise ApiError(413, "REQUEST_BODY_TOO_LARGE", f"more than {MAX_BODY_BYTES >> 20} MiB")
    return bytes(raw)


async def parsed(http: HttpRequest, model: type[B]) -> B:
    """The request's body as ``model``; :class:`ApiError` says which key is wrong, never its value,
    which may be a prompt. Nothing is unpacked."""
    raw = await raw_body(http)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = problems_from(error, model, repeat=False)
        wrong_task = any(p.where == "task_type" for p in found)
        code = "INVALID_TASK_TYPE" if wrong_task else "INVALID_INPUT"
        raise ApiError(400, code, "; ".join(map(str, found))) from None


def needs_text(text: str, key: str = "text") -> str:
    """``text`` unless there is nothing in it."""
    if not text.strip():
        raise ApiError(400, "INVALID_INPUT", f"{key}: is empty; give it some text")
    return text


def at_most(items: Sequence[Any], most: int, key: str) -> None:
    """Refuse a list that is longer than the settings allow."""
    if len(items) > most:
        said = f"{key}: at most {most} (management.max_batch_size), got {len(items)}"
        raise ApiError(400, "INVALID_INPUT", said)


def since(began: float) -> float:
    """Milliseconds since ``began``, a reading of ``time.perf_counter``."""
    return round((time.perf_counter() - began) * 1000, 3)
