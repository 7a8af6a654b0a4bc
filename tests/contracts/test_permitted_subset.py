"""Every selection algorithm asks and chooses only models that the caller may use (A2-35).

Asked of whatever the catalog holds: a new algorithm is covered by existing.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.contracts.test_every_kind import SELECTORS, answer, example
from tests.flow.driving import chat, outcome, post
from wayside.catalog import Kind
from wayside.flow import Policy
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.access import Caller, Hold, Release, Reserve
from wayside.vocab.calls import Complete
from wayside.vocab.errors import RequestError
from wayside.vocab.observed import Held
from wayside.vocab.observed import Hold as Keep
from wayside.vocab.outcome import Forward, Outcome, Reply, Request

NAMES = ("m0", "m1", "m2")
every_selector = pytest.mark.parametrize("kind", SELECTORS, ids=lambda k: k.name)


def policy_of(kind: Kind) -> tuple[Policy, tuple[str, ...]]:
    """A decision with the algorithm, and its models."""
    rule = example(kind.settings)
    names = NAMES[: getattr(kind.build, "at_most", None)]
    asked = getattr(kind.build(kind.settings.model_validate(rule)), "asks", {}).values()
    models = {
        name: {
            "endpoints": ["h"],
            "parameters_b": i + 1,
            "price": {"prompt_per_1m": 1, "completion_per_1m": 1},
            "description": f"good at {name}",
            "fallbacks": [other for other in names if other != name],
        }
        for i, name in enumerate(dict.fromkeys((*names, *asked)))
    }
    for model in models.values():
        model["fallbacks"] = [other for other in model["fallbacks"] if other in models]
    decision = {"name": "it", "models": list(names), "select": {kind.name: rule}}
    settings = {"models": models, "routing": {"decisions": [decision]}}
    return compile_policy(RouterSettings.model_validate(settings)), names


class Desk:
    """Answers by hand, and writes down which models are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = 0

    def __call__(self, question: Any) -> Any:
        match question:
            case Reserve():
                return Hold(id="h", tokens=1)
            case Release():
                self.released += 1
                return None
            case Keep() | Held():
                return None
            case Complete(model=model):
                self.asked.append(model)
        return answer(question)


def ask(policy: Policy, models: frozenset[str] | None, dice: float) -> tuple[Outcome, Desk]:
    caller = Caller(user="alice", tier="free", models=models)
    came = post(chat("auto", "Why is the sky blue?"))
    request = Request(came.method, came.path, came.headers, came.body, caller=caller)
    desk = Desk()
    return outcome(policy, request, desk, dice), desk


@every_selector
@pytest.mark.parametrize("dice", [0.0, 0.5, 0.99])
def test_an_algorithm_picks_from_what_the_caller_may_use(kind: Kind, dice: float) -> None:
    """A2-35: for every part of the candidates, only models in it are asked or chosen."""
    policy, names = policy_of(kind)
    for size in range(1, len(names) + 1):
        for part in itertools.combinations(names, size):
            may = frozenset(part)
            desk = Desk()
            try:
                found, desk = ask(policy, may, dice)
            except RequestError as error:  # it cannot do without models that are not among them
                assert (error.status, error.code) == (403, "model_not_allowed")
                selector = policy.recipes["default"].selectors["it"][1]
                least = getattr(selector, "least", 1)
                assert len(part) < least or not may.issuperset(selector.asks.values())
                assert not desk.asked
                continue
            assert may.issuperset(desk.asked), "a model was asked that is not for the caller"
            while isinstance(found, Forward):
                assert found.target.name in may
                following = found.fallback and found.fallback("failure")
                if following is None:
                    break
                found = following


@every_selector
def test_who_may_use_everything_gets_what_everybody_gets(kind: Kind) -> None:
    """Rights cost an algorithm nothing where they take nothing away."""
    policy, _ = policy_of(kind)
    everything = frozenset(policy.concrete)
    told = []
    for models in (None, everything):
        found, desk = ask(policy, models, 0.4)
        name = found.target.name if isinstance(found, Forward) else found.record.model
        assert isinstance(found, Forward | Reply) and found.record.hold is not None
        told.append((name, desk.asked, found.record.why))
    assert told[0] == told[1]
