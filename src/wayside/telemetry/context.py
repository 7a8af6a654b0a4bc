"""W3C Trace Context: which trace a request belongs to, and what is told of it to others.

The formats are those of the W3C's recommendation "Trace Context": ``traceparent`` is
``00-<trace>-<parent>-<flags>`` in lower-case hexadecimal digits, and ``tracestate`` goes with it,
unchanged. One that is malformed is as good as none, and takes its ``tracestate`` with it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_STATE: Final = 512
"""Characters of ``tracestate`` that are passed on, as the recommendation asks at least."""

SENT: ContextVar[str] = ContextVar("traceparent", default="")
"""``traceparent`` of requests that are made on behalf of the one that is being served."""

_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


class Parent(NamedTuple):
    """Whose request it is: the trace, the sender's span in it, and whether that is recorded."""

    trace_id: str
    span_id: str
    sampled: bool


def parent_of(header: str) -> Parent | None:
    """What ``traceparent`` says; ``None`` where it says nothing that can be understood."""
    found = _FORM.fullmatch(header)
    if found is None or (found[1] == "00" and found[5]):
        return None  # only later versions may have more to say
    return Parent(found[2], found[3], bool(int(found[4], 16) & 1))


def written(trace_id: str, span_id: str, sampled: bool) -> str:
    """``traceparent`` for a server that is asked."""
    return f"00-{trace_id}-{span_id}-0{1 if sampled else 0}"
