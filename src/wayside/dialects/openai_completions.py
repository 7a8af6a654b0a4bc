"""OpenAI ``POST /v1/completions``: the prompt is read as one user turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import (
    MAX_TOKEN_IDS,
    UNREADABLE,
    Edit,
    OpenAIBody,
    answers,
    bad_body,
    check_keys,
    decode,
    fields_of,
)
from wayside.dialects.answers import Canned
from wayside.dialects.whole import told
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/completions"


class _Request(msgspec.Struct, gc=False):
    model: str
    prompt: Any = ""
    suffix: Any = None
    stream: bool | None = None
    prompt_embeds: Any = None


_FIELDS = frozenset({
    "model", "prompt", "suffix", "stream", "stream_options", "prompt_embeds", "n", "best_of",
    "max_tokens", "logprobs", "echo",
})  # fmt: skip
_request = msgspec.json.Decoder(_Request)


class CompletionBody(OpenAIBody):
    """``prompt`` is a string or a list of them, ``suffix`` a string. A prompt of token ids can be
    sent to a model that is named, but not judged."""

    __slots__ = ("_raw", "_request", "model", "stream")
    judged: tuple[str, ...] = ("model", "prompt")

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw, MAX_TOKEN_IDS)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw, self._request = raw, request
        self.model, self.stream = request.model, bool(request.stream)

    @property
    def needs_model(self) -> str:
        return ""

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        asked = self._request
        check_keys(fields_of(self._raw), _FIELDS)
        items = asked.prompt if isinstance(asked.prompt, list) else [asked.prompt]
        items = [item for item in (*items, asked.suffix) if item is not None]
        texts = [item for item in items if isinstance(item, str)]
        if len(texts) < len(items) or asked.prompt_embeds is not None:
            raise RequestError(
                "Only text can be judged: send the prompt as a string, or a list of strings.",
                param="prompt",
                code="unreadable_prompt",
            )
        text = "\n".join(texts)
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
        usage = self.edit().wants_usage
        return answers.completion(
            Canned(self.model, message, created, number, stream=self.stream, usage=usage)
        )

    def told(self, completion: dict[str, Any]) -> bytes:
        return told(completion, stream=self.stream, usage=self.edit().wants_usage)


class CompletionEdit(Edit):
    """Edits a completion's body."""

    __slots__ = ()
    texts = ("prompt", "suffix")
