from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.engines import Engines
from wayside.selection import Candidate
from wayside.selection.router_dc import RouterDcRule, RouterDcSelector
from wayside.vocab.ask import Failure, Similar
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto", question="write a sorting function")
FACTS = (
    ModelFacts(name="chat", description="Small talk and everyday questions."),
    ModelFacts(name="coder", description="Writes programs.", capabilities=("code", "tests")),
    ModelFacts(name="prover", description="Proves theorems."),
)
CANDIDATES = tuple(Candidate(model.name) for model in FACTS)


def selector(facts: tuple[ModelFacts, ...] = FACTS, **settings: Any) -> RouterDcSelector:
    made = RouterDcSelector(RouterDcRule.model_validate(settings))
    made.meet(facts)
    return made


def chosen(by: RouterDcSelector, *cosines: float, of: tuple[Candidate, ...] = CANDIDATES) -> str:
    flow = by.choose(PROMPT, of, 0.0)
    assert isinstance(flow, Generator)
    (question,) = next(flow)
    assert isinstance(question, Similar) and question.text == PROMPT.question
    with pytest.raises(StopIteration) as done:
        flow.send((cosines,))
    model: Candidate = done.value.value
    return model.model


@pytest.mark.parametrize(
    ("cosines", "settings", "model"),
    [
        ((0.25, 0.40, 0.30), {}, "coder"),
        ((0.25, 0.40, 0.55), {}, "prover"),
        ((0.40, 0.40, 0.30), {}, "chat"),  # the earlier of equals
        ((0.10, 0.20, 0.05), {}, "chat"),  # none reaches 0.21: the first
        ((0.10, 0.22, 0.05), {}, "coder"),
        ((0.10, 0.22, 0.05), {"engine": "minilm"}, "chat"),  # there, 0.3 is the least
        ((0.10, 0.31, 0.05), {"engine": "minilm"}, "coder"),
        ((0.50, 0.60, 0.90), {"min_similarity": 0.95}, "chat"),
        # Affinities at 0.07: sigmoid(.25/.07) .9727, (.40/.07) .9967, (.30/.07) .9864; their
        # softmax gives coder 0.3372: enough for .33, not for .34.
        ((0.25, 0.40, 0.30), {"min_share": 0.33}, "coder"),
        ((0.25, 0.40, 0.30), {"min_share": 0.34}, "chat"),
        # At 1: .5622, .5987, .5744: coder 0.3401.
        ((0.25, 0.40, 0.30), {"min_share": 0.34, "temperature": 1.0}, "coder"),
        # Alone above the least similarity: the whole share.
        ((0.10, 0.40, 0.10), {"min_share": 0.9}, "coder"),
    ],
)
def test_the_most_similar_description_wins(
    cosines: tuple[float, ...], settings: dict[str, Any], model: str
) -> None:
    assert chosen(selector(**settings), *cosines) == model


def test_capabilities_are_part_of_what_is_said_unless_switched_off() -> None:
    (bank,) = selector().banks.values()
    assert bank.texts[1] == "Writes programs.\ncode, tests" and bank.engine == "embedding"
    (bank,) = selector(use_capabilities=False, engine="mine").banks.values()
    assert bank.texts[1] == "Writes programs." and bank.engine == "mine"


def test_a_model_of_which_nothing_is_said_is_an_error_with_its_fix() -> None:
    silent = tuple(ModelFacts(name=f.name) for f in FACTS)
    with pytest.raises(ConfigError) as error:
        selector(silent)
    assert str(error.value.problems[0]) == (
        "nothing is said of model 'coder', so it could never be chosen; "
        "give models.coder.description: what it is good at, in a sentence"
    )
    assert len(error.value.problems) == 2
    with pytest.raises(ConfigError) as error:
        selector(silent, require_descriptions=True)
    assert len(error.value.problems) == 3


def test_the_first_may_be_silent_and_is_then_only_what_is_left() -> None:
    made = selector((ModelFacts(name="chat"), *FACTS[1:]))
    assert chosen(made, 0.5, 0.4) == "coder"
    assert chosen(made, 0.1, 0.1) == "chat"


def test_the_same_model_twice_is_compared_once() -> None:
    made = selector((FACTS[0], FACTS[1], FACTS[1]))
    twice = (Candidate("chat"), Candidate("coder"), Candidate("coder", reasoning=True))
    assert chosen(made, 0.2, 0.5, of=twice) == "coder"
    (bank,) = made.banks.values()
    assert len(bank.texts) == 2


def test_without_a_question_or_a_choice_the_first_answers_and_nothing_is_asked() -> None:
    assert selector().choose(Prompt(model="auto", question=" \n"), CANDIDATES, 0.0).model == "chat"  # type: ignore[union-attr]
    alone = selector(FACTS[1:2])
    assert alone.choose(PROMPT, CANDIDATES[1:2], 0.0) == CANDIDATES[1] and not alone.banks


def test_an_embedder_that_does_not_answer_is_a_failed_ask() -> None:
    flow = selector().choose(PROMPT, CANDIDATES, 0.0)
    assert isinstance(flow, Generator)
    next(flow)
    with pytest.raises(AskFailed):
        flow.send((Failure("gone"),))


def test_a_temperature_that_would_change_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="changes no choice without min_share"):
        RouterDcRule(temperature=0.2)


@pytest.mark.parametrize(
    ("question", "model"),
    [
        ("Write a Python function that parses a date and unit tests for it.", "coder"),
        ("Prove that there are infinitely many primes.", "prover"),
        ("Translate this letter into French and Spanish.", "translator"),
    ],
)
def test_the_built_in_embedder_tells_plain_descriptions_apart(question: str, model: str) -> None:
    facts = (
        ModelFacts(name="chat", description="Small talk and everyday questions."),
        ModelFacts(name="coder", description="Python and other programs, functions, unit tests."),
        ModelFacts(name="prover", description="Mathematics: prove theorems, primes, algebra."),
        ModelFacts(name="translator", description="Translate between French, Spanish, German."),
    )
    made = selector(facts)
    (bank,) = made.banks.values()
    cosines = Engines().similar(Similar(question, bank))
    assert isinstance(cosines, tuple)
    flow = made.choose(
        Prompt(model="auto", question=question), tuple(Candidate(f.name) for f in facts), 0.0
    )
    assert isinstance(flow, Generator)
    next(flow)
    with pytest.raises(StopIteration) as done:
        flow.send((cosines,))
    assert done.value.value.model == model, dict(
        zip([f.name for f in facts], cosines, strict=True)
    )
