"""Run a selection algorithm with answers given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from wayside.selection import Candidate, Picked, Selector, pick
from wayside.vocab.ask import Ask, Failure, Similar
from wayside.vocab.observed import Observe, Seen, Standing, Standings
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto", question="Why?")
NEW = Standing(rating=1500.0)


def candidates(*names: str) -> tuple[Candidate, ...]:
    return tuple([Candidate(name) for name in names])


def seen(ttft: float | None = None, tpot: float | None = None, **more: Any) -> Seen:
    """Times in milliseconds."""
    times = [None if t is None else t / 1e3 for t in (ttft, tpot)]
    return Seen(ttft_s=(times[0],), tpot_s=(times[1],), **more)


def answers(
    observed: Mapping[str, Seen] | None = None,
    standing: Mapping[tuple[str, str], Standing] | None = None,
    cosines: tuple[float, ...] | None = None,
) -> Callable[[Ask[Any]], Any]:
    """``standing`` is by candidate and category."""

    def answer(question: Ask[Any]) -> Any:
        match question:
            case Observe(models=models) if observed is not None:
                return tuple([observed.get(model, Seen()) for model in models])
            case Standings(candidates=names, category=category) if standing is not None:
                return tuple([standing.get((name, category), NEW) for name in names])
            case Similar() if cosines is not None:
                return cosines
        return Failure("nobody home")

    return answer


def picked(
    selector: Selector,
    among: tuple[Candidate, ...],
    answer: Callable[[Ask[Any]], Any] = lambda _: pytest.fail("nothing was to be asked"),
    *,
    dice: float = 0.5,
    prompt: Prompt = PROMPT,
) -> Picked:
    flow = pick(selector, prompt, among, dice)
    try:
        asks = next(flow)
        while True:
            asks = flow.send(tuple([answer(question) for question in asks]))
    except StopIteration as stop:
        found: Picked = stop.value
        return found
