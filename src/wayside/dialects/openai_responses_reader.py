"""An answer of OpenAI's Responses API, told as a chat completion.

Messages become the content, refusals the ``refusal``, reasoning (its text, or else its summary)
the ``reasoning_content``, calls of functions the ``tool_calls``. Items of tools that run at the
server have no counterpart, and are never asked for. A response that failed is an error, whatever
its status over HTTP.

Source: the OpenAI API reference, the response object and its streaming events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, decode, encode
from wayside.dialects.answers import DONE, event
from wayside.dialects.openai_responses_answer import count, told_error
from wayside.dialects.openai_responses_events import Splitter
from wayside.dialects.stage import Failed, Unreadable

MAX_ITEMS = 4096
"""Items of one streamed answer."""
FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""A chat's reason for a response's, where it is incomplete."""
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_STATUS = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_is_overloaded": 503,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "invalid_image": 400,
    "image_content_policy_violation": 400,
}
"""The status that the API would have answered with, by the code of a failed response."""
_DELTAS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Reader:
    """Translates one answer (:class:`~wayside.dialects.stage.ServerStage`).

    ``usage``: a stream ends with an event of usage. ``created`` (Unix seconds) stands in what is
    told where the server names no time.
    """

    __slots__ = (
        "_begun",
        "_calls",
        "_head",
        "_over",
        "_said",
        "_splitter",
        "_thought_as",
        "_wants_usage",
        "created",
    )

    def __init__(self, *, usage: bool) -> None:
        self.created = 0
        self._wants_usage = usage
        self._splitter = Splitter()
        self._head: dict[str, Any] | None = None
        self._begun = self._over = False
        self._calls: dict[int, int] = {}
        """The place of a call among the calls, by its place in the output."""
        self._said: set[int] = set()
        """The places in the output of items that have said something."""
        self._thought_as = ""
        """The event that reasoning comes in: text and summary would say it twice."""

    def whole(self, status: int, body: bytes) -> bytes:
        if status >= 300:
            return encode(told_error(status, _object_or_text(body)))
        said = _object(body)
        if isinstance(said.get("error"), dict) or said.get("status") == "failed":
            raise _failed(said.get("error"))
        output = said.get("output")
        if said.get("status") not in ("completed", "incomplete") or not isinstance(output, list):
            raise Unreadable("a response has a status of its end and a list as its output")
        message, logprobs = _message([item for item in output if isinstance(item, dict)])
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": logprobs} if logprobs else None,
            "finish_reason": _finish(said, called="tool_calls" in message),
        }
        told = {**self._of(said, "chat.completion"), "choices": [choice]}
        usage = usage_of(said.get("usage"))
        return encode(told if usage is None else {**told, "usage": usage})

    def _of(self, said: Mapping[str, Any], kind: str) -> dict[str, Any]:
        created = said.get("created_at")
        if not isinstance(created, int | float) or not 0 < created < 1 << 40:
            created = self.created
        head = {
            "id": str(said.get("id") or ""),
            "object": kind,
            "created": int(created),
            "model": str(said.get("model") or ""),
        }
        if isinstance(said.get("service_tier"), str):
            head["service_tier"] = said["service_tier"]
        return head

    # streams

    def feed(self, chunk: bytes) -> bytes:
        return b"".join([self._event(data) for data in self._splitter.feed(chunk)])

    def finish(self) -> bytes:
        rest = b"".join([self._event(data) for data in self._splitter.finish()])
        if not self._over:
            raise Unreadable("the stream ended before its response was completed")
        return rest

    def _event(self, data: bytes) -> bytes:
        if self._over or data.strip() == b"[DONE]":  # some servers say so, as in a chat
            return b""
        said = _object(data)
        kind = str(said.get("type") or "")
        if kind == "error" or (not kind and said.get("error")):
            return self._broken(said.get("error") or said)
        if self._head is None:
            response = said.get("response")
            head = response if isinstance(response, dict) else {}
            self._head = self._of(head, "chat.completion.chunk")
        if kind in _ENDS:
            return self._end(kind, said.get("response"))
        if kind in _DELTAS:
            return self._piece(kind, said)
        if kind == "response.function_call_arguments.delta":
            return self._arguments(said, said.get("delta"))
        if kind == "response.output_item.added":
            item = said.get("item")
            if isinstance(item, dict) and item.get("type") == "function_call":
                return self._call(_place(said), item)
            return b""
        if kind == "response.output_item.done":
            return self._done(said)
        return b""  # what is told again, or belongs to nothing that a chat has

    def _piece(self, kind: str, said: dict[str, Any]) -> bytes:
        name, text = _DELTAS[kind], said.get("delta")
        if not isinstance(text, str):
            raise Unreadable(f"a {kind} without a text")
        if name == "reasoning_content":
            self._thought_as = self._thought_as or kind
            if kind != self._thought_as:
                return b""
        self._note(_place(said))
        logprobs = said.get("logprobs") if name == "content" else None
        return self._delta({name: text}, logprobs=logprobs)

    def _note(self, place: int) -> None:
        self._said.add(place)
        if len(self._said) > MAX_ITEMS:
            raise Unreadable("too many items")

    def _call(self, place: int, item: dict[str, Any]) -> bytes:
        if place in self._calls:
            raise Unreadable("two items at one place of the output")
        if len(self._calls) >= MAX_ITEMS:
            raise Unreadable("too many items")
        index = self._calls[place] = len(self._calls)
        arguments = item.get("arguments")
        if isinstance(arguments, str) and arguments:
            self._note(place)
        return self._delta({"tool_calls": [{"index": index, **_called(item)}]})

    def _arguments(self, said: dict[str, Any], text: Any) -> bytes:
        place = _place(said)
        if place not in self._calls or not isinstance(text, str):
            raise Unreadable("arguments of a call that was not begun")
        self._note(place)
        piece = {"index": self._calls[place], "function": {"arguments": text}}
        return self._delta({"tool_calls": [piece]}) if text else b""

    def _done(self, said: dict[str, Any]) -> bytes:
        """What an item says at its end is said by now, but by servers that send no pieces."""
        place, item = _place(said), said.get("item")
        if not isinstance(item, dict) or place in self._said:
            return b""
        if item.get("type") == "function_call":
            begun = place in self._calls
            arguments = item.get("arguments")
            if not begun:
                return self._call(place, item)
            return self._arguments(said, arguments) if isinstance(arguments, str) else b""
        message, logprobs = _message([item])
        told = {
            name: message[name]
            for name in ("reasoning_content", "content", "refusal")
            if message.get(name)
        }
        if self._thought_as:
            told.pop("reasoning_content", None)
        if not told:
            return b""
        self._note(place)
        return self._delta(told, logprobs=logprobs)

    def _delta(self, delta: dict[str, Any], *, logprobs: Any = None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if isinstance(logprobs, list) and logprobs:
            choice["logprobs"] = {"content": logprobs}
        return self._start() + event({**(self._head or {}), "choices": [choice]})

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        delta = {"role": "assistant", "content": ""}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return event({**(self._head or {}), "choices": [choice]})

    def _end(self, kind: str, response: Any) -> bytes:
        if not isinstance(response, dict):
            raise Unreadable(f"a {kind} without its response")
        if kind in ("response.failed", "response.cancelled"):
            return self._broken(response.get("error"))
        self._over = True
        finish = _finish(response, called=bool(self._calls))
        last = {"index": 0, "delta": {}, "finish_reason": finish}
        out = [self._start(), event({**(self._head or {}), "choices": [last]})]
        usage = usage_of(response.get("usage"))
        if self._wants_usage and usage is not None:
            out.append(event({**(self._head or {}), "choices": [], "usage": usage}))
        return b"".join([*out, DONE])

    def _broken(self, error: Any) -> bytes:
        """An error in the middle; nothing follows it."""
        self._over = True
        return event(_failed(error).said) + DONE


def usage_of(usage: Any) -> dict[str, Any] | None:
    """A chat's counts for a response's; ``None`` where there are none."""
    if not isinstance(usage, dict):
        return None
    read, written = count(usage, "input_tokens"), count(usage, "output_tokens")
    given, thought = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": count(usage, "total_tokens") or read + written,
        "prompt_tokens_details": {"cached_tokens": count(given, "cached_tokens")},
        "completion_tokens_details": {"reasoning_tokens": count(thought, "reasoning_tokens")},
    }


