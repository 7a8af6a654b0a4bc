"""A decision whose algorithm asks models itself and makes the answer out of what they say.

Plugins have run; the algorithm gets the request as they left it. Every question of its passes
through a :class:`Ledger`, which keeps the whole request within its limits and writes down what
each call was and took. What comes of it takes the way of any model's answer: through the filters
that plugins hung on it, to their witnesses, to the client as it asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from wayside.dialects import Body, decode, encode
from wayside.dialects.answers import JSON, STREAM
from wayside.dialects.openai_chat import ChatEdit
from wayside.flow import report
from wayside.flow.ledger import Ledger, Limits, Style
from wayside.flow.tap import UNANSWERED, ReplyTap, tell
from wayside.plugins import Draft
from wayside.selection import Budget, Candidate
from wayside.vocab.ask import Flow
from wayside.vocab.calls import Composed
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.headers import DEBUG, HOP_BY_HOP, USER_KEYS, is_internal
from wayside.vocab.observed import ModelFacts
from wayside.vocab.outcome import Call, HeaderPairs, Record, Reply, Request
from wayside.vocab.prompt import Prompt

_NOT_SENT = HOP_BY_HOP | {
    "accept", "accept-encoding", "connection", "content-encoding", "content-length",
    "content-type", "expect", "host",
}  # fmt: skip
"""Headers of a client that are about its own connection and body."""
_THE_CLIENTS = (400, 413, 422)
"""What a server says of a request that no other server would take either."""
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Composes(Protocol):
    """A selection algorithm that answers itself.

    ``compose`` gets the chat request as plugins left it and makes its questions with ``budget``.
    It raises :class:`AskFailed` where no answer can be made. ``calls`` is the most questions it
    puts about so many candidates, ``asks`` the models it asks beside them, by the setting that
    names each, and ``least`` the fewest candidates that it can do with.
    """

    asks: Mapping[str, str]
    least: int

    def calls(self, candidates: int) -> int: ...

    def compose(
        self,
        prompt: Prompt,
        body: bytes,
        candidates: tuple[Candidate, ...],
        dice: float,
        budget: Budget,
    ) -> Flow[Composed]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Composer:
    """Everything about a decision's algorithm and its models that is known before a request."""

    selector: Composes | None
    """Absent where the algorithm only asks in order to choose."""
    limits: Limits
    candidates: tuple[Candidate, ...]
    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    styles: Mapping[Candidate, Style] = field(default_factory=dict)
    may: Callable[[str], bool] | None = None
    """Which models may be asked; ``None``: any."""

    @property
    def why(self) -> str:
        """For those who ask where a request would go."""
        return f"asks {', '.join(c.name for c in self.candidates)}"

    def ledger(self, headers: HeaderPairs = ()) -> Ledger:
        """For one request, whose ``headers`` go with every question."""
        return Ledger(self.limits, self.facts, self.styles, headers, self.may)


def passed(headers: Mapping[str, str], draft: Draft) -> HeaderPairs:
    """The client's headers that go to models, less what plugins removed, with what they set. A
    user's own keys are among them: whoever asks a model gives each to its provider alone."""
    gone = {*draft.removed, *draft.set}
    kept = [
        (name, value)
        for name, value in headers.items()
        if name not in _NOT_SENT
        and name not in gone
        and (name in USER_KEYS or not is_internal(name))
    ]
    return (*kept, *[(k, v) for k, v in draft.set.items() if k not in _NOT_SENT])


def composed(
    composer: Composer,
    record: Record,
    draft: Draft,
    request: Request,
    body: Body,
    prompt: Prompt,
    dice: float,
) -> Flow[Reply]:
    """The algorithm's answer, as the client asked for it."""
    ledger = composer.ledger(passed(request.headers, draft))
    try:
        found = yield from _run(composer, ledger, draft, request, prompt, dice, record.algorithm)
    except (RequestError, Abandoned) as error:
        if isinstance(error, RequestError):
            error.record = _recorded(record, ledger, "", "error")
            error.record = msgspec.structs.replace(
                error.record, reason=error.record.reason or error.code or ""
            )
            error.headers = (*error.headers, *ledger.report(record.algorithm, ""))
        yield from tell(draft.witnesses, UNANSWERED)
        raise
    record = _recorded(record, ledger, found.model, "looper")
    said = (
        *report.early("looper", record.recipe, record.decision, record.algorithm),
        ("x-vsr-selected-model", report.header_text(found.model)),
        ("x-vsr-selected-confidence", f"{record.confidence:.4f}"),
        *ledger.report(record.algorithm, found.model),
        *draft.report,
    )
    if request.headers.get(DEBUG) == "true":
        said = (*said, *report.debug(record))
    completion = {**found.completion, "usage": ledger.usage()}
    if found.extra:
        completion["looper"] = {"algorithm": record.algorithm, **found.extra}
    tap = ReplyTap(draft.filters, draft.witnesses)
    tap.begin(200, JSON)
    yield from tap.feed(encode(completion))
    ended = yield from tap.finish()
    said = report.merged(said, ended.report)
    if tap.reason:
        record = msgspec.structs.replace(record, reason=tap.reason)
    after = tap.settle()
    if ended.status is not None:
        stage = body.client_stage()
        words = ended.body if stage is None else stage.whole(ended.status, ended.body)
        return Reply(status=ended.status, body=words, report=said, record=record, after=after)
    whole, _ = decode(_decoder, ended.body)
    return Reply(
        status=200,
        body=body.told(whole),
        content_type=STREAM if body.stream else JSON,
        report=said,
        record=record,
        after=after,
    )


def _run(
    composer: Composer,
    ledger: Ledger,
    draft: Draft,
    request: Request,
    prompt: Prompt,
    dice: float,
    algorithm: str,
) -> Flow[Composed]:
    selector, edit = composer.selector, draft.body
    assert selector is not None
    if not isinstance(edit, ChatEdit):
        raise RequestError(
            f"The algorithm {algorithm} asks several models, which needs a conversation: "
            f"{request.path.partition('?')[0][:256]} has none; use /v1/chat/completions.",
            code="unsupported_endpoint",
        )
    try:
        return (
            yield from ledger.kept(
                selector.compose(prompt, edit.encode(), composer.candidates, dice, ledger)
            )
        )
    except AskFailed as failed:
        raise unanswered(algorithm, ledger.calls, str(failed)) from failed


def _recorded(record: Record, ledger: Ledger, model: str, path: str) -> Record:
    return msgspec.structs.replace(
        record,
        model=model,
        candidate=model,
        path=path,
        calls=(*record.calls, *ledger.calls),
        reason=ledger.spent,
    )


def unanswered(algorithm: str, calls: Sequence[Call], why: str) -> RequestError:
    """What the client is told when its models gave no answer: their own word where all say the
    same of the request, 429 where all are busy, 504 where none answered in time, else 502."""
    what = Counter(
        f"{call.model} answered {call.status}" if call.status else f"{call.model} gave no answer"
        for call in calls
    )
    told = ", ".join(f"{n} x {text}" if n > 1 else text for text, n in what.items())
    asked = f" ({told})" if told else ""
    error = RequestError(
        f"The algorithm {algorithm} got no answer that it could use: {why}{asked}.",
        status=502,
        kind="server_error",
        code="no_answer",
    )
    statuses = {call.status for call in calls}
    (one,) = statuses if len(statuses) == 1 else (None,)
    if one in _THE_CLIENTS:
        error.status, error.kind = one, "invalid_request_error"
    elif one == 429:
        error.status = one
    elif one == 0 and all("in time" in call.reason for call in calls):
        error.status = 504
    return error
