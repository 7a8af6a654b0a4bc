"""How families of models are told to think (spec: vSR 1.6)."""

import json
from typing import Any

import pytest

from tests.flow.driving import chat, forwarded, policy, post
from wayside.dialects import Edit
from wayside.flow.reasoning import set_reasoning
from wayside.settings import ReasoningFamily

QWEN = {"type": "chat_template_kwargs", "parameter": "enable_thinking"}
DEEPSEEK = {"type": "chat_template_kwargs", "parameter": "thinking"}
GPT = {"type": "reasoning_effort", "parameter": "reasoning_effort"}
MISTRAL = {"type": "top_level_reasoning_effort", "parameter": "reasoning_effort"}
OFFICIAL = {"type": "thinking", "parameter": "thinking"}


@pytest.mark.parametrize(
    ("family", "on", "at_top", "before", "after"),
    [
        (QWEN, True, False, {}, {"chat_template_kwargs": {"enable_thinking": True}}),
        (QWEN, False, False, {}, {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            QWEN,
            False,
            False,
            {"chat_template_kwargs": {"enable_thinking": True, "x": 1.0}},
            {"chat_template_kwargs": {"enable_thinking": False, "x": 1.0}},
        ),
        (DEEPSEEK, True, False, {}, {"chat_template_kwargs": {"thinking": True}}),
        (GPT, True, False, {}, {"chat_template_kwargs": {"reasoning_effort": "high"}}),
        (GPT, True, True, {}, {"reasoning_effort": "high"}),
        (GPT, True, True, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
        (GPT, False, True, {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        (GPT, False, False, {}, {}),
        (MISTRAL, True, False, {}, {"reasoning_effort": "high"}),
        (MISTRAL, False, False, {"reasoning_effort": "low"}, {}),
        (
            OFFICIAL,
            True,
            False,
            {"chat_template_kwargs": {"thinking": False}},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        (
            OFFICIAL,
            False,
            False,
            {"chat_template_kwargs": {"thinking": True}},
            {"thinking": {"type": "disabled"}},
        ),
    ],
)
def test_each_family_has_its_switch(
    family: dict[str, str],
    on: bool,
    at_top: bool,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    edit = Edit(json.dumps(before).encode())
    settings = ReasoningFamily.model_validate(family)
    set_reasoning(edit, settings, on=on, effort="high", effort_at_top_level=at_top)
    assert json.loads(edit.encode()) == after


def body_of(model: str, candidate: str, rest: str = "") -> dict[str, Any]:
    seed = policy(f"""
    models: {{m: {{{model}, reasoning_family: f}}}}
    reasoning_families: {{f: {{type: reasoning_effort, parameter: reasoning_effort}}}}
    routing: {{decisions: [{{name: d, models: [{{model: m, {candidate}}}]}}]}}
    {rest}
    """)
    found: dict[str, Any] = json.loads(forwarded(seed, post(chat("auto"))).body)
    return {k: v for k, v in found.items() if k not in ("model", "messages")}


LOCAL = "endpoints: ['http://vllm:8000']"


@pytest.mark.parametrize(
    ("model", "candidate", "rest", "fields"),
    [
        (LOCAL, "reasoning: null", "", {}),
        (LOCAL, "reasoning: false", "", {}),
        (LOCAL, "reasoning: true", "", {"chat_template_kwargs": {"reasoning_effort": "medium"}}),
        (
            LOCAL,
            "reasoning: true",
            "default_effort: low",
            {"chat_template_kwargs": {"reasoning_effort": "low"}},
        ),
        (
            LOCAL,
            "reasoning: true, effort: high",
            "default_effort: low",
            {"chat_template_kwargs": {"reasoning_effort": "high"}},
        ),
        (
            "endpoints: ['https://api.openai.com']",
            "reasoning: true",
            "",
            {"reasoning_effort": "medium"},
        ),
        (
            "endpoints: ['https://openrouter.ai/api/v1']",
            "reasoning: true",
            "",
            {"reasoning_effort": "medium"},
        ),
        (
            LOCAL + ", effort_at_top_level: true",
            "reasoning: true",
            "",
            {"reasoning_effort": "medium"},
        ),
        (
            "endpoints: ['https://api.openai.com'], effort_at_top_level: false",
            "reasoning: true",
            "",
            {"chat_template_kwargs": {"reasoning_effort": "medium"}},
        ),
        (
            "endpoints: ['https://api.openai.com.example', 'https://notopenrouter.ai']",
            "reasoning: true",
            "",
            {"chat_template_kwargs": {"reasoning_effort": "medium"}},
        ),
    ],
)
def test_the_candidate_says_whether_and_the_model_says_how(
    model: str, candidate: str, rest: str, fields: dict[str, Any]
) -> None:
    assert body_of(model, candidate, rest) == fields


def test_a_model_that_names_itself_is_left_alone() -> None:
    seed = policy("""
    models: {m: {endpoints: [h], reasoning_family: f}}
    reasoning_families: {f: {type: thinking, parameter: thinking}}
    routing: {decisions: [{name: d, models: [{model: m, reasoning: true}]}]}
    """)
    request = post(chat("m"))
    assert forwarded(seed, request).body is request.body


@pytest.mark.parametrize(("reasoning", "said"), [(True, "on"), (False, "off")])
def test_reasoning_is_reported_to_those_who_ask(reasoning: bool, said: str) -> None:
    seed = policy(f"""
    models: {{m: {{endpoints: [h]}}}}
    routing: {{decisions: [{{name: d, models: [{{model: m, reasoning: {reasoning}}}]}}]}}
    """)
    found = forwarded(seed, post(chat("auto"), {"x-vsr-debug": "true"}))
    assert dict(found.report)["x-vsr-selected-reasoning"] == said
    assert found.record.reasoning is reasoning
