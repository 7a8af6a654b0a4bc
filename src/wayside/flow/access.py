"""A request of somebody whose token was believed: what it may take is set aside before any model
is asked, and given back where none is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from wayside.dialects import Body
from wayside.vocab.access import Caller, Hold, Over, Release, Reserve
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.outcome import Forward, Outcome, Reply, Request

Going = Callable[[], Outcome | Flow[Outcome]]


def admitted(caller: Caller, request: Request, body: Body, going: Going) -> Flow[Outcome]:
    """``going``, within what ``caller`` may take. Raises :class:`RequestError` (429) for what is
    over a limit, and 503 where nobody can say."""
    hold = yield from _reserved(caller, request, body)
    try:
        outcome = going()
        if not isinstance(outcome, Forward | Reply):
            outcome = yield from outcome
    except (RequestError, Abandoned):
        yield from ask(Release(hold))
        raise
    record = msgspec.structs.replace(outcome.record, caller=caller, hold=hold)
    return msgspec.structs.replace(outcome, record=record)


def _reserved(caller: Caller, request: Request, body: Body) -> Flow[Hold]:
    wanted = Reserve(caller=caller, model=body.model, prompt=len(request.body))
    try:
        said = yield from ask(wanted)
    except AskFailed as failed:
        raise RequestError(
            "It cannot be told now how much you may use.",
            status=503,
            kind="server_error",
            code="limits_unavailable",
        ) from failed
    if isinstance(said, Over):
        raise over(said)
    return said


def over(said: Over) -> RequestError:
    """429, as clients of OpenAI's API read it."""
    wait = max(1, math.ceil(said.retry_after_s))
    return RequestError(
        f"You have used up {said.limit}. Try again in {wait} seconds.",
        status=429,
        kind=_KINDS.get(said.kind, "rate_limit_error"),
        code=_CODES.get(said.kind, "rate_limit_exceeded"),
        headers=(
            ("retry-after", str(wait)),
            (f"x-ratelimit-limit-{said.kind}", str(said.size)),
            (f"x-ratelimit-remaining-{said.kind}", str(said.remaining)),
            (f"x-ratelimit-reset-{said.kind}", f"{wait}s"),
        ),
    )


_KINDS: Final = {"requests": "rate_limit_error", "tokens": "rate_limit_error"}
_CODES: Final = {"budget": "insufficient_quota"}
