"""What one request may ask of models by itself, and what it did.

Every question of an algorithm passes through a :class:`Ledger`: what is over a limit is not put,
and what was put is written down with its answer's tokens and cost.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from wayside.dialects import Edit
from wayside.flow import report
from wayside.selection import Candidate
from wayside.vocab.ask import Ask, Failure, Flow, Now, ask
from wayside.vocab.calls import Complete, Completed, Lane, Tokens
from wayside.vocab.errors import Abandoned
from wayside.vocab.observed import ModelFacts
from wayside.vocab.outcome import Call, HeaderPairs
from wayside.vocab.usage import NOTHING, prompt_guess, taken

T = TypeVar("T")
Batch = tuple[Ask[Any], ...]
Style = Callable[[Edit], None]
"""Writes a candidate's switch for reasoning into a request."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one request may be, all together; ``None`` is no limit."""

    max_calls: int = 16
    max_concurrent: int = 8
    timeout_s: float = 120.0
    max_total_tokens: int | None = None
    max_cost: float | None = None


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
        may: Callable[[str], bool] | None = None,
    ) -> None:
        """``may`` says which models may be asked; a question to another one fails."""
        self._may = may
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
            try:
                answers = iter((yield asked) if asked else ())
            except Abandoned as gone:
                self._left(admitted)
                gone.calls = tuple(self.calls)
                raise
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
        if self._may is not None and not self._may(question.model):
            return Failure("not asked: the caller may not use this model")
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
        found = taken(answer.body, question.body) if answer.succeeded else NOTHING
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
                estimated=found.estimated,
                seconds=answer.seconds,
            )
        )

    def _left(self, asked: Sequence[Ask[Any] | Failure]) -> None:
        """The client is gone, and whatever its models have said by now is lost with it. They have
        read what they were asked; how far they wrote is not known, so that is not guessed at."""
        for question in asked:
            if isinstance(question, Complete):
                read = prompt_guess(0, len(question.body))
                self.calls.append(
                    Call(
                        model=question.model,
                        purpose=question.purpose,
                        prompt_tokens=read,
                        reason="the client left",
                        estimated="left",
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
