"""Anthropic's Messages API, simulated: its requests, answers, events and errors.

Strict where the real API is: a missing `max_tokens` or `anthropic-version`, an empty text, roles
it does not know and results of tools that nobody asked for are refused. The counts of a stream
come as the API sends them: the input's at the start, the output's alone at the end.

Source: Anthropic's API reference for `POST /v1/messages`, its streaming and its errors.
"""

import json
import secrets
from typing import Any

from .answer import Choice
from .ask import Ask, Body, Prompt
from .refusal import Refusal
from .shapes import Usage
from .tokens import split_tokens

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def read_messages(body: Body, *, counting: bool = False) -> Ask:
    """A body of POST /v1/messages, or of count_tokens, which wants no `max_tokens`."""
    model, limit = body.get("model"), body.get("max_tokens")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "model: Field required")
    if not counting and (not isinstance(limit, int) or limit < 1):
        raise Refusal(400, "max_tokens: Field required")
    turns = body.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Refusal(400, "messages: at least one message is required")
    system = body.get("system")
    read = [("system", _text(system, "system"))] if system else []
    asked: set[str] = set()
    for i, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("role") not in ("user", "assistant"):
            raise Refusal(400, f"messages.{i}.role: Input should be 'user' or 'assistant'")
        read.append((turn["role"], _text(turn.get("content"), f"messages.{i}.content", asked)))
    question = next((text for role, text in reversed(read) if role == "user"), "")
    tool, schema = _forced(body)
    wanted = body.get("output_config")
    output = wanted.get("format") if isinstance(wanted, dict) else None
    if isinstance(output, dict):
        schema = output.get("schema")
    return Ask(
        model=model,
        prompts=(Prompt("\n".join(text for _, text in read), question),),
        limit=limit if isinstance(limit, int) else None,
        stop=tuple(body.get("stop_sequences") or ()),
        stream=body.get("stream") is True,
        tool=tool,
        schema=schema,
        json_object=tool is None and schema is not None,
    )


def _text(content: object, where: str, asked: set[str] | None = None) -> str:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Refusal(400, f"{where}: Input should be a valid string or list")
    said = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text" and not block.get("text"):
            raise Refusal(400, f"{where}: text content blocks must be non-empty")
        if kind == "tool_use" and asked is not None:
            asked.add(block["id"])
        if kind == "tool_result":
            if asked is not None and block.get("tool_use_id") not in asked:
                raise Refusal(400, f"{where}: unexpected `tool_use_id` in `tool_result` blocks")
            if block.get("content"):
                said.append(_text(block["content"], where))
        elif kind is None:
            raise Refusal(400, f"{where}: each block needs a type")
        else:
            said.append(block["text"] if kind == "text" else f"[{kind}]")
    return "\n".join(said)


def _forced(body: Body) -> tuple[str | None, dict[str, Any] | None]:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") not in ("any", "tool"):
        return None, None
    tools = {tool.get("name"): tool.get("input_schema") or {} for tool in body.get("tools") or ()}
    wanted = next(iter(tools), None) if choice["type"] == "any" else choice.get("name")
    if wanted not in tools:
        raise Refusal(400, f"tool_choice: Tool '{wanted}' not found in provided tools")
    return wanted, tools[wanted]


def messages_body(choice: Choice, usage: Usage, model: str) -> bytes:
    """A whole message."""
    message = _message(model) | {
        "content": [_block(choice)],
        "stop_reason": _reason(choice),
        "stop_sequence": choice.stopped_by,
        "usage": _input(usage) | {"output_tokens": usage.completion},
    }
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")


def messages_events(choice: Choice, usage: Usage, model: str) -> list[list[bytes]]:
    """The events of a streamed message; item k belongs to generation step k."""
    start = _message(model) | {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _input(usage) | {"output_tokens": 1},
    }
    block = _block(choice, begun=True)
    steps = [
        [
            _event("message_start", message=start),
            _event("content_block_start", index=0, content_block=block),
            _event("ping"),
        ]
    ]
    field, kind = (
        ("text", "text_delta") if choice.tool is None else ("partial_json", "input_json_delta")
    )
    for step, piece in enumerate(split_tokens(choice.text)):
        if step:
            steps.append([])
        delta = {"type": kind, field: piece}
        steps[step].append(_event("content_block_delta", index=0, delta=delta))
    ending = {"stop_reason": _reason(choice), "stop_sequence": choice.stopped_by}
    steps[-1] += [
        _event("content_block_stop", index=0),
        _event("message_delta", delta=ending, usage={"output_tokens": usage.completion}),
        _event("message_stop"),
    ]
    return steps


def messages_error(refusal: Refusal) -> bytes:
    """The refusal as Anthropic writes it."""
    kind = _TYPES.get(refusal.status, "api_error")
    error = {"type": kind, "message": refusal.message}
    number = f"req_{secrets.token_hex(12)}"
    return json.dumps({"type": "error", "error": error, "request_id": number}).encode()


def _message(model: str) -> dict[str, Any]:
    number = f"msg_{secrets.token_hex(12)}"
    return {"id": number, "type": "message", "role": "assistant", "model": model}


def _block(choice: Choice, *, begun: bool = False) -> dict[str, Any]:
    if choice.tool is None:
        return {"type": "text", "text": "" if begun else choice.text}
    said = {} if begun else _object(choice.text)
    number = f"toolu_{secrets.token_hex(12)}"
    return {"type": "tool_use", "id": number, "name": choice.tool, "input": said}


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # cut at max_tokens
        return {}


def _reason(choice: Choice) -> str:
    return "stop_sequence" if choice.stopped_by else _STOP[choice.finish]


def _input(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
    }


def _event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")
