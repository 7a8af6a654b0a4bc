"""API dialects: bytes to :class:`~wayside.vocab.prompt.Prompt`, and edited bytes back.

One file per dialect. A body is read in one pass that decodes only what routing needs; a body that
is not edited is forwarded as the very bytes that came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Prompt

_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
encode = msgspec.json.Encoder().encode


class Body(Protocol):
    """One request body, read once."""

    model: str
    stream: bool

    def __init__(self, raw: bytes) -> None: ...

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        """What signals read."""
        ...

    def edit(self) -> Edit:
        """Start changing it."""
        ...


class Edit:
    """A body taken apart at the top level; whatever is not set stays the client's own bytes."""

    __slots__ = ("fields",)

    def __init__(self, raw: bytes) -> None:
        try:
            self.fields = _envelope.decode(raw)
        except msgspec.DecodeError as error:
            raise bad_body(error) from None

    def get(self, name: str) -> Any:
        """The decoded value of a field, or ``None`` where it is absent."""
        raw = self.fields.get(name)
        return None if raw is None else msgspec.json.decode(raw)

    def set(self, name: str, value: Any) -> None:
        self.fields[name] = msgspec.Raw(encode(value))

    def drop(self, name: str) -> None:
        self.fields.pop(name, None)

    def instruct(self, text: str, *, replace: bool) -> bool:
        """Give the model a system prompt; ``False`` where the dialect has no place for one."""
        return False

    def encode(self) -> bytes:
        return encode(self.fields)


def bad_body(error: msgspec.DecodeError, inside: str = "") -> RequestError:
    """A decoding error, told as a client can use it (``$.messages[0].role`` becomes the param).

    ``inside`` is the field that was being decoded on its own.
    """
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return RequestError(f"The request body is not valid JSON: {text}", code="invalid_json")
    what, _, path = text.partition(" - at `")
    where = f"{inside}{path.rstrip('`').removeprefix('$')}".removeprefix(".")
    if "required field" in what:
        field = what.rsplit("`", 2)[-2]
        where = f"{where}.{field}".strip(".")
        return RequestError(f"Missing required parameter: '{where}'.", param=where)
    where = where or "body"
    return RequestError(f"Invalid value for '{where}': {what[:1].lower()}{what[1:]}.", param=where)
