"""A request the simulator will not serve, and how vLLM and OpenAI would word that.

Shapes: vLLM's `ErrorResponse` (vllm/entrypoints/openai/protocol.py, 0.10 and later) and the
OpenAI API reference, "Error codes".
"""

import json
from http import HTTPStatus

_VLLM_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}
_OPENAI_CODES = {429: "rate_limit_exceeded"}


class Refusal(Exception):
    """An error answer: `status`, a message for people, and what OpenAI calls `param`, `code`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s


def vllm_error(refusal: Refusal) -> bytes:
    """The refusal as vLLM writes it."""
    if refusal.status == 401:
        return b'{"error": "Unauthorized"}'
    error = {
        "message": refusal.message,
        "type": _VLLM_TYPES.get(refusal.status) or phrase(refusal.status).replace(" ", ""),
        "param": refusal.param,
        "code": refusal.status,
    }
    return json.dumps({"error": error}).encode()


def openai_error(refusal: Refusal) -> bytes:
    """The refusal as OpenAI writes it."""
    error = {
        "message": refusal.message,
        "type": _openai_type(refusal.status),
        "param": refusal.param,
        "code": refusal.code or _OPENAI_CODES.get(refusal.status),
    }
    return json.dumps({"error": error}, indent=4).encode()


def phrase(status: int) -> str:
    """The reason phrase of an HTTP status, or `Error` for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _openai_type(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"
