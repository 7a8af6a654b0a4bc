"""What a running router has seen and been told: models, conversations, outcomes.

It outlives configurations: a reload keeps what it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wayside.flow import Policy
from wayside.runtime import staying
from wayside.runtime.learned import Learned
from wayside.runtime.observed import Observed
from wayside.runtime.shelf import Conversations
from wayside.settings import LearningSettings, RouterSettings
from wayside.telemetry import Watcher
from wayside.vocab.ask import Ask, Flow
from wayside.vocab.observed import Standings


def _forget(flow: Flow[None]) -> None:
    flow.close()


class Experience:
    """Answers what algorithms and conversations ask about the past. ``after`` runs a flow that
    nobody waits for."""

    def __init__(self, after: Callable[[Flow[None]], None] = _forget) -> None:
        self.observed = Observed()
        self.conversations = Conversations()
        self.learned = Learned(LearningSettings(), after)

    def answerers(self) -> Mapping[type[Ask[Any]], Callable[[Any], Any]]:
        return {
            **self.observed.answerers(),
            **self.conversations.answerers(),
            Standings: self.learned.standings,
        }

    def adopt(self, settings: RouterSettings, policy: Policy) -> tuple[Watcher, ...]:
        """Another configuration is in force; whoever must be told of its requests. Nobody, where
        nothing asks about them."""
        self.observed.keep(settings.models)
        self.learned.adopt(settings.learning, policy)
        watchers: tuple[Watcher, ...] = ()
        if staying.observes(policy.recipes.values()):
            watchers += (self.observed,)
        if self.learned.judged:
            watchers += (self.learned,)
        return watchers
