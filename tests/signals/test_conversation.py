from __future__ import annotations

import pytest

from wayside.signals.conversation import ConversationRule, ConversationSignal
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

AGENT = Prompt(
    model="auto",
    tools=("search", "fetch", "run"),
    messages=(
        Message("developer", "be brief"),
        Message("user", "look at this", images=2),
        Message("assistant", "", tool_calls=2),
        Message("tool", "found"),
        Message("tool", "fetched"),
        Message("assistant", "", tool_calls=1),
        Message("tool", "ran"),
    ),
)
CHAT = Prompt(model="auto", messages=(Message("user", "hi"), Message("assistant", "hello")))
EMPTY = Prompt(model="auto")


def read(prompt: Prompt, rule: dict[str, object]) -> Verdict:
    signal = ConversationSignal({"it": ConversationRule.model_validate(rule)})
    return signal.read(prompt)["it"]


@pytest.mark.parametrize(
    ("source", "agent", "chat"),
    [
        ({"type": "message"}, 7, 2),
        ({"type": "message", "role": "user"}, 1, 1),
        ({"type": "message", "role": "developer"}, 1, 0),
        ({"type": "message", "role": "non_user"}, 6, 1),
        ({"type": "tool_definition"}, 3, 0),
        ({"type": "assistant_tool_call"}, 3, 0),
        ({"type": "assistant_tool_cycle"}, 2, 0),
        ({"type": "active_tool_loop"}, 1, 0),
        ({"type": "image_content"}, 2, 0),
        ({"type": "audio_content"}, 0, 0),
    ],
)
def test_everything_is_counted(source: dict[str, str], agent: int, chat: int) -> None:
    count = {"feature": {"type": "count", "source": source}, "predicate": {"gte": 1}}
    exists = {"feature": {"type": "exists", "source": source}}
    for prompt, number in ((AGENT, agent), (CHAT, chat), (EMPTY, 0)):
        verdict = read(prompt, count)
        assert (verdict.value, verdict.matched) == (number, number >= 1)
        assert read(prompt, exists).value == min(1, number)
        assert read(prompt, exists).matched is (number >= 1)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [({"gte": 2}, True), ({"gt": 2}, False), ({"lt": 3, "gt": 1}, True), ({"eq": 3}, False)],
)
def test_every_bound_must_hold(predicate: dict[str, float], expected: bool) -> None:
    feature = {"type": "count", "source": {"type": "image_content"}}
    assert read(AGENT, {"feature": feature, "predicate": predicate}).matched is expected


def test_exists_may_be_denied() -> None:
    feature = {"type": "exists", "source": {"type": "tool_definition"}}
    rule = {"feature": feature, "predicate": {"eq": 0}}
    assert read(CHAT, rule).matched and not read(AGENT, rule).matched


@pytest.mark.parametrize(
    "rule",
    [
        {"feature": {"type": "count", "source": {"type": "message"}}},
        {"feature": {"type": "count", "source": {"type": "message"}}, "predicate": {}},
        {"feature": {"type": "exists", "source": {"type": "tool_definition", "role": "user"}}},
        {"feature": {"type": "exists", "source": {"type": "video"}}},
        {"feature": {"type": "density", "source": {"type": "message"}}},
    ],
)
def test_bad_settings_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ConversationRule.model_validate(rule)
