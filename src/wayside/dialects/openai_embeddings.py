"""OpenAI ``POST /v1/embeddings``: goes to the model it names; there is nothing to decide."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from wayside.dialects import UNREADABLE, Edit, bad_body, decode
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Prompt

PATH = "/v1/embeddings"


class _Request(msgspec.Struct, gc=False):
    model: str


_request = msgspec.json.Decoder(_Request)


class EmbeddingBody:
    """Vectors of different models do not compare, so ``auto`` is refused."""

    __slots__ = ("_raw", "model", "stream")

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw, self.model, self.stream = raw, request.model, False

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        raise RequestError(
            f"Embeddings need a concrete model, not {self.model!r}: vectors of different models "
            "cannot be compared. GET /v1/models lists the names.",
            param="model",
        )

    def edit(self) -> EmbeddingEdit:
        return EmbeddingEdit(self._raw)

    def canned(self, message: str, created: int, number: int) -> None:
        """Vectors have no words."""


class EmbeddingEdit(Edit):
    """Edits the body of a request for vectors."""

    __slots__ = ()
    texts = ("input",)
