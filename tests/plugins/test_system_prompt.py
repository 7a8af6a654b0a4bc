"""A system prompt of the operator's."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_completions import CompletionBody
from wayside.plugins import Draft
from wayside.plugins.system_prompt import SystemPromptPlugin, SystemPromptRule
from wayside.vocab.prompt import Prompt


def messages(mode: str, *turns: dict[str, Any]) -> Any:
    body = ChatBody(json.dumps({"model": "m", "messages": turns}).encode())
    draft = Draft(body.edit)
    plugin = SystemPromptPlugin(SystemPromptRule.model_validate({"prompt": "ours", "mode": mode}))
    plugin.before(Prompt(model="m"), draft)
    return draft.edit.get("messages")


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(("mode", "said"), [("replace", "ours"), ("insert", "ours\n\ntheirs")])
def test_the_clients_own_is_replaced_or_follows(mode: str, said: str) -> None:
    for role in ("system", "developer"):
        changed = messages(mode, {"role": role, "content": "theirs"}, USER)
        assert changed == [{"role": role, "content": said}, USER]


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_without_one_ours_goes_first(mode: str) -> None:
    assert messages(mode, USER) == [{"role": "system", "content": "ours"}, USER]


def test_text_of_any_script_and_any_quotes_survives() -> None:
    text = 'Réponds "vite"\n\\ 日本語 \u2028'
    draft = Draft(ChatBody(b'{"model":"m","messages":[]}').edit)
    SystemPromptPlugin(SystemPromptRule(prompt=text)).before(Prompt(model="m"), draft)
    assert draft.edit.get("messages") == [{"role": "system", "content": text}]


def test_a_completion_has_no_place_for_one() -> None:
    draft = Draft(CompletionBody(b'{"model":"m","prompt":"x"}').edit)
    SystemPromptPlugin(SystemPromptRule(prompt="ours")).before(Prompt(model="m"), draft)
    assert draft.edit.encode() == b'{"model":"m","prompt":"x"}'


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValidationError):
        SystemPromptRule(prompt="")
