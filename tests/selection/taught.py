"""What the tests of trained selectors share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from wayside.selection import Candidate, Picked
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt
from wayside.vocab.taught import Nearest, Outcome, Scored

PROMPT = Prompt(model="auto", question="What is 7 times 8?")
CANDIDATES = tuple(Candidate(name) for name in ("big", "mid", "small"))
FACTS = tuple(ModelFacts(name=c.model) for c in CANDIDATES)


def outcome(*quality: float | None, speed: tuple[float | None, ...] = (0.0, 0.0, 0.0)) -> Outcome:
    return Outcome(0.9, quality, speed)


def picked(
    selector: Any, answer: Any, of: tuple[Candidate, ...] = CANDIDATES
) -> tuple[Picked, Nearest | Scored]:
    """What ``selector`` picks when its second question is answered so, and that question."""
    flow = selector.choose(PROMPT, of, 0.5)
    assert isinstance(flow, Generator)
    (first,) = next(flow)
    assert first == Classify(PROMPT.question, "domain")
    (second,) = flow.send(((("math", 0.9), ("law", 0.1)),))
    assert second.text == PROMPT.question and second.category == "math"
    with pytest.raises(StopIteration) as done:
        flow.send((answer,))
    assert isinstance(done.value.value, Picked)
    return done.value.value, second


def fails_safe(selector: Any) -> None:
    """Nobody answering is a failed ask (the flow then takes the first candidate); nothing to
    compare, or nothing to choose between, is the first candidate at once."""
    flow = selector.choose(PROMPT, CANDIDATES, 0.5)
    next(flow)
    with pytest.raises(AskFailed):
        flow.send((Failure("gone"),))
    flow = selector.choose(PROMPT, CANDIDATES, 0.5)
    next(flow)
    flow.send(((),))
    with pytest.raises(AskFailed):
        flow.send((Failure("no file"),))
    empty = Prompt(model="auto", question=" ")
    assert selector.choose(empty, CANDIDATES, 0.5) == CANDIDATES[0]
