"""The shape of the conversation: turns, tools, images. Never what is said in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Bounds, Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class ConversationSource(Settings):
    """What is counted.

    Example: ``{type: message, role: user}``
    """

    type: Literal[
        "message",
        "tool_definition",
        "assistant_tool_call",
        "assistant_tool_cycle",
        "active_tool_loop",
        "image_content",
        "audio_content",
    ]
    """Messages; tools offered; calls made; calls answered; whether the last message is a tool's
    result; images; audio."""
    role: Annotated[str, Field(min_length=1)] | None = None
    """For ``message``: whose (user, assistant, system, developer, tool; ``non_user``: everyone's
    but the user's); absent: everyone's."""

    @model_validator(mode="after")
    def _role_of_messages(self) -> ConversationSource:
        if self.role is not None and self.type != "message":
            raise ValueError(f"role belongs to type message, not {self.type}; remove it")
        return self


class ConversationFeature(Settings):
    """A number to be had from the conversation.

    Example: ``{type: count, source: {type: tool_definition}}``
    """

    type: Literal["count", "exists"]
    """How many there are, or whether there is one (1) or none (0)."""
    source: ConversationSource
    """What is counted."""


class ConversationRule(Settings):
    """Example: ``{feature: {type: count, source: {type: message, role: user}}, predicate: {gte: 2}}``"""  # noqa: E501

    feature: ConversationFeature
    """What is counted, and how."""
    predicate: Bounds | None = None
    """What the number must be; needed for ``count``, and at least 1 when absent for ``exists``."""

    @model_validator(mode="after")
    def _count_is_compared(self) -> ConversationRule:
        if self.feature.type == "count" and self.predicate is None:
            raise ValueError("a count needs a predicate, such as {gte: 2}")
        return self


@catalog.register("signal", "conversation", settings=ConversationRule, stability="stable")
class ConversationSignal:
    """Matches on how many turns, tools, tool calls or images a conversation has."""

    def __init__(self, rules: Mapping[str, ConversationRule]) -> None:
        self._rules = rules

    def read(self, prompt: Prompt) -> Reading:
        return {name: _judge(rule, prompt) for name, rule in self._rules.items()}


def _judge(rule: ConversationRule, prompt: Prompt) -> Verdict:
    source = rule.feature.source
    if source.type == "message":
        number = _messages(prompt, source.role)
    else:
        number = _COUNTS[source.type](prompt)
    because = f"{number} {source.role or ''} {source.type}".replace("  ", " ")
    value = number if rule.feature.type == "count" else min(1, number)
    matched = rule.predicate.hold(value) if rule.predicate else value >= 1
    return Verdict(matched, 1.0 if matched else 0.0, because, value)


NON_USER = "non_user"


def _messages(prompt: Prompt, role: str | None) -> int:
    if role is None:
        return len(prompt.messages)
    ours = sum(m.role == (role if role != NON_USER else "user") for m in prompt.messages)
    return len(prompt.messages) - ours if role == NON_USER else ours


_TOOL_ROLES = ("tool", "function")


def _answered_calls(prompt: Prompt) -> int:
    """Assistant turns that called tools and were followed by a result."""
    return sum(
        before.tool_calls > 0 and after.role in _TOOL_ROLES
        for before, after in zip(prompt.messages, prompt.messages[1:], strict=False)
    )


def _looping(prompt: Prompt) -> int:
    """1 when the conversation ends in a tool's result that the model is to go on from."""
    return int(bool(prompt.messages) and prompt.messages[-1].role in _TOOL_ROLES)


_COUNTS: dict[str, Callable[[Prompt], int]] = {
    "tool_definition": lambda prompt: len(prompt.tools),
    "assistant_tool_call": lambda prompt: sum(m.tool_calls for m in prompt.messages),
    "assistant_tool_cycle": _answered_calls,
    "active_tool_loop": _looping,
    "image_content": lambda prompt: sum(m.images for m in prompt.messages),
    "audio_content": lambda prompt: sum(m.audio for m in prompt.messages),
}
