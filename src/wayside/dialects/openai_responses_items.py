"""The items of OpenAI's Responses API as turns of a chat.

A conversation there is a list of items: messages, calls of functions, what the functions gave,
and what the model thought. A chat has turns: the calls belong to the assistant's turn before
them. Source: the OpenAI API reference for responses (``input``) and chat completions
(``messages``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

Item = dict[str, Any]
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS = ("input_text", "output_text", "text")


class Turns:
    """Turns of a chat, gathered from items in their order."""

    __slots__ = ("losses", "messages")

    def __init__(self, instructions: str | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.losses: list[Loss] = []
        if instructions:
            self.messages.append({"role": "system", "content": instructions})

    def add(self, items: Sequence[Any], where: str = "input") -> None:
        """Add items; ``where`` is how the client calls the list, for errors.

        Raises :class:`RequestError` for an item that a chat cannot say.
        """
        for at, item in enumerate(items):
            path = f"{where}[{at}]"
            if not isinstance(item, dict):
                raise wrong(path, "each item is an object")
            kind = item.get("type") or ("message" if "role" in item else None)
            put = _ITEMS.get(kind) if isinstance(kind, str) else None
            if put is None:
                raise _no_such_item(path, kind)
            put(self, item, path)

    def message(self, item: Item, path: str) -> None:
        role = item.get("role")
        said = _ROLES.get(role) if isinstance(role, str) else None
        if said is None:
            raise wrong(f"{path}.role", f"one of {', '.join(_ROLES)} is expected")
        content = item.get("content")
        if said == "assistant":
            self.messages.append(_assistant(content, f"{path}.content"))
        else:
            self.messages.append({"role": said, "content": _parts(content, f"{path}.content")})

    def call(self, item: Item, path: str) -> None:
        asked = {
            "id": text_of(item, "call_id", path),
            "type": "function",
            "function": {
                "name": text_of(item, "name", path),
                "arguments": text_of(item, "arguments", path),
            },
        }
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "assistant":
            last = {"role": "assistant", "content": None}
            self.messages.append(last)
        last.setdefault("tool_calls", []).append(asked)

    def result(self, item: Item, path: str) -> None:
        given = _parts(item.get("output"), f"{path}.output")
        number = text_of(item, "call_id", path)
        self.messages.append({"role": "tool", "tool_call_id": number, "content": given})

    def reasoning(self, item: Item, path: str) -> None:
        """Earlier reasoning stays here: chat servers refuse it, or have no place for it."""
        self.losses.append(Loss("info", "reasoning_not_sent", path))


_ITEMS: Mapping[str | None, Callable[[Turns, Item, str], None]] = {
    "message": Turns.message,
    "function_call": Turns.call,
    "function_call_output": Turns.result,
    "reasoning": Turns.reasoning,
}


def wrong(param: str, why: str) -> RequestError:
    """The client's 400 for a value that cannot be."""
    return RequestError(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")


def unsupported(param: str, why: str) -> RequestError:
    """The client's 400 for something that the API has and this router does not."""
    return RequestError(
        f"'{param}' is not supported here: {why}.", param=param, code="unsupported_parameter"
    )


def text_of(holder: Item, name: str, path: str) -> str:
    """The string ``name`` of an item, which must be there."""
    said = holder.get(name)
    if not isinstance(said, str):
        where = f"{path}.{name}"
        if said is None:
            raise RequestError(
                f"Missing required parameter: '{where}'.",
                param=where,
                code="missing_required_parameter",
            )
        raise wrong(where, "a string is expected")
    return said


def _no_such_item(path: str, kind: Any) -> RequestError:
    if kind is None:
        return wrong(path, "an item has a type, or a role where it is a message")
    if kind == "item_reference":
        return wrong(f"{path}.id", "no stored response has this item")
    return unsupported(
        f"{path}.type",
        f"{str(kind)[:64]!r} belongs to a tool that runs at OpenAI; "
        f"items are {', '.join(map(str, _ITEMS))}, item_reference",
    )


def _assistant(content: Any, path: str) -> dict[str, Any]:
    """What the model said earlier: its words and refusals, as one text each."""
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    words: list[str] = []
    refusals: list[str] = []
    for at, part in enumerate(_list(content, path)):
        kind = part.get("type")
        if kind == "refusal":
            refusals.append(text_of(part, "refusal", f"{path}[{at}]"))
        elif kind in _TEXTS:
            words.append(text_of(part, "text", f"{path}[{at}]"))
        else:
            raise wrong(f"{path}[{at}].type", "an assistant's parts are output_text and refusal")
    turn: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
    if refusals:
        turn["refusal"] = "".join(refusals)
        turn["content"] = turn["content"] or None
    return turn


def _parts(content: Any, path: str) -> str | list[Item]:
    """A text stays one; of parts, a single text becomes one."""
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{path}[{at}]") for at, part in enumerate(_list(content, path))]
    if len(parts) == 1 and parts[0]["type"] == "text":
        only: str = parts[0]["text"]
        return only
    return parts


def _list(content: Any, path: str) -> list[Item]:
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise wrong(path, "a string or a list of parts is expected")
    return content


def _part(part: Item, path: str) -> Item:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": text_of(part, "text", path)}
    if kind == "refusal":
        return {"type": "text", "text": text_of(part, "refusal", path)}
    if kind == "input_image":
        _no_files(part, path)
        image = {"url": text_of(part, "image_url", path)}
        if isinstance(part.get("detail"), str):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        _no_files(part, path)
        if part.get("file_url") is not None:
            raise unsupported(f"{path}.file_url", "send the file as file_data")
        file = {"file_data": text_of(part, "file_data", path)}
        if isinstance(part.get("filename"), str):
            file["filename"] = part["filename"]
        return {"type": "file", "file": file}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise wrong(
        f"{path}.type", "one of input_text, input_image, input_file, input_audio is expected"
    )


def _no_files(part: Item, path: str) -> None:
    if part.get("file_id") is not None:
        raise unsupported(f"{path}.file_id", "this router keeps no files; send the data itself")
