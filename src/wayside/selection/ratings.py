"""Every model answers; the client gets all answers, one choice each."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from wayside.catalog import catalog
from wayside.selection import Budget, Candidate, Composing, round_of
from wayside.settings.calls import CallLimits
from wayside.vocab.ask import Flow
from wayside.vocab.calls import Composed
from wayside.vocab.chat import TOOLS, Chat
from wayside.vocab.prompt import Prompt


class RatingsRule(CallLimits):
    """Example: ``{max_concurrent: 3}``"""

    round_timeout_seconds: PositiveFloat = 90.0
    """For all answers."""
    min_successful_responses: PositiveInt = 1
    """With fewer answers the request is answered 502."""


@catalog.register("selector", "ratings", settings=RatingsRule, stability="beta")
class RatingsSelector(Composing):
    """All models answer at once, and every answer is a choice for the client to rate.

    For arenas and for collecting preferences (vSR's ratings). The choices stand in the order of
    the decision's models, without those that gave no answer; ``looper.models`` names the model of
    each. Tools are taken out of the request: a person is to compare texts.
    """

    def __init__(self, rule: RatingsRule) -> None:
        self.rule = self.limits = rule
        self.least = rule.min_successful_responses

    def calls(self, candidates: int) -> int:
        return candidates

    def compose(
        self,
        prompt: Prompt,
        body: bytes,
        candidates: tuple[Candidate, ...],
        dice: float,
        budget: Budget,
    ) -> Flow[Composed]:
        rule = self.rule
        asked = Chat.read(body).without(*TOOLS, "n").encode()
        answers = yield from round_of(
            [
                (
                    c,
                    budget.question(
                        c, asked, purpose="answer", timeout_s=rule.round_timeout_seconds
                    ),
                )
                for c in candidates
            ],
            on_error=rule.on_error,
            least=rule.min_successful_responses,
        )
        choices = [
            {**answer.completion["choices"][0], "index": i} for i, answer in enumerate(answers)
        ]
        return Composed(
            completion={**answers[0].completion, "choices": choices},
            model=answers[0].candidate.name,
            extra={"models": [answer.candidate.name for answer in answers]},
        )
