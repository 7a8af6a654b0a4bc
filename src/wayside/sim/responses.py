"""OpenAI's Responses API, simulated: its requests, answers and events; errors are OpenAI's own.

Strict where the real API is: it keeps nothing, so `previous_response_id` and references to items
are not found; fields of a chat are unknown; a function needs a name at its top level, and a result
the call that it answers.

Source: OpenAI's API reference for `POST /v1/responses` and its streaming events.
"""

import json
import secrets
from typing import Any

from .answer import Choice
from .ask import Ask, Body, Prompt
from .refusal import Refusal
from .shapes import Usage
from .tokens import split_tokens

PATH = "/v1/responses"
_OF_CHATS = (
    "messages", "functions", "function_call", "response_format", "max_tokens", "n", "stop", "seed",
    "max_completion_tokens", "reasoning_effort", "logprobs",
)  # fmt: skip


def read_response(body: Body) -> Ask:
    """A body of POST /v1/responses."""
    model, limit = body.get("model"), body.get("max_output_tokens")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "Missing required parameter: 'model'.", param="model")
    for name in _OF_CHATS:
        if name in body:
            raise Refusal(400, f"Unknown parameter: '{name}'.", param=name)
    if body.get("previous_response_id") is not None:
        raise Refusal(
            400,
            f"Previous response with id '{body['previous_response_id']}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        raise Refusal(400, "Missing required parameter: 'input'.", param="input")
    read = [("system", body["instructions"])] if body.get("instructions") else []
    calls: set[str] = set()
    for i, item in enumerate(items):
        read.append(_item(item, f"input[{i}]", calls))
    question = next((text for role, text in reversed(read) if role == "user"), "")
    tool, schema = _forced(body)
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if isinstance(wanted, dict) and kind == "json_schema":
        schema = wanted.get("schema")
    return Ask(
        model=model,
        prompts=(Prompt("\n".join(text for _, text in read), question),),
        limit=limit if isinstance(limit, int) else None,
        stream=body.get("stream") is True,
        tool=tool,
        schema=schema,
        json_object=tool is None and kind in ("json_schema", "json_object"),
    )


def _item(item: object, where: str, calls: set[str]) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise Refusal(400, f"Invalid type for '{where}': expected an object.", param=where)
    kind = item.get("type", "message")
    if str(item.get("id", "")).startswith(("msg_", "rs_", "fc_")):
        raise Refusal(404, f"Item with id '{item['id']}' not found.", param="input")
    if kind == "message" and item.get("role") in ("user", "assistant", "system", "developer"):
        return item["role"], _text(item.get("content"), f"{where}.content", item["role"])
    if kind == "function_call":
        calls.add(item["call_id"])
        return "assistant", item["arguments"]
    if kind == "function_call_output":
        if item.get("call_id") not in calls:
            raise Refusal(
                400, f"No tool call found for call_id {item.get('call_id')}.", param="input"
            )
        return "tool", _text(item.get("output"), f"{where}.output", "user")
    raise Refusal(400, f"Invalid value: '{kind}'.", param=where)


def _text(content: object, where: str, role: str) -> str:
    if isinstance(content, str):
        return content
    known = ("output_text", "refusal") if role == "assistant" else ("input_text", "input_image")
    said = []
    for i, part in enumerate(content if isinstance(content, list) else [content]):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in known:
            raise Refusal(400, f"Invalid value: '{kind}'.", param=f"{where}[{i}]")
        said.append(part.get("text") or f"[{kind}]")
    return "\n".join(said)


def _forced(body: Body) -> tuple[str | None, dict[str, Any] | None]:
    tools = {}
    for i, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") != "function" or not tool.get("name"):
            where = f"tools[{i}].name"
            raise Refusal(400, f"Missing required parameter: '{where}'.", param=where)
        tools[tool["name"]] = tool.get("parameters") or {}
    choice = body.get("tool_choice")
    wanted = choice.get("name") if isinstance(choice, dict) else None
    if choice == "required":
        wanted = next(iter(tools), None)
    elif wanted is None:
        return None, None
    if wanted not in tools:
        raise Refusal(400, f"Tool choice '{wanted}' not found in 'tools' parameter.")
    return wanted, tools[wanted]


def response_body(choice: Choice, usage: Usage, model: str, created: int) -> bytes:
    """A whole response."""
    response = _ended(_begun(model, created), choice, usage, _item_of(choice))
    return json.dumps(response, ensure_ascii=False).encode("utf-8", "replace")


def response_events(choice: Choice, usage: Usage, model: str, created: int) -> list[list[bytes]]:
    """The events of a streamed response; item k belongs to generation step k."""
    begun, item = _begun(model, created), _item_of(choice)
    number = 0

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        said = {"type": kind, "sequence_number": number, **fields}
        number += 1
        data = json.dumps(said, ensure_ascii=False)
        return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")

    at: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    grows: dict[str, Any] = {"content": []} if choice.tool is None else {"arguments": ""}
    empty = {**item, "status": "in_progress", **grows}
    steps = [
        [
            event("response.created", response=begun),
            event("response.in_progress", response=begun),
            event("response.output_item.added", output_index=0, item=empty),
        ]
    ]
    if choice.tool is None:
        at["content_index"] = 0
        part = {**item["content"][0], "text": ""}
        steps[0].append(event("response.content_part.added", **at, part=part))
        kind, last = "response.output_text", {"text": choice.text, "logprobs": []}
    else:
        kind, last = "response.function_call_arguments", {"arguments": choice.text}
    for step, piece in enumerate(split_tokens(choice.text)):
        if step:
            steps.append([])
        steps[step].append(event(f"{kind}.delta", **at, delta=piece))
    steps[-1].append(event(f"{kind}.done", **at, **last))
    if choice.tool is None:
        steps[-1].append(event("response.content_part.done", **at, part=item["content"][0]))
    ended = _ended(begun, choice, usage, item)
    steps[-1] += [
        event("response.output_item.done", output_index=0, item=item),
        event(f"response.{ended['status']}", response=ended),
    ]
    return steps


def _begun(model: str, created: int) -> dict[str, Any]:
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "store": False,
        "usage": None,
    }


def _ended(
    begun: dict[str, Any], choice: Choice, usage: Usage, item: dict[str, Any]
) -> dict[str, Any]:
    cut = choice.finish == "length"
    return begun | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [item],
        "usage": {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt + usage.completion,
        },
    }


def _item_of(choice: Choice) -> dict[str, Any]:
    status = "incomplete" if choice.finish == "length" else "completed"
    if choice.tool is None:
        part = {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": []}
        return {
            "id": f"msg_{secrets.token_hex(24)}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [part],
        }
    return {
        "id": f"fc_{secrets.token_hex(24)}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{secrets.token_hex(12)}",
        "name": choice.tool,
        "arguments": choice.text,
    }
