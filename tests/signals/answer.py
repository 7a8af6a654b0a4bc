"""Answers a signal's asks by hand, so that no engine is needed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from wayside.vocab.ask import Ask
from wayside.vocab.verdict import Verdict


def reading_of(flow: Any, answer: Callable[[Ask[Any]], Any]) -> dict[str, Verdict]:
    """What ``flow`` (a reading, or the generator of one) comes to when asks get ``answer``."""
    if not isinstance(flow, Generator):
        return dict(flow)
    try:
        asks = next(flow)
        while True:
            asks = flow.send(tuple(answer(question) for question in asks))
    except StopIteration as stop:
        return dict(stop.value)
