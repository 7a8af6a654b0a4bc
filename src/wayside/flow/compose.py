"""A decision whose algorithm asks models itself and makes the answer out of what they say.

Plugins have run; the algorithm gets the request as they left it. Every question of its passes
through a :class:`Ledger`, which keeps the whole request within its limits and writes down what
each call was and took. What comes of it takes the way of any model's answer: through the filters
that plugins hung on it, to their witnesses, to the client as it asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from wayside.dialects import Body, Edit, decode, encode
from wayside.dialects.answers import JSON, STREAM
from wayside.dialects.openai_chat import ChatEdit
from wayside.flow import report
from wayside.flow.tap import UNANSWERED, ReplyTap, tell
from wayside.plugins import Draft
from wayside.selection import Budget, Candidate
from wayside.vocab.ask import Ask, Failure, Flow, Now, ask
from wayside.vocab.calls import Complete, Completed, Composed, Lane, Tokens, tokens_of
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.headers import DEBUG, HOP_BY_HOP, USER_KEYS, is_internal
from wayside.vocab.observed import ModelFacts
from wayside.vocab.outcome import Call, HeaderPairs, Record, Reply, Request
from wayside.vocab.prompt import Prompt

T = TypeVar("T")
Batch = tuple[Ask[Any], ...]
Style = Callable[[Edit], None]
"""Writes a candidate's switch for reasoning into a request."""

