"""A request of somebody whose token was believed: what it may take is set aside before any model
is asked, and given back where none is."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from wayside.dialects import Body
from wayside.flow.allowance import allowance, capped
from wayside.flow.protocols import parsed
from wayside.flow.report import merged
from wayside.vocab.access import Caller, Hold, Leave, Over, Release, Reserve
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.outcome import Forward, HeaderPairs, Outcome, Record, Reply, Request

Going = Callable[[Request, Body], Outcome | Flow[Outcome]]


def admitted(caller: Caller, request: Request, body: Body, going: Going) -> Flow[Outcome]:
    """``going``, within what ``caller`` may take. Raises :class:`RequestError` (429) for what is
    over a limit, and 503 where nobody can say.

    The outcome's record carries the hold, which whoever sees the request end settles. What raises
    has asked no model, or says in its record which it asked: then the hold goes with that record.
    """
    path = request.path.partition("?")[0]
    try:
        hold = yield from _reserved(caller, request, body, path)
    except RequestError as error:
        error.record = _record(error, caller, body)
        raise
    try:
        if hold.cap is not None:
            raw = capped(path, request.body, hold.cap)
            request = msgspec.structs.replace(request, body=raw)
            body = parsed(type(body), request)
        outcome = going(request, body)
        if not isinstance(outcome, Forward | Reply):
            outcome = yield from outcome
    except RequestError as error:
        error.record = _record(error, caller, body)
        if error.record.calls:  # an algorithm asked models before it gave up
            error.record = msgspec.structs.replace(error.record, hold=hold)
        else:
            yield from ask(Release(hold))
        raise
    except Abandoned as gone:
        yield from ask(_left_behind(gone, caller, hold, request, body))
        raise
    except Exception:  # a bug: nobody will ever settle it
        yield from ask(Release(hold))
        raise
    record = msgspec.structs.replace(outcome.record, caller=caller, hold=hold)
    report = merged(outcome.report, _left(hold)) if hold.left else outcome.report
    return msgspec.structs.replace(outcome, record=record, report=report)


def _reserved(caller: Caller, request: Request, body: Body, path: str) -> Flow[Hold]:
    may = allowance(path, request.body)
    wanted = Reserve(
        caller=caller,
        model=body.model,
        prompt=may.prompt,
        estimate=may.estimate,
        answer=may.answer,
        choices=may.choices,
        usual=may.usual,
    )
    try:
        said = yield from ask(wanted)
    except AskFailed as failed:
        raise RequestError(
            "It cannot be told now how much you may use. Please try again later.",
            status=503,
            kind="server_error",
            code="limits_unavailable",
        ) from failed
    if isinstance(said, Over):
        raise over(said)
    return said


def _record(error: RequestError, caller: Caller, body: Body) -> Record:
    """What was decided, and who asked: a refusal is somebody's, too."""
    record = error.record or Record(path="error", reason=error.code or error.kind)
    return msgspec.structs.replace(
        record,
        caller=caller,
        requested=record.requested or body.model,
        stream=record.stream or body.stream,
    )


def _left_behind(
    gone: Abandoned, caller: Caller, hold: Hold, request: Request, body: Body
) -> Leave:
    """No shell knows who asked, for it heard of no outcome."""
    record = Record(
        path="looper" if gone.calls else "error",
        requested=body.model,
        stream=body.stream,
        calls=gone.calls,
        caller=caller,
        hold=hold,
    )
    return Leave(record, request.headers.get("x-request-id", ""))


def over(said: Over) -> RequestError:
    """429, as clients of OpenAI's API read it."""
    wait = max(1, math.ceil(said.retry_after_s))
    message = f"You have used up {said.limit}. Try again in {wait} seconds."
    if said.busy:
        message = (
            f"Your requests that are under way may take all that remains of {said.limit}. "
            f"Try again in {wait} seconds."
        )
    elif said.remaining:
        message = (
            f"This request may take more than remains of {said.limit}. Ask for less with a "
            f"smaller max_tokens, or try again in {wait} seconds."
        )
    if said.kind == "tokens" and said.wanted > said.size > 0 and said.remaining > 0:
        message = (
            f"This request may take {said.wanted:,} tokens, and {said.limit} are allowed. Ask for "
            f"less with a smaller max_tokens, or try again in {wait} seconds."
        )
    headers: HeaderPairs = (("retry-after", str(wait)),)
    if said.never:
        headers += (("x-should-retry", "false"),)  # as OpenAI's clients read it
    if said.kind != "budget":
        headers += _told(said.kind, said.size, said.remaining, wait)
    return RequestError(
        message,
        status=429,
        kind="insufficient_quota" if said.kind == "budget" else "rate_limit_error",
        code="insufficient_quota" if said.kind == "budget" else "rate_limit_exceeded",
        headers=headers,
    )


def _left(hold: Hold) -> HeaderPairs:
    """What remains, in the headers that OpenAI's API has for it."""
    return tuple([
        pair
        for left in hold.left
        for pair in _told(left.kind, left.size, left.remaining, math.ceil(left.reset_s))
    ])  # fmt: skip


def _told(kind: str, size: int, remaining: int, wait: int) -> HeaderPairs:
    return (
        (f"x-ratelimit-limit-{kind}", str(size)),
        (f"x-ratelimit-remaining-{kind}", str(max(0, remaining))),
        (f"x-ratelimit-reset-{kind}", f"{max(0, wait)}s"),
    )
