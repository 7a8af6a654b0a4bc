"""Drive an algorithm that asks models: every question is answered by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from wayside.flow.compose import Composes
from wayside.flow.ledger import Ledger, Limits
from wayside.selection import Candidate
from wayside.vocab.ask import Failure, Mark, Now
from wayside.vocab.calls import Complete, Completed, Composed
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
SMALL, LARGE = Candidate("small"), Candidate("large")
TWO = (SMALL, LARGE)


def completion(text: str, **choice: Any) -> dict[str, Any]:
    """A chat completion that says ``text``."""
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream-name",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": USAGE,
    }


def said(question: Complete, answer: Any) -> Completed | Failure:
    """A text, a whole completion, a status, or ``None`` for no answer."""
    if answer is None:
        return Failure("nobody home")
    if isinstance(answer, int):
        return Completed(question.model, answer, b'{"error": {"message": "no"}}', 0.1)
    whole = completion(answer) if isinstance(answer, str) else answer
    return Completed(question.model, 200, json.dumps(whole).encode(), 0.1)


class Asked:
    """Composes an answer, and keeps what was asked. ``answers`` gets each question's model,
    purpose and decoded body; ``batches`` are the questions that went out together."""

    def __init__(
        self,
        selector: Composes,
        answers: Callable[[str, str, Any], Any],
        *,
        candidates: tuple[Candidate, ...] = TWO,
        body: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        facts: tuple[ModelFacts, ...] = (),
        marks: Callable[[Mark], Any] | None = None,
        clock: Callable[[], float] = lambda: 1000.0,
    ) -> None:
        self.batches: list[list[tuple[str, str, Any]]] = []
        self.questions: list[Complete] = []
        self.ledger = Ledger(limits or Limits(), {fact.name: fact for fact in facts})
        body = {"model": "auto", "messages": [{"role": "user", "content": "Why?"}], **(body or {})}
        meet = getattr(selector, "meet", None)
        if meet is not None:
            named = {fact.name: fact for fact in facts}
            meet(tuple(named.get(c.model) or ModelFacts(name=c.model) for c in candidates))
        prompt = Prompt(model="auto", question="Why?")
        flow = self.ledger.kept(
            selector.compose(prompt, json.dumps(body).encode(), candidates, 0.5, self.ledger)
        )
        found: tuple[Any, ...] | None = None
        while True:
            try:
                batch = next(flow) if found is None else flow.send(found)
            except StopIteration as stop:
                self.composed: Composed = stop.value
                return
            asked = [q for q in batch if isinstance(q, Complete)]
            if asked:
                self.questions += asked
                self.batches.append([(q.model, q.purpose, json.loads(q.body)) for q in asked])
            found = tuple(self._answer(q, answers, marks, clock) for q in batch)

    def _answer(self, question: Any, answers: Any, marks: Any, clock: Any) -> Any:
        match question:
            case Now():
                return clock()
            case Complete():
                body = json.loads(question.body)
                return said(question, answers(question.model, question.purpose, body))
            case Mark() if marks is not None:
                return marks(question)
        raise AssertionError(f"nobody answers {question}")

    @property
    def text(self) -> str:
        content: str = self.composed.completion["choices"][0]["message"]["content"]
        return content

    @property
    def models(self) -> list[list[str]]:
        return [[model for model, _, _ in batch] for batch in self.batches]

    @property
    def purposes(self) -> list[list[str]]:
        return [[purpose for _, purpose, _ in batch] for batch in self.batches]
