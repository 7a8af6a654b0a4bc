"""An answer of a model that stood in for another is told as such to those who keep answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wayside.dialects.keeping import kept
from wayside.dialects.whole import Answer
from wayside.flow.tap import ReplyTap
from wayside.plugins import Witness


class Seen:
    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def ended(self, answer: Answer) -> None:
        self.answers.append(answer)


def run(flow: Iterator[Any] | None) -> None:
    assert flow is not None and list(flow) == []


def told(stands_in: str) -> Answer:
    seen = Seen()
    witness: Witness = seen
    tap = ReplyTap((), [witness], stands_in=stands_in)
    tap.begin(200, "application/json")
    choice = {"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}
    run(tap.feed(json.dumps({"choices": [choice]}).encode()))
    run(tap.finish())
    run(tap.settle())
    return seen.answers[0]


def test_it_is_not_kept_under_the_name_of_the_one_that_was_chosen() -> None:
    assert kept(told("")) is not None
    answer = told("big")
    assert (answer.path, answer.model) == ("fallback", "big")
    assert answer.completion() is not None and kept(answer) is None
