"""Draft and target are one model, the target (A3-11's routing half)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wayside.flow import answer
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Forward, Request

PAIR = {"endpoints": ["http://a"], "speculative": {"draft": "tiny", "tokens": 5}}


def settings(**models: Any) -> RouterSettings:
    return RouterSettings.model_validate({"models": models})


def ask(policy: Any, model: str) -> Forward:
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
    found = answer(policy, Request("POST", "/v1/chat/completions", {}, body), 0.5)
    assert isinstance(found, Forward)
    return found


def test_a_request_for_the_draft_goes_to_the_target_and_is_told_as_its() -> None:
    policy = compile_policy(settings(big=PAIR))
    forward = ask(policy, "tiny")
    assert forward.target.name == forward.record.model == "big"
    assert msgspec.json.decode(forward.body)["model"] == "big"
    assert dict(forward.set_headers)["x-selected-model"] == "big"


def test_the_listing_names_the_target_alone_and_tells_of_the_draft() -> None:
    policy = compile_policy(settings(big=PAIR))
    assert "tiny" not in policy.listing
    told = msgspec.json.decode(policy.listing["big"])["routing"]["speculative"]
    assert told == {"draft": "tiny", "method": "draft", "tokens": 5}


def test_a_draft_of_two_models_stands_for_neither() -> None:
    policy = compile_policy(settings(big=PAIR, huge={**PAIR, "endpoints": ["http://b"]}))
    assert "tiny" not in policy.concrete


def test_a_draft_that_is_served_by_itself_is_a_model() -> None:
    policy = compile_policy(settings(big=PAIR, tiny={"endpoints": ["http://t"]}))
    assert ask(policy, "tiny").target.name == "tiny"


@pytest.mark.parametrize(
    ("said", "where", "what"),
    [
        ({}, "models.big.speculative", "names no draft"),
        ({"draft": "tiny", "method": "ngram"}, "models.big.speculative.draft", "needs no draft"),
        ({"draft": "big"}, "models.big.speculative.draft", "draft for itself"),
    ],
)
def test_pairs_that_are_none_are_refused(said: Any, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_policy(settings(big={"endpoints": ["http://a"], "speculative": said}))
    (problem,) = caught.value.problems
    assert problem.where == where and what in problem.what


def test_a_decision_cannot_choose_a_draft() -> None:
    routing = {"decisions": [{"name": "d", "models": ["tiny"]}]}
    document = {"models": {"big": PAIR}, "routing": routing}
    with pytest.raises(ConfigError) as caught:
        compile_policy(RouterSettings.model_validate(document))
    assert "tiny drafts for big; name big" in str(caught.value)
