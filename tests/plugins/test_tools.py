"""Which tools reach the model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.flow.driving import chat, forwarded, policy, post
from wayside.plugins.tools import ToolsRule
from wayside.vocab.ask import Embed, Failure

CONFIG = """
models: {{m: {{endpoints: ["http://m:8000"]}}}}
routing:
  decisions: [{{name: all, models: [m], plugins: {{tools: {rule}}}}}]
"""


def function(name: str, description: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description}}


def sent(rule: str, answers: Any = None, **fields: Any) -> dict[str, Any]:
    body = chat("auto", "Where is the manual?", **fields)
    more = (answers,) if answers else ()
    found: dict[str, Any] = json.loads(
        forwarded(policy(CONFIG.format(rule=rule)), post(body), *more).body
    )
    return found


TOOLS = [function("docs.search", "Search the manual."), function("admin.delete"), {"type": "web"}]


def names(body: dict[str, Any]) -> list[str]:
    return [t.get("function", t).get("name") or t["type"] for t in body.get("tools", ())]


def test_none_takes_all_and_what_speaks_of_them() -> None:
    body = sent("{mode: none}", tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("{allow: [docs.search]}", ["docs.search"]),
        ("{block: [admin.delete]}", ["docs.search", "web"]),
        ("{allow: [docs.search, admin.delete], block: [admin.delete]}", ["docs.search"]),
        ("{allow: [other]}", []),
        ("{mode: passthrough}", ["docs.search", "admin.delete", "web"]),
    ],
)
def test_by_name(rule: str, left: list[str]) -> None:
    assert names(sent(rule, tools=TOOLS)) == left


def test_a_choice_of_a_tool_that_is_gone_goes_too() -> None:
    choice = {"type": "function", "function": {"name": "admin.delete"}}
    assert "tool_choice" not in sent("{block: [admin.delete]}", tools=TOOLS, tool_choice=choice)
    kept = sent("{block: [web]}", tools=TOOLS, tool_choice=choice)
    assert kept["tool_choice"] == choice


def near(question: Embed) -> tuple[tuple[float, ...], ...]:
    """The manual is what is asked for."""
    return tuple((1.0, 0.0) if "manual" in text else (0.6, 0.8) for text in question.texts)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("{top_k: 1}", ["docs.search"]),
        ("{threshold: 0.9}", ["docs.search"]),
        ("{top_k: 2, block: [admin.delete]}", ["docs.search", "web"]),
        ("{threshold: 0.5}", ["docs.search", "admin.delete", "web"]),
    ],
)
def test_by_meaning(rule: str, left: list[str]) -> None:
    assert names(sent(rule, near, tools=TOOLS)) == left


def test_an_embedder_that_does_not_answer_takes_no_tool() -> None:
    body = sent("{threshold: 0.9}", lambda _: Failure("nobody home"), tools=TOOLS)
    assert len(names(body)) == 3


def test_earlier_calls_and_results_go_on_request() -> None:
    call = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [
        {"role": "user", "content": "look it up"},
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "tool_call_id": "1", "content": "secret result"},
        {"role": "assistant", "content": "Found it.", "tool_calls": call},
        {"role": "user", "content": "Where is the manual?"},
    ]
    body = sent("{mode: none, strip_history: true}", tools=TOOLS, messages=messages)
    assert body["messages"] == [
        {"role": "user", "content": "look it up"},
        {"role": "assistant", "content": "Found it."},
        {"role": "user", "content": "Where is the manual?"},
    ]


def test_a_request_without_tools_is_not_touched() -> None:
    request = post(chat("auto"))
    assert forwarded(policy(CONFIG.format(rule="{mode: none}")), request).record.model == "m"
    assert "tools" not in sent("{mode: none}")


@pytest.mark.parametrize("rule", [{"mode": "filtered"}, {"mode": "none", "allow": ["x"]}])
def test_settings_that_do_nothing_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ToolsRule.model_validate(rule)


OLDER = [{"name": "docs.search", "parameters": {}}, {"name": "admin.delete"}]


@pytest.mark.parametrize(
    ("rule", "left", "choice"),
    [
        ("{mode: none}", None, None),
        ("{allow: [other]}", None, None),
        ("{block: [admin.delete]}", OLDER[:1], None),
        ("{block: [docs.search]}", OLDER[1:], {"name": "admin.delete"}),
        ("{allow: [docs.search, admin.delete]}", OLDER, {"name": "admin.delete"}),
        ("{mode: passthrough}", OLDER, {"name": "admin.delete"}),
    ],
)
def test_functions_are_tools_in_their_older_form(rule: str, left: Any, choice: Any) -> None:
    body = sent(rule, functions=OLDER, function_call={"name": "admin.delete"})
    assert (body.get("functions"), body.get("function_call")) == (left, choice)
