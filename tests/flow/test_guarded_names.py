"""Requests that name their model, judged by the guards' recipe all the same."""

from __future__ import annotations

import json

import pytest

from tests.flow.driving import chat, forwarded, outcome, policy, post
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Reply

GUARDED = """
models:
  small: {endpoints: ["http://small:8000"], upstream_name: small-v2, aliases: [tiny]}
  big: {endpoints: ["http://big:8000"]}
guard_recipe: guards
routing: {default_model: big}
recipes:
  guards:
    signals: {keyword: {internal: {keywords: [project falcon]}}}
    decisions:
      - name: internal
        when: keyword:internal
        models: [big]
        plugins: {system_prompt: {prompt: Keep it internal.}}
"""


def test_its_plugins_run_and_the_model_stays() -> None:
    sent = forwarded(policy(GUARDED), post(chat("tiny", "What is project falcon?")))
    assert sent.target.name == "small"
    body = json.loads(sent.body)
    assert body["model"] == "small-v2"
    assert body["messages"][0] == {"role": "system", "content": "Keep it internal."}
    told = dict(sent.report)
    assert told["x-vsr-selected-decision"] == "internal"
    assert told["x-vsr-selected-algorithm"] == "named"
    assert told["x-vsr-selected-model"] == "small"
    assert sent.record.decision == "internal" and sent.record.requested == "tiny"


def test_without_a_match_it_goes_straight_through() -> None:
    request = post(chat("big", "What is a falcon?"))
    sent = forwarded(policy(GUARDED), request)
    assert sent.body is request.body and sent.target.name == "big"


def test_virtual_names_keep_their_own_recipe() -> None:
    sent = forwarded(policy(GUARDED), post(chat("auto", "What is project falcon?")))
    assert sent.record.recipe == "default" and not sent.record.decision


def test_an_unknown_name_is_still_unknown() -> None:
    with pytest.raises(Exception, match="does not exist"):
        outcome(policy(GUARDED), post(chat("huge")))


def test_the_recipe_must_be_there() -> None:
    with pytest.raises(
        ConfigError, match="guard_recipe: no recipe 'guard'; did you mean 'guards'"
    ):
        policy(GUARDED.replace("guard_recipe: guards", "guard_recipe: guard"))


def test_embeddings_are_judged_too() -> None:
    blocking = GUARDED.replace(
        "system_prompt: {prompt: Keep it internal.}", "fast_response: {message: No.}"
    )
    asked = {"model": "big", "input": ["a falcon", "about project falcon"]}
    found = outcome(policy(blocking), post(asked, path="/v1/embeddings"), lambda _: 0.0)
    assert isinstance(found, Reply)
    assert found.status == 403 and json.loads(found.body)["error"]["message"] == "No."
    sent = forwarded(policy(blocking), post({"model": "big", "input": "x"}, path="/v1/embeddings"))
    assert sent.target.name == "big"
