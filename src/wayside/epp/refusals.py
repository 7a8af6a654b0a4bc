"""Why a request is not sent anywhere, in the words and with the statuses that clients know."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from wayside.epp.headers import DROPPED
from wayside.extproc import wire

Code = Literal[
    "BadRequest", "Unauthorized", "Forbidden", "NotFound", "PreconditionFailed",
    "ResourceExhausted", "Internal", "ServiceUnavailable",
]  # fmt: skip

STATUS: Final[dict[str, int]] = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "PreconditionFailed": 412,
    "ResourceExhausted": 429,
    "Internal": 500,
    "ServiceUnavailable": 503,
}

SATURATED: Final = "rejected-saturated"
NO_ENDPOINTS: Final = "rejected-no-endpoints"
TTL_EXPIRED: Final = "rejected-ttl-expired"
CANCELLED: Final = "rejected-context-cancelled"
SHUTTING_DOWN: Final = "rejected-shutting-down"


class Refusal(msgspec.Struct, frozen=True):
    """``dropped`` is the machine's reason, where the request was dropped and not wrong."""

    code: Code
    message: str
    dropped: str = ""

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def text(self) -> str:
        """The body that the client gets."""
        return f"inference error: {self.code} - {self.message}"

    def reply(self) -> wire.Message:
        """The ImmediateResponse."""
        pairs = [(DROPPED, self.dropped)] if self.dropped else []
        details = f"wayside_epp_{self.dropped or self.code}".replace("-", "_").lower()
        return wire.immediate(self.status, wire.mutation(pairs), self.text.encode(), details)


NO_PODS: Final = Refusal("Internal", "no pods available in datastore")
NO_CANDIDATES: Final = Refusal(
    "ServiceUnavailable",
    "failed to find endpoint candidates for serving the request",
    NO_ENDPOINTS,
)
NO_MODEL: Final = Refusal("BadRequest", "model not found in request body")
NOT_TEXT: Final = Refusal("BadRequest", "model in request body is not UTF-8 text")
UNREAD: Final = Refusal(
    "BadRequest",
    "error unmarshaling request bodyMap: a number is out of range, or a text is not UTF-8",
)
SHED: Final = Refusal(
    "ResourceExhausted", "system saturated, sheddable request dropped", SATURATED
)
FILTERED_OUT: Final = Refusal(
    "ResourceExhausted", "no endpoint is left after filtering", SATURATED
)
NOT_CACHED: Final = Refusal("PreconditionFailed", "no endpoint has the prompt's prefix cached")
FAILED: Final = Refusal("Internal", "the endpoint picker failed")
CANNOT_READ: Final = Refusal(
    "Internal",
    "Envoy does not show the request's body: set request_body_mode to FULL_DUPLEX_STREAMED or "
    "BUFFERED on the picker's ext_proc filter",
)


def too_large(limit: int) -> Refusal:
    return Refusal("ResourceExhausted", f"the request body is larger than {limit} bytes")
