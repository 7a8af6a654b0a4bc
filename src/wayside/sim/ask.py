"""Reads an OpenAI request body into an `Ask`: what is wanted, checked and with defaults.

Chat completions, completions and embeddings each have a reader. A body that OpenAI or vLLM would
reject is refused with 400 and the name of the parameter.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .refusal import Refusal

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text` is all there is to read; `question` is what the answer quotes."""

    text: str
    question: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One generation request."""

    model: str
    prompts: tuple[Prompt, ...]
    n: int = 1
    limit: int | None = None
    """Most tokens an answer may have; None is no limit but the model's."""
    least: int = 0
    """Fewest tokens (vLLM's min_tokens)."""
    ignore_eos: bool = False
    """Go on until `limit` (vLLM)."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    echo: bool = False
    stream: bool = False
    include_usage: bool = False
    usage_always: bool = False
    """Usage in every chunk (vLLM's continuous_usage_stats)."""
    tool: str | None = None
    """The function that must be called."""
    schema: Mapping[str, Any] | None = None
    """What a tool's arguments, or structured output, must fit."""
    json_object: bool = False
    continues: bool = False
    """The answer follows the prompt directly, as in a text completion; a chat begins a line."""
    cache_salt: str | None = None
    """Prompts with different salts share no cache (vLLM)."""
    kv_transfer: Mapping[str, Any] | None = None
    """vLLM's kv_transfer_params: who reads the prompt, and who answers."""


@dataclass(frozen=True, slots=True)
class EmbeddingAsk:
    """One embeddings request."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None
    base64: bool


def read_body(raw: bytes) -> Body:
    """The JSON object in a request body."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return body


def read_chat(body: Body) -> Ask:
    """A body of POST /v1/chat/completions."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "'messages' must be a list with at least one message", param="messages")
    read = [_message(message, i) for i, message in enumerate(messages)]
    question = next((text for role, text in reversed(read) if role == "user"), read[-1][1])
    tool, schema = _forced_tool(body)
    json_object = False
    if tool is None:
        json_object, schema = _response_format(body)
    limit = _whole(body, "max_completion_tokens", 1)
    return Ask(
        prompts=(Prompt("\n".join(text for _, text in read), question),),
        limit=limit if limit is not None else _whole(body, "max_tokens", 1),
        tool=tool,
        schema=schema,
        json_object=json_object,
        **_common(body),
    )


def read_completion(body: Body) -> Ask:
    """A body of POST /v1/completions. Its limit is 16 tokens when it names none."""
    texts = _texts(body.get("prompt"), "prompt")
    limit = _whole(body, "max_tokens", 0)
    return Ask(
        prompts=tuple(Prompt(text, text) for text in texts),
        limit=16 if limit is None else limit,
        echo=body.get("echo") is True,
        continues=True,
        **_common(body),
    )


def read_embedding(body: Body) -> EmbeddingAsk:
    """A body of POST /v1/embeddings."""
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refusal(400, "use 'float' or 'base64'", param="encoding_format")
    return EmbeddingAsk(
        model=_model(body),
        texts=_texts(body.get("input"), "input"),
        dimensions=_whole(body, "dimensions", 1, 65536),
        base64=encoding == "base64",
    )


def _common(body: Body) -> dict[str, Any]:
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise Refusal(400, "'stream_options' must be an object", param="stream_options")
    return {
        "model": _model(body),
        "n": _whole(body, "n", 1, 128) or 1,
        "least": _whole(body, "min_tokens", 0) or 0,
        "ignore_eos": body.get("ignore_eos") is True,
        "stop": _stop(body.get("stop")),
        "seed": _whole(body, "seed", -(2**63), 2**64),
        "stream": body.get("stream") is True,
        "include_usage": options.get("include_usage") is True,
        "usage_always": options.get("continuous_usage_stats") is True,
        "cache_salt": _salt(body.get("cache_salt")),
        "kv_transfer": _transfer(body.get("kv_transfer_params")),
    }


def _salt(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise Refusal(400, "'cache_salt' must be text that is not empty", param="cache_salt")


def _transfer(value: object) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise Refusal(400, "'kv_transfer_params' must be an object", param="kv_transfer_params")


def _model(body: Body) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter", param="model")
    return model


def _message(message: object, index: int) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Refusal(400, f"messages[{index}] must be an object with a role", param="messages")
    content = message.get("content")
    if content is None:
        calls = message.get("tool_calls")
        return message["role"], json.dumps(calls) if calls else ""
    if isinstance(content, str):
        return message["role"], content
    if not isinstance(content, list):
        raise Refusal(
            400, f"messages[{index}].content must be text or a list of parts", param="messages"
        )
    return message["role"], "\n".join(_part(part, index) for part in content)


def _part(part: object, index: int) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise Refusal(400, f"messages[{index}].content: each part needs a type", param="messages")
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else f"[{part['type']}]"


def _texts(value: object, name: str) -> tuple[str, ...]:
    """Text, a list of texts, token ids, or a list of those; ids become `<id>` each."""
    match value:
        case str():
            return (value,)
        case [int(), *_]:
            return ("".join(f"<{token}>" for token in value),)
        case [_, *_]:
            return tuple(text for item in value for text in _texts(item, name))
        case _:
            raise Refusal(400, f"'{name}' must be text or a list of texts", param=name)


def _whole(body: Body, name: str, low: int, high: int = 10_000_000) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refusal(400, f"'{name}' must be a whole number from {low} to {high}", param=name)
    return value


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise Refusal(400, "'stop' must be text or a list of texts", param="stop")
    return tuple(stop for stop in stops if stop)


def _forced_tool(body: Body) -> tuple[str | None, Mapping[str, Any] | None]:
    choice = body.get("tool_choice")
    tools = body.get("tools")
    if choice in (None, "none", "auto"):
        return None, None
    if not isinstance(tools, list) or not tools:
        raise Refusal(400, "'tool_choice' needs 'tools'", param="tool_choice")
    functions = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Refusal(400, "each tool needs a function with a name", param="tools")
        functions[function["name"]] = function.get("parameters") or {}
    if choice == "required":
        wanted = next(iter(functions))
    else:
        wanted = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if wanted not in functions:
        raise Refusal(400, f"'tool_choice' names no given tool: {choice}", param="tool_choice")
    return wanted, functions[wanted]


def _response_format(body: Body) -> tuple[bool, Mapping[str, Any] | None]:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") in (None, "text"):
        return False, None
    if wanted["type"] == "json_object":
        return True, None
    wrapper = wanted.get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    if wanted["type"] != "json_schema" or not isinstance(schema, dict):
        raise Refusal(400, "use text, json_object or json_schema", param="response_format")
    return True, schema
