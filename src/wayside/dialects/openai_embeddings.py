"""OpenAI ``POST /v1/embeddings``: goes to the model it names; there is nothing to decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import (
    MAX_TOKEN_IDS,
    UNREADABLE,
    Edit,
    OpenAIBody,
    bad_body,
    check_keys,
    decode,
    encode,
    fields_of,
)
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/embeddings"


class _Request(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw = msgspec.Raw()


_FIELDS = frozenset({"model", "input"})
_request = msgspec.json.Decoder(_Request)


class EmbeddingBody(OpenAIBody):
    """Vectors of different models do not compare, so ``auto`` is refused."""

    __slots__ = ("_input", "_raw", "model", "stream")
    judged: tuple[str, ...] = ("model", "input")

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw, MAX_TOKEN_IDS)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw, self.model, self.stream = raw, request.model, False
        self._input = request.input

    @property
    def needs_model(self) -> str:
        return (
            f"Embeddings need a concrete model, not {self.model!r}: vectors of different models "
            "cannot be compared. GET /v1/models lists the names."
        )

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        """For guards, which judge requests that name a model, too: each text is a turn."""
        try:
            found: Any = msgspec.json.decode(self._input) if len(self._input) else ""
        except UNREADABLE as error:
            raise bad_body(error, "input") from None
        given = found if isinstance(found, list) else [found]
        check_keys(fields_of(self._raw), _FIELDS)
        texts = [text for text in given if isinstance(text, str)]
        return Prompt(
            model=self.model,
            messages=tuple([Message("user", text) for text in texts]),
            question="\n".join(texts),
            tokens=estimate_tokens(texts),
            headers=headers,
        )

    def edit(self) -> EmbeddingEdit:
        return EmbeddingEdit(self._raw)

    def canned(self, message: str, created: int, number: int) -> None:
        """Vectors have no words."""

    def told(self, completion: dict[str, Any]) -> bytes:
        return encode(completion)


class EmbeddingEdit(Edit):
    """Edits the body of a request for vectors."""

    __slots__ = ()
    texts = ("input",)