_NOT_SENT = HOP_BY_HOP | {
    "accept", "accept-encoding", "connection", "content-encoding", "content-length",
    "content-type", "expect", "host",
}  # fmt: skip
"""Headers of a client that are about its own connection and body."""
_THE_CLIENTS = (400, 413, 422)
"""What a server says of a request that no other server would take either."""
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one request may be, all together; ``None`` is no limit."""

    max_calls: int = 16
    max_concurrent: int = 8
    timeout_s: float = 120.0
    max_total_tokens: int | None = None
    max_cost: float | None = None


class Composes(Protocol):
    """A selection algorithm that answers itself.

    ``compose`` gets the chat request as plugins left it and makes its questions with ``budget``.
    It raises :class:`AskFailed` where no answer can be made. ``calls`` is the most questions it
    puts about so many candidates, ``asks`` the models it asks beside them, by the setting that
    names each.
    """

    asks: Mapping[str, str]

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

    @property
    def why(self) -> str:
        """For those who ask where a request would go."""
        return f"asks {', '.join(c.name for c in self.candidates)}"

    def ledger(self, headers: HeaderPairs = ()) -> Ledger:
        """For one request, whose ``headers`` go with every question."""
        return Ledger(self.limits, self.facts, self.styles, headers)


class Ledger:
    """Makes one request's questions to models, admits them, and writes down what came of them.

    ``spent`` is which limit was reached, or ``""``. What is over a limit is not asked: it fails,
    and the algorithm goes on with what it has.
    """

    def __init__(
        self,
        limits: Limits,
        facts: Mapping[str, ModelFacts] | None = None,
        styles: Mapping[Candidate, Style] | None = None,
        headers: HeaderPairs = (),
    ) -> None:
        self.limits, self._facts, self._styles = limits, facts or {}, styles or {}
        self._headers = headers
        self._lane = Lane(limits.max_concurrent)
        self._admitted = 0
        self.began = self.now = 0.0
        self.calls: list[Call] = []
        self.tokens = 0
        self.cost = 0.0
        self.spent = ""

    @property
    def calls_left(self) -> int:
        return max(0, self.limits.max_calls - self._admitted)

    def question(
        self,
        candidate: Candidate,
        body: bytes,
        *,
        purpose: str,
        timeout_s: float | None = None,
    ) -> Complete:
        """The question ``body`` to a candidate, as the decision says it is to be asked."""
        style = self._styles.get(candidate)
        if style is not None:
            edit = Edit(body)
            style(edit)
            body = edit.encode()
        return Complete(
            candidate.model,
            body,
            timeout_s=self.limits.timeout_s if timeout_s is None else timeout_s,
            lora=candidate.lora or "",
            headers=self._headers,
            purpose=purpose,
            lane=self._lane,
        )

    def kept(self, flow: Flow[T]) -> Flow[T]:
        """Run ``flow`` within the limits."""
        self.began = self.now = yield from ask(Now())
        batch = next_of(flow, None)
        while not isinstance(batch, Ended):
            admitted = [self._admit(question) for question in batch]
            asked = tuple([a for a in admitted if not isinstance(a, Failure)])
            answers = iter((yield asked) if asked else ())
            said = tuple([a if isinstance(a, Failure) else next(answers) for a in admitted])
            self.now = yield from ask(Now())
            for question, answer in zip(admitted, said, strict=True):
                if isinstance(question, Complete):
                    self._note(question, answer)
            batch = next_of(flow, said)
        result: T = batch.value
        return result

    def _admit(self, question: Ask[Any]) -> Ask[Any] | Failure:
        """The question with the time that is left for it, or why it is not put."""
        if not isinstance(question, Complete):
            return question
        limits = self.limits
        left = limits.timeout_s - max(0.0, self.now - self.began)
        if not self.calls_left:
            self.spent = "max_calls"
        elif left <= 0:
            self.spent = "timeout"
        elif limits.max_total_tokens is not None and self.tokens >= limits.max_total_tokens:
            self.spent = "max_total_tokens"
        elif limits.max_cost is not None and self.cost >= limits.max_cost:
            self.spent = "max_cost"
        else:
            self._admitted += 1
            if question.timeout_s > left:
                question = msgspec.structs.replace(question, timeout_s=left)
            return question
        return Failure(f"not asked: {self.spent} is reached")

    def _note(self, question: Complete, answer: Any) -> None:
        if not isinstance(answer, Completed):
            why = answer.reason if isinstance(answer, Failure) else "no answer"
            self.calls.append(Call(model=question.model, purpose=question.purpose, reason=why))
            return
        found = (tokens_of(answer.body) if answer.succeeded else None) or Tokens()
        self.tokens += found.total
        self.cost += self._cost(question.model, found)
        self.calls.append(
            Call(
                model=question.model,
                purpose=question.purpose,
                status=answer.status,
                prompt_tokens=found.prompt,
                completion_tokens=found.completion,
                cached_tokens=found.cached,
                written_tokens=found.written,
                seconds=answer.seconds,
            )
        )

    def _cost(self, model: str, tokens: Tokens) -> float:
        facts = self._facts.get(model)
        if facts is None:
            return 0.0
        prompt = facts.prompt_per_1m or 0.0
        cached = prompt if facts.cached_per_1m is None else facts.cached_per_1m
        written = prompt if facts.written_per_1m is None else facts.written_per_1m
        return tokens.cost(prompt, facts.completion_per_1m or 0.0, cached, written)

    def usage(self) -> dict[str, Any]:
        """What all calls took together, as a completion tells it."""
        prompt = sum(call.prompt_tokens for call in self.calls)
        completion = sum(call.completion_tokens for call in self.calls)
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if cached := sum(call.cached_tokens for call in self.calls):
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return usage

    def report(self, algorithm: str, model: str) -> HeaderPairs:
        """vSR's headers of a looper's answer (spec 1.8). ``iterations`` are calls; a model is
        among those used when it answered."""
        used = dict.fromkeys(call.model for call in self.calls if 200 <= call.status < 300)
        usage = self.usage()
        told = {
            "model": model,
            "models-used": ",".join(used),
            "iterations": len(self.calls),
            "algorithm": algorithm,
            "latency-ms": round(max(0.0, self.now - self.began) * 1e3),
            "prompt-tokens": usage["prompt_tokens"],
            "completion-tokens": usage["completion_tokens"],
            "total-tokens": usage["total_tokens"],
        }
        return tuple(
            (f"x-vsr-looper-{name}", report.header_text(str(value)))
            for name, value in told.items()
        )


class Ended:
    """A flow has come to its end, with this."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def next_of(
    flow: Generator[Batch, tuple[Any, ...], Any], answers: tuple[Any, ...] | None
) -> Batch | Ended:
    """What a flow asks next."""
    try:
        return next(flow) if answers is None else flow.send(answers)
    except StopIteration as stop:
        return Ended(stop.value)


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
