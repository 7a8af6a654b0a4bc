"""Which tools the model sees: fewer of the client's, or some of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.plugins import Draft
from wayside.plugins.tool_selection import (
    ToolEntry,
    ToolSelectionPlugin,
    ToolSelectionRule,
    weighted,
)
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.ask import Embed, Failure, Similar
from wayside.vocab.errors import ConfigError, RequestError


def tool(name: str, about: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": about}}


WEATHER, MAIL, EVENT = tool("get_weather"), tool("send_mail"), tool("create_event")
LIST = [
    {"tool": WEATHER, "description": "weather and rain", "tags": ["rain"], "category": "weather"},
    {"tool": MAIL, "description": "send a message by mail"},
    {"tool": EVENT, "description": "a meeting in the calendar"},
]


def run(
    body: dict[str, Any],
    cosines: dict[str, float] | None = None,
    question: str = "Will it rain?",
    **rule: Any,
) -> Any:
    """The tools that go upstream. ``cosines`` are those of texts with these words in them."""
    turns = body.pop("messages", [{"role": "user", "content": question}])
    raw = json.dumps({"model": "auto", "messages": turns, **body}).encode()
    chat = ChatBody(raw)
    draft = Draft(chat.edit)
    plugin = ToolSelectionPlugin(ToolSelectionRule.model_validate(rule))
    flow = plugin.before(chat.prompt({}), draft)
    if flow is not None:
        (asked,) = next(flow)

        def near(text: str) -> float:
            return next((c for word, c in (cosines or {}).items() if word in text), 0.0)

        said: Any
        if cosines is None:
            said = Failure("no embedder")
        elif isinstance(asked, Similar):
            said = tuple(near(text) for text in asked.bank.texts)
        else:
            assert isinstance(asked, Embed)
            said = ((1.0, 0.0), *((near(text), 0.0) for text in asked.texts[1:]))
        with pytest.raises(StopIteration):
            flow.send((said,))
    sent = json.loads(draft.edit.encode())
    return [t["function"]["name"] for t in sent.get("tools", [])], sent.get("tool_choice")


ADD: dict[str, Any] = {"mode": "add", "tools": LIST, "threshold": 0.3}
NEAR = {"rain": 0.8, "mail": 0.5, "calendar": 0.1}


def test_the_nearest_are_added_where_the_model_may_choose() -> None:
    assert run({"tool_choice": "auto"}, NEAR, **ADD)[0] == ["get_weather", "send_mail"]
    assert run({"tool_choice": "auto"}, NEAR, **ADD, top_k=1)[0] == ["get_weather"]


@pytest.mark.parametrize(
    ("body", "when", "names"),
    [
        ({}, "auto", []),
        ({}, "always", ["get_weather", "send_mail"]),
        ({"tool_choice": "none"}, "always", []),
        ({"tools": [tool("mine")]}, "auto", ["mine", "get_weather", "send_mail"]),
        ({"tools": [WEATHER]}, "auto", ["get_weather", "send_mail"]),
    ],
)
def test_when_tools_are_added(body: dict[str, Any], when: str, names: list[str]) -> None:
    assert run(dict(body), NEAR, **ADD, when=when)[0] == names


def test_allowed_and_blocked_names() -> None:
    auto = {"tool_choice": "auto"}
    assert run(dict(auto), NEAR, **ADD, block=["get_weather"])[0] == ["send_mail"]
    assert run(dict(auto), NEAR, **ADD, allow=["get_weather"])[0] == ["get_weather"]


def test_the_weighted_score_worked_out_by_hand() -> None:
    rule = ToolSelectionRule.model_validate({**ADD, "strategy": "weighted"})
    entry = ToolEntry.model_validate(LIST[0])
    # Cosine .8 at .5; one of two words ("rain", "today") shared at .2; a tag at .1; no word of
    # the name at .1; the category is not said at .1. The weights add up to 1.
    assert weighted(entry, {"rain", "todai"}, 0.8, rule) == pytest.approx(0.4 + 0.1 + 0.1)
    picky = ToolSelectionRule.model_validate({**ADD, "strategy": "weighted", "min_score": 0.61})
    assert weighted(entry, {"rain", "todai"}, 0.8, picky) is None
    strict = ToolSelectionRule.model_validate(
        {**ADD, "strategy": "weighted", "min_shared_words": 2}
    )
    assert weighted(entry, {"rain", "todai"}, 0.8, strict) is None


def test_far_tools_go_but_the_best_and_the_needed_stay() -> None:
    offered = {"tools": [WEATHER, MAIL, EVENT]}
    near = {"weather": 0.8, "mail": 0.2, "event": 0.1}
    assert run(dict(offered), near, mode="filter", threshold=0.5)[0] == ["get_weather"]
    kept = run(dict(offered), near, mode="filter", threshold=0.9, keep=2)[0]
    assert kept == ["get_weather", "send_mail"]
    called = [
        {"role": "user", "content": "Will it rain?"},
        {"role": "assistant", "tool_calls": [{"id": "1", **EVENT}]},
    ]
    body = {**offered, "messages": called}
    assert run(body, near, mode="filter", threshold=0.5)[0] == ["get_weather", "create_event"]
    forced = {**offered, "tool_choice": {"type": "function", "function": {"name": "send_mail"}}}
    assert "send_mail" in run(forced, near, mode="filter", threshold=0.5)[0]


def test_no_tool_left_takes_the_choice_along() -> None:
    body = {"tools": [MAIL], "tool_choice": "auto"}
    assert run(body, {"mail": 0.0}, mode="filter", threshold=0.5) == ([], None)


def test_an_embedder_that_fails() -> None:
    offered = {"tools": [WEATHER, MAIL]}
    assert len(run(dict(offered), None, mode="filter")[0]) == 2
    with pytest.raises(RequestError) as refused:
        run(dict(offered), None, mode="filter", on_error="fail")
    assert refused.value.status == 503


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"mode": "add"}, "needs tools, or a file"),
        ({"mode": "filter", "top_k": 3}, "top_k does nothing in mode filter"),
        ({**ADD, "keep": 1}, "keep does nothing in mode add"),
        ({**ADD, "pool": 10}, "strategy: weighted"),
        ({"mode": "add", "tools": [{"tool": {}}]}, "needs a name"),
    ],
)
def test_settings_that_do_nothing_are_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ToolSelectionRule.model_validate(rule)


def settings(file: Path) -> RouterSettings:
    plugin = {"tool_selection": {"mode": "add", "file": str(file)}}
    decision = {"name": "d", "models": ["m"], "plugins": plugin}
    return RouterSettings.model_validate(
        {
            "models": {"m": {"endpoints": ["http://127.0.0.1:1"]}},
            "routing": {"decisions": [decision]},
        }
    )


def test_a_file_is_read_with_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(LIST), "utf-8")
    policy = compile_policy(settings(file))
    assert [bank.texts[0] for bank in policy.banks] == ["weather and rain"]


@pytest.mark.parametrize("text", [None, "{}", '[{"tool": {}}]', "["])
def test_a_file_that_is_no_list_is_told_with_its_path(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "tools.json"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"routing.decisions\[0\].plugins.tool_selection.file"):
        compile_policy(settings(file))
