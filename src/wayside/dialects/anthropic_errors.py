"""Errors in Anthropic's shape, and what they are in OpenAI's.

Source: Anthropic's page on API errors, and what version 2.12 of its Python SDK raises for each
status. Neither API's code says all that the other's does, so the status goes through as it is and
the type follows from it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, decode, encode
from wayside.vocab.errors import RequestError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI: dict[str, tuple[str, str | None]] = {
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "permission_error": ("permission_error", "model_not_allowed"),
    "not_found_error": ("invalid_request_error", "model_not_found"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "timeout_error": ("server_error", "upstream_timeout"),
    "api_error": ("server_error", "upstream_error"),
    "overloaded_error": ("service_unavailable_error", "server_is_overloaded"),
}
"""OpenAI's type and code by Anthropic's type."""
_STATUS = {"api_error": 500, **{kind: status for status, kind in _TYPES.items()}}
_BY_OPENAI_TYPE = {
    "rate_limit_error": "rate_limit_error",
    "rate_limit_exceeded": "rate_limit_error",
    "insufficient_quota": "rate_limit_error",
    "permission_error": "permission_error",
    "invalid_request_error": "invalid_request_error",
    "service_unavailable_error": "overloaded_error",
}
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_TOO_LONG = "prompt is too long"
"""How the API begins to say so; it has no type of its own for it."""
_NO_MESSAGE = "The model's server answered with an error that says nothing more."


def error_type(status: int) -> str:
    """Anthropic's type for a status."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def body(kind: str, message: str, request_id: str) -> bytes:
    """Anthropic's error object."""
    detail = {"type": kind, "message": message}
    return encode({"type": "error", "error": detail, "request_id": request_id or None})


def event(kind: str, message: str, request_id: str) -> bytes:
    """The event that ends a stream which cannot go on."""
    return b"event: error\ndata: " + body(kind, message, request_id) + b"\n\n"


def of_request(error: RequestError, request_id: str) -> bytes:
    """An error of our own, as a whole answer. The field at fault is named in the message, as
    there is no other place for it."""
    message = str(error)
    if error.param and error.param not in message:
        message = f"{error.param}: {message}"
    return body(error_type(error.status), message, request_id)


def from_openai(status: int, raw: bytes, request_id: str) -> bytes:
    """An error of a server that speaks OpenAI's API, in Anthropic's shape."""
    return body(error_type(status), _detail(raw)[0], request_id)


def event_from_openai(error: Any, request_id: str) -> bytes:
    """An error inside a stream of OpenAI's API, as Anthropic's event."""
    detail = error if isinstance(error, dict) else {}
    kind = _BY_OPENAI_TYPE.get(str(detail.get("type")), "api_error")
    return event(kind, _message(error), request_id)


def to_openai(raw: bytes, status: int) -> bytes:
    """An error of a server that speaks Anthropic's API, in OpenAI's shape."""
    message, kind = _detail(raw)
    return encode({"error": openai_detail(message, kind or error_type(status))})


def openai_detail(message: str, kind: str) -> dict[str, Any]:
    """What stands in OpenAI's error object for Anthropic's type ``kind``."""
    said, code = _OPENAI.get(kind, ("server_error", "upstream_error"))
    if kind == "invalid_request_error" and _TOO_LONG in message:
        code = "context_length_exceeded"
    return {"message": message, "type": said, "param": None, "code": code}


def status_of(kind: str) -> int:
    """The status that goes with Anthropic's type ``kind``."""
    return _STATUS.get(kind, 500)


def _detail(raw: bytes) -> tuple[str, str]:
    """The message and the type of an error in anybody's shape; a page of HTML has neither."""
    try:
        said, _ = decode(_decoder, raw)
    except UNREADABLE:
        return _NO_MESSAGE, ""
    error = said.get("error", said) if isinstance(said, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return _message(error), kind if isinstance(kind, str) else ""


def _message(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail")
    return error if isinstance(error, str) and error else _NO_MESSAGE
