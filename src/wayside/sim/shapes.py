"""Puts answers into OpenAI's JSON: whole bodies, and the events of a stream.

Sources: the OpenAI API reference, and vLLM's vllm/entrypoints/openai/ (0.10). The two differ in
ids, in the name they echo, and in a few fields that only one of them has; `Style` holds that.
"""

import json
import re
import secrets
import string
from dataclasses import dataclass
from typing import Any

from .answer import Choice
from .ask import Ask, EmbeddingAsk
from .embedding import embed, pack_base64
from .tokens import count_tokens, split_tokens

DONE = b"data: [DONE]\n\n"
_ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request."""

    prompt: int
    completion: int
    cached: int = 0

    def as_json(self) -> dict[str, object]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass(frozen=True, slots=True)
class Style:
    """Whose answer it is: `model` is the name echoed, `fingerprint` is None for vLLM."""

    model: str
    created: int
    request_id: str | None = None
    fingerprint: str | None = None

    def new_id(self, prefix: str) -> str:
        """An id as this server makes them; vLLM reuses the X-Request-Id it was sent."""
        if self.fingerprint is None:
            return f"{prefix}-{self.request_id or secrets.token_hex(16)}"
        return f"{prefix}-{_random_text(29)}"

    def new_tool_id(self) -> str:
        if self.fingerprint is None:
            return f"chatcmpl-tool-{secrets.token_hex(16)}"
        return f"call_{_random_text(24)}"

    def envelope(self, prefix: str, kind: str) -> dict[str, Any]:
        """The fields every body and every event starts with."""
        head: dict[str, Any] = {
            "id": self.new_id(prefix),
            "object": kind,
            "created": self.created,
            "model": self.model,
        }
        if self.fingerprint is not None:
            head |= {"service_tier": "default", "system_fingerprint": self.fingerprint}
        return head


def chat_body(ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style) -> bytes:
    """A whole chat completion."""
    body = style.envelope("chatcmpl", "chat.completion")
    body["choices"] = [
        {
            "index": index,
            "message": _message(choice, style),
            "logprobs": None,
            "finish_reason": choice.finish,
            **_stop_reason(choice, style),
        }
        for index, choice in enumerate(choices)
    ]
    body["usage"] = usage.as_json()
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def completion_body(ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style) -> bytes:
    """A whole text completion."""
    body = style.envelope("cmpl", "text_completion")
    body["choices"] = [
        {
            "index": index,
            "text": choice.prefix + choice.text,
            "logprobs": None,
            "finish_reason": choice.finish,
            **_stop_reason(choice, style),
        }
        for index, choice in enumerate(choices)
    ]
    body["usage"] = usage.as_json()
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def chat_events(
    ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style
) -> list[list[bytes]]:
    """The events of a streamed chat completion; item k belongs to generation step k."""
    events = _Events(style.envelope("chatcmpl", "chat.completion.chunk"), ask, usage)
    for index, choice in enumerate(choices):
        events.at(0, index, "delta", '{"role":"assistant","content":""}')
        if choice.tool is not None:
            call = {
                "index": 0,
                "id": style.new_tool_id(),
                "type": "function",
                "function": {"name": choice.tool, "arguments": ""},
            }
            events.at(0, index, "delta", json.dumps({"tool_calls": [call]}))
        for step, piece in enumerate(split_tokens(choice.text)):
            events.at(step, index, "delta", _delta(choice, piece), made=step + 1)
    for index, choice in enumerate(choices):
        extra = _stop_reason(choice, style)
        events.at(-1, index, "delta", "{}", choice.finish, extra, choice.tokens)
    return events.finish()


def completion_events(
    ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style
) -> list[list[bytes]]:
    """The events of a streamed text completion; item k belongs to generation step k."""
    events = _Events(style.envelope("cmpl", "text_completion"), ask, usage)
    for index, choice in enumerate(choices):
        if choice.prefix:
            events.at(0, index, "text", _quoted(choice.prefix))
        for step, piece in enumerate(split_tokens(choice.text)):
            events.at(step, index, "text", _quoted(piece), made=step + 1)
    for index, choice in enumerate(choices):
        extra = _stop_reason(choice, style)
        events.at(-1, index, "text", '""', choice.finish, extra, choice.tokens)
    return events.finish()


def embedding_body(ask: EmbeddingAsk, dimensions: int, model: str) -> bytes:
    """A list of embeddings."""
    vectors = [embed(text, ask.dimensions or dimensions) for text in ask.texts]
    tokens = sum(count_tokens(text) for text in ask.texts)
    body = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": pack_base64(vector) if ask.base64 else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return json.dumps(body).encode()


def brings_token(event: bytes) -> bool:
    """Whether a streamed event has a piece of the answer, and so one token of it."""
    if event.startswith(b"event: response."):  # its last events repeat the text
        return event.partition(b"\n")[0].endswith(b".delta")
    return _PIECE.search(event) is not None


_PIECE = re.compile(
    rb'"(?:content|text|arguments|partial_json)": "(?!")|"delta": \{"type": "\w+_delta"'
)


class _Events:
    """Collects the events of a stream, step by step.

    An event is put together from text that is already JSON: encoding each one as a dictionary
    costs 5 us, this 0.7 us, and a stream has one per token.
    """

    def __init__(self, envelope: dict[str, Any], ask: Ask, usage: Usage) -> None:
        self._head = "data: " + json.dumps(envelope, ensure_ascii=False)[:-1]
        self._ask = ask
        self._usage = usage
        self._steps: list[list[bytes]] = []
        self._open_usage = ask.include_usage and "system_fingerprint" in envelope

    def at(
        self,
        step: int,
        index: int,
        field: str,
        value: str,
        finish: str | None = None,
        extra: dict[str, object] | None = None,
        made: int = 0,
    ) -> None:
        """One event of choice `index`; `value` is JSON. Step -1 is the last one."""
        while step >= len(self._steps) or not self._steps:
            self._steps.append([])
        end = f'"{finish}"' if finish else "null"
        more = "".join(f', "{k}": {json.dumps(v)}' for k, v in extra.items()) if extra else ""
        usage = self._running_usage(made)
        self._steps[step].append(
            f'{self._head}, "choices": [{{"index": {index}, "{field}": {value}, '
            f'"logprobs": null, "finish_reason": {end}{more}}}]{usage}}}\n\n'.encode(
                "utf-8", "replace"
            )
        )

    def finish(self) -> list[list[bytes]]:
        """All steps, the last one ending in the usage asked for and `[DONE]`."""
        last = self._steps[-1]
        if self._ask.include_usage:
            usage = json.dumps(self._usage.as_json())
            last.append(f'{self._head}, "choices": [], "usage": {usage}}}\n\n'.encode())
        last.append(DONE)
        return self._steps

    def _running_usage(self, made: int) -> str:
        if self._ask.usage_always:
            usage = Usage(self._usage.prompt, made, self._usage.cached)
            return f', "usage": {json.dumps(usage.as_json())}'
        return ', "usage": null' if self._open_usage else ""


def _message(choice: Choice, style: Style) -> dict[str, Any]:
    if choice.tool is None:
        return {"role": "assistant", "content": choice.text, "refusal": None}
    call = {
        "id": style.new_tool_id(),
        "type": "function",
        "function": {"name": choice.tool, "arguments": choice.text},
    }
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


def _delta(choice: Choice, piece: str) -> str:
    if choice.tool is None:
        return f'{{"content": {_quoted(piece)}}}'
    arguments = _quoted(piece)
    return f'{{"tool_calls": [{{"index": 0, "function": {{"arguments": {arguments}}}}}]}}'


def _stop_reason(choice: Choice, style: Style) -> dict[str, object]:
    return {"stop_reason": choice.stopped_by} if style.fingerprint is None else {}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _random_text(length: int) -> str:
    return "".join(_ALPHANUMERIC[byte % 62] for byte in secrets.token_bytes(length))
