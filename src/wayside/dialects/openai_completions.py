"""OpenAI ``POST /v1/completions``: the prompt is read as one user turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, Edit, answers, bad_body, decode
from wayside.dialects.answers import Canned
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/completions"


class _Request(msgspec.Struct, gc=False):
    model: str
    prompt: Any = ""
    stream: bool | None = None


_request = msgspec.json.Decoder(_Request)


class CompletionBody:
    """``prompt`` is a string or a list of them; token lists are not readable text."""

    __slots__ = ("_raw", "_request", "model", "stream")

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw, self._request = raw, request
        self.model, self.stream = request.model, bool(request.stream)

    @property
    def needs_model(self) -> str:
        return ""

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        asked = self._request.prompt
        items = asked if isinstance(asked, list) else [asked]
        text = "\n".join(item for item in items if isinstance(item, str))
        return Prompt(
            model=self.model,
            messages=(Message("user", text),),
            question=text,
            stream=self.stream,
            tokens=estimate_tokens([text]),
            headers=headers,
        )

    def edit(self) -> CompletionEdit:
        return CompletionEdit(self._raw)

    def canned(self, message: str, created: int, number: int) -> bytes:
        wanted = self.edit().get("stream_options")
        usage = isinstance(wanted, dict) and wanted.get("include_usage") is True
        return answers.completion(
            Canned(self.model, message, created, number, stream=self.stream, usage=usage)
        )


class CompletionEdit(Edit):
    """Edits a completion's body."""

    __slots__ = ()
    texts = ("prompt", "suffix")
