"""Which answers are fit to be given again to somebody who asks the same."""

from __future__ import annotations

from typing import Any

from wayside.dialects import encode
from wayside.dialects.whole import Answer

_SAID_ALL = "stop"
_CALLED = ("tool_calls", "function_call", "stop")


def kept(answer: Answer, *, tool_calls: bool = False) -> bytes | None:
    """The bytes of the completion to keep, or ``None`` where it is not fit for anybody else.

    It is fit when it came from a model, is complete, and every choice says something and ended
    because all was said: no error, refusal, warning, filter or limit of length, nothing spoken,
    and no call of a tool unless ``tool_calls``.
    """
    completion = None if answer.warnings or answer.path else answer.completion()
    if completion is None or completion.get("error"):
        return None
    choices = completion["choices"]
    if not isinstance(choices, list) or not all(_fit(choice, tool_calls) for choice in choices):
        return None
    return encode(completion)


def _fit(choice: Any, tool_calls: bool) -> bool:
    if not isinstance(choice, dict) or choice.get("error"):
        return False
    turn = choice.get("message")
    if not isinstance(turn, dict):
        turn = {"content": choice.get("text")}
    if turn.get("refusal") or turn.get("audio"):
        return False
    why = choice.get("finish_reason")
    if turn.get("tool_calls") or turn.get("function_call"):
        return tool_calls and why in _CALLED
    return why == _SAID_ALL and bool(turn.get("content"))
