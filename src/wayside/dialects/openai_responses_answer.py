"""A chat completion as a response of OpenAI's Responses API: the object and its items.

Ids hold the response's number, so that an item leads to its response:
``resp_<32 digits>``, ``msg_<the same 32 digits><4 digits of the place>``. Source: the OpenAI API
reference, the response object and its output items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from wayside.dialects.stage import Unreadable

_NUMBER = re.compile(r"(?:resp|msg|fc|rs|it)_([0-9a-f]{32})(?:[0-9a-f]{5})?")
PREFIXES: Mapping[str, str] = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
REASONING_FIELDS = ("reasoning_content", "reasoning")
"""What servers call the reasoning of an answer; some send it under both names."""
_CODES = {429: "rate_limit_exceeded", 503: "server_is_overloaded"}
FAILED = "server_error"
"""The code of a response that could not be finished."""


class Head(msgspec.Struct, frozen=True):
    """What a response says of itself before the model has said anything.

    ``number`` are 32 hexadecimal digits, ``created`` Unix seconds; ``echo`` tells the request
    (:class:`~wayside.dialects.openai_responses_request.Translated`).
    """

    number: str
    created: int
    model: str
    echo: Mapping[str, Any] = {}

    @property
    def id(self) -> str:
        return f"resp_{self.number}"

    def item_id(self, kind: str, place: int, *, given: bool = False) -> str:
        """The id of the item at ``place`` of the output, or of the input that was ``given``."""
        return f"{PREFIXES.get(kind, 'it')}_{self.number}{int(given)}{place:04x}"

    def response(
        self,
        status: str,
        output: list[dict[str, Any]],
        *,
        model: str = "",
        incomplete: str = "",
        error: Mapping[str, Any] | None = None,
        usage: dict[str, Any] | None = None,
        tier: Any = None,
    ) -> dict[str, Any]:
        """The response object. ``incomplete`` is the reason, where it is."""
        said = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "model": model or self.model,
            "output": output,
            "usage": usage,
            **self.echo,
        }
        if tier is not None:
            said["service_tier"] = tier
        return said


def number_of(id: str) -> str | None:
    """The number of the response that an id is of, or ``None`` where it is none of ours."""
    found = _NUMBER.fullmatch(id)
    return found[1] if found else None


def told_as_response(head: Head, completion: Mapping[str, Any]) -> dict[str, Any]:
    """The response that a whole chat completion tells. Raises :class:`Unreadable`."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise Unreadable("it has no choice with a message")
    status, incomplete = ending(choice.get("finish_reason"))
    output = list(_items(head, choice, status))
    return head.response(
        status,
        output,
        model=_string(completion.get("model")),
        incomplete=incomplete,
        usage=usage(completion.get("usage")),
        tier=completion.get("service_tier"),
    )


def told_error(status: int, said: Any) -> dict[str, Any]:
    """A server's error with all that OpenAI's clients read: some servers write a number as its
    code, a text alone, or a page for people."""
    found = said.get("error") if isinstance(said, dict) else None
    detail = found if isinstance(found, dict) else {"message": found}
    message, code = detail.get("message"), detail.get("code")
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if not isinstance(message, str):
        message = f"The model's server answered {status}."
    return {
        "error": {
            **detail,
            "message": message,
            "type": _string(detail.get("type")) or kind,
            "param": detail.get("param"),
            "code": code if isinstance(code, str) else _CODES.get(status),
        }
    }


def ending(finish_reason: Any) -> tuple[str, str]:
    """Status and reason of a response whose choice ended so."""
    if finish_reason == "length":
        return "incomplete", "max_output_tokens"
    if finish_reason == "content_filter":
        return "incomplete", "content_filter"
    return "completed", ""


def _items(head: Head, choice: Mapping[str, Any], status: str) -> Iterator[dict[str, Any]]:
    """Reasoning, then the message, then the calls."""
    turn = choice["message"]
    place = 0
    thought = next((turn[key] for key in REASONING_FIELDS if turn.get(key)), None)
    words, thinking = _content(turn.get("content"))
    thought = thought if isinstance(thought, str) else thinking
    if thought:
        yield reasoning(head.item_id("reasoning", place), thought, "completed")
        place += 1
    parts = []
    if words:
        parts.append(output_text(words, _logprobs(choice)))
    if isinstance(turn.get("refusal"), str) and turn["refusal"]:
        parts.append({"type": "refusal", "refusal": turn["refusal"]})
    calls = turn.get("tool_calls")
    calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if not parts and not calls and not thought:
        parts.append(output_text(""))
    if parts:
        yield message(head.item_id("message", place), parts, status)
        place += 1
    for call in calls:
        asked = call.get("function")
        asked = asked if isinstance(asked, dict) else {}
        id = head.item_id("function_call", place)
        yield function_call(
            id,
            _string(call.get("id")) or f"call_{id}",
            _string(asked.get("name")),
            _arguments(asked.get("arguments")),
            status,
        )
        place += 1


def message(id: str, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": id,
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def output_text(text: str, logprobs: list[Any] | None = None) -> dict[str, Any]:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": logprobs or [],
    }


def reasoning(id: str, text: str, status: str) -> dict[str, Any]:
    """Open models tell all of their reasoning, so it is the item's content, and there is no
    summary."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {
        "type": "reasoning",
        "id": id,
        "status": status,
        "summary": [],
        "content": content,
        "encrypted_content": None,
    }


def function_call(id: str, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": id,
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def usage(said: Any) -> dict[str, Any] | None:
    """The tokens of a completion, under the names that responses have."""
    if not isinstance(said, dict):
        return None
    prompt, given = said.get("prompt_tokens_details"), said.get("completion_tokens_details")
    asked, answered = count(said, "prompt_tokens"), count(said, "completion_tokens")
    return {
        "input_tokens": asked,
        "input_tokens_details": {
            "cached_tokens": count(prompt, "cached_tokens"),
            "cache_write_tokens": count(prompt, "cache_write_tokens"),
        },
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": count(given, "reasoning_tokens")},
        "total_tokens": count(said, "total_tokens") or asked + answered,
    }


def count(holder: Any, name: str) -> int:
    """A number of tokens; what is none counts nothing."""
    number = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return number
    return 0


def logprobs(said: Any) -> list[Any]:
    """The tokens of a chat's ``logprobs.content``, as an output text has them."""
    content = said.get("content") if isinstance(said, dict) else None
    found = []
    for token in content if isinstance(content, list) else ():
        if isinstance(token, dict):
            found.append({"bytes": [], "top_logprobs": [], **token})
    return found


def _logprobs(choice: Mapping[str, Any]) -> list[Any]:
    return logprobs(choice.get("logprobs"))


def _content(said: Any) -> tuple[str, str]:
    """Words and thoughts of a message: a text, or parts of which some servers make it."""
    if isinstance(said, str):
        return said, ""
    words, thoughts = [], []
    for part in said if isinstance(said, list) else ():
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            words.append(part["text"])
        elif isinstance(part, dict) and part.get("type") == "thinking":
            thoughts.append(_content(part.get("thinking"))[0])
    return "".join(words), "".join(thoughts)


def _arguments(said: Any) -> str:
    """Arguments are JSON in a string; some servers send the object."""
    if isinstance(said, str):
        return said
    return msgspec.json.encode(said).decode() if said is not None else ""


def _string(said: Any) -> str:
    return said if isinstance(said, str) else ""
