"""Why an attempt gave no answer, what the client is told of it, and what servers ask for then."""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Literal

from wayside.gateway.head import ResponseHead, header
from wayside.settings.resilience import Trouble

Reason = Literal["failure", "overload", "context_length"]
"""What another model may be asked for (``fallback_on``)."""

FAILURES = {
    "connect_failed": (502, "the model's server cannot be reached"),
    "connect_timeout": (504, "the model's server did not accept a connection in time"),
    "dns_failed": (502, "the model's server has no address"),
    "tls_failed": (502, "the model's server could not be verified"),
    "upstream_reset": (502, "the model's server broke off the connection"),
    "upstream_closed": (502, "the model's server closed the connection without an answer"),
    "upstream_bad_response": (502, "the model's server answered with something that is not HTTP"),
    "upstream_invalid_response": (502, "the model's server answered with something else"),
    "upstream_timeout": (504, "the model's server did not answer in time"),
    "no_healthy_endpoint": (503, "no server of the model can be reached"),
    "server_is_overloaded": (429, "the model has more requests than it can take"),
    "slow_down": (429, "the model did not have room for this request in time"),
}
"""Why an upstream gave no response: the status and the message for the client."""

SHED = frozenset({"server_is_overloaded", "slow_down"})
"""Reasons that are our own refusal."""

UNREACHABLE = frozenset({"connect_failed", "connect_timeout", "dns_failed"})
"""Reasons that mean, once every server is left out for them, that none is there."""

_TROUBLES: dict[str, Trouble] = {
    "connect_failed": "connect",
    "connect_timeout": "connect",
    "dns_failed": "connect",
    "tls_failed": "connect",
    "upstream_reset": "reset",
    "upstream_closed": "reset",
    "upstream_bad_response": "invalid",
    "upstream_invalid_response": "invalid",
    "upstream_timeout": "timeout",
}
_STATUSES: dict[int, Trouble] = {429: "429", 500: "500", 502: "502", 503: "503", 504: "504"}

TOO_LONG = (b"context_length_exceeded", b"maximum context length", b"prompt is too long")
"""What servers say in a 400 when a prompt does not fit: OpenAI's code, and vLLM's words."""
TOLD_MAX = 64 << 10
"""Bytes of a 400 that are read for it."""


def trouble_of(reason: str) -> Trouble:
    """What settings call a reason."""
    return _TROUBLES[reason]


def status_trouble(status: int) -> Trouble | None:
    """What settings call a status, if it is one that can be tried again."""
    return _STATUSES.get(status)


def can_answer(head: ResponseHead, *, stream: bool) -> bool:
    """Whether a model's answer can begin so: not with a redirect, which leads a client past us to
    wherever the server says, not without a body, and not with one of another type."""
    if head.status >= 300 or head.length == 0:
        return False
    return head.status != 200 or is_answer(head.content_type, stream)


_ERROR = re.compile(rb'\s*\{\s*"error"\s*:\s*[{"]')


def is_error(first: bytes) -> bool:
    """Whether a success begins with the words of an error."""
    return _ERROR.match(first) is not None


@lru_cache(256)
def is_answer(content_type: str, stream: bool) -> bool:
    """Whether a success of this type can answer a completion. ``stream``: nothing but events can;
    clients take anything else for a stream without any."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("", "text/event-stream"):  # what says nothing may be right
        return True
    return not stream and (kind == "application/json" or kind.endswith("+json"))


def retry_after_s(head: ResponseHead) -> float | None:
    """Seconds that a server asks to be left alone: ``retry-after-ms``, else ``Retry-After`` in
    seconds or as a date (RFC 9110 section 10.2.3). ``None`` for nothing, and for nonsense."""
    said = _number(header(head.lines, b"retry-after-ms"))
    if said is not None:
        return said / 1e3
    value = header(head.lines, b"retry-after")
    if not value:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value.decode("ascii"))
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def cap_retry_after(head: ResponseHead, longest_s: float) -> None:
    """Tell the client no longer wait than that: SDKs give up where a server says 10^9."""
    asked = retry_after_s(head)
    if asked is None or asked <= longest_s:
        return
    names = (b"retry-after:", b"retry-after-ms:")
    head.lines = [line for line in head.lines if not line.lower().startswith(names)]
    head.lines += [b"%b: %b\r\n" % (k.encode(), v.encode()) for k, v in retry_pairs(longest_s)]


def retry_pairs(seconds: float) -> tuple[tuple[str, str], tuple[str, str]]:
    """The two headers by which clients learn when to come back."""
    return (
        ("retry-after", str(max(1, math.ceil(seconds)))),
        ("retry-after-ms", str(max(1, math.ceil(seconds * 1e3)))),
    )