def _finish(said: Mapping[str, Any], *, called: bool) -> str:
    if said.get("status") == "incomplete":
        details = said.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return FINISH.get(str(reason), "length")
    return "tool_calls" if called else "stop"


def _message(output: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """The message of a chat that some items tell, and its tokens' probabilities."""
    words: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    logprobs: list[Any] = []
    for item in output:
        kind = item.get("type")
        if kind == "function_call":
            calls.append(_called(item))
        elif kind == "reasoning":
            thoughts += _texts(item.get("content")) or _texts(item.get("summary"))
        elif kind == "message":
            for part in _parts(item.get("content")):
                if isinstance(part.get("text"), str):
                    words.append(part["text"])
                    more = part.get("logprobs")
                    logprobs += more if isinstance(more, list) else []
                elif isinstance(part.get("refusal"), str):
                    refusals.append(part["refusal"])
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(words) if words or not (calls or refusals) else None,
        "refusal": "".join(refusals) or None,
    }
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message, logprobs


def _parts(content: Any) -> list[dict[str, Any]]:
    parts = content if isinstance(content, list) else ()
    return [part for part in parts if isinstance(part, dict)]


def _texts(content: Any) -> list[str]:
    return [part["text"] for part in _parts(content) if isinstance(part.get("text"), str)]


def _called(item: dict[str, Any]) -> dict[str, Any]:
    asked = {"name": str(item.get("name") or ""), "arguments": str(item.get("arguments") or "")}
    number = str(item.get("call_id") or item.get("id") or "")
    return {"id": number, "type": "function", "function": asked}


def _place(said: dict[str, Any]) -> int:
    place = said.get("output_index")
    if not isinstance(place, int):
        raise Unreadable("an event of an item without its output_index")
    return place


def _failed(error: Any) -> Failed:
    detail = error if isinstance(error, dict) else {}
    code = detail.get("code")
    status = _STATUS.get(str(code), 500)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "rate_limit_error"
    message = detail.get("message")
    if not isinstance(message, str) or not message:
        message = "The model's server did not finish its response."
    return Failed(
        status,
        {
            "error": {
                "message": message,
                "type": kind,
                "param": detail.get("param") if isinstance(detail.get("param"), str) else None,
                "code": code if isinstance(code, str) else "upstream_error",
            }
        },
    )


def _object(raw: bytes) -> dict[str, Any]:
    said = _object_or_text(raw)
    if not isinstance(said, dict):
        raise Unreadable("what should be a JSON object is none")
    return said


def _object_or_text(raw: bytes) -> Any:
    try:
        said, _ = decode(_decoder, raw)
    except UNREADABLE:
        return None
    return said
