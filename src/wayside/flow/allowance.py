"""How much a request may take: what its prompt is taken for, and what its answer is bounded by.

Nothing is decoded but the few numbers that bound an answer. A prompt is judged by the bytes of the
whole body, JSON and all, which makes it a little more than its texts; what a server adds to it (a
template, tools of its own, a conversation that it keeps) is not seen by anybody before it is
counted.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

from wayside.dialects import UNREADABLE, Edit
from wayside.dialects import openai_chat as chat
from wayside.dialects import openai_completions as completions
from wayside.dialects import openai_embeddings as embeddings
from wayside.dialects import openai_responses as responses
from wayside.vocab.tokens import estimate_tokens
from wayside.vocab.usage import MAX_TOKENS

PICTURE: Final = 1_600
"""Tokens that a picture is taken for: what Anthropic's page on vision gives as the most of one
that is not scaled down."""
COMPLETION: Final = 16
"""What OpenAI's API of completions writes where ``max_tokens`` is absent."""
_DATA = re.compile(rb'(?:;base64,|"data"\s*:\s*")([A-Za-z0-9+/=_-]{1024,})')
_URL = re.compile(rb'"image_url"\s*:')


class Allowance(NamedTuple):
    """``prompt`` is more than the prompt's tokens can be, by its bytes; ``estimate`` what they are
    taken for.

    ``answer`` bounds what will be written, ``None`` where the client set no bound: then each of
    the ``choices`` is ``usual`` long, where the API says it."""

    prompt: int
    estimate: int
    answer: int | None
    choices: int
    usual: int | None


class _Bounds(msgspec.Struct, gc=False):
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    prompt: msgspec.Raw = msgspec.Raw()


_bounds = msgspec.json.Decoder(_Bounds)
_prompts = msgspec.json.Decoder(list[msgspec.Raw])


def allowance(path: str, raw: bytes) -> Allowance:
    """Of a body that was read before; ``path`` is its API's, without a query."""
    words, pictures = _estimate(raw)
    prompt = max(1, len(raw)) + pictures
    estimate = min(words, len(raw)) + pictures
    if path == embeddings.PATH:
        return Allowance(prompt, estimate, 0, 1, None)
    try:
        said = _bounds.decode(raw)
    except UNREADABLE:  # half a character, say: its server will tell, and is taken for its usual
        return Allowance(prompt, estimate, None, 1, None)
    if path == responses.PATH:
        return Allowance(prompt, estimate, _count(said.max_output_tokens), 1, None)
    bound = _count(said.max_tokens)
    if path not in (chat.PATH, completions.PATH):
        return Allowance(prompt, estimate, bound, 1, None)
    choices = max(1, _count(said.n) or 1)
    usual = None
    if path == chat.PATH:
        # Servers differ in which of the two they heed where both are given.
        other = _count(said.max_completion_tokens)
        bound = max([b for b in (bound, other) if b is not None], default=None)
    else:
        choices = max(choices, _count(said.best_of) or 1) * _prompts_in(said.prompt)
        usual = COMPLETION
    answer = None if bound is None else min(bound * choices, MAX_TOKENS)
    return Allowance(prompt, estimate, answer, choices, usual)


def capped(path: str, raw: bytes, most: int) -> bytes:
    """The body with a bound on each choice of its answer, where it had none."""
    edit = Edit(raw)
    edit.set(_NAMES.get(path, "max_tokens"), most)
    return edit.encode()


_NAMES: Final = {chat.PATH: "max_completion_tokens", responses.PATH: "max_output_tokens"}


def _estimate(raw: bytes) -> tuple[int, int]:
    """Tokens of the words, and of what is no text: pictures, sounds and files are taken for a
    picture each."""
    found = len(_URL.findall(raw)) if b'"image_url"' in raw else 0
    if len(raw) > 1024 and (b";base64," in raw or b'"data"' in raw):
        raw, data = _DATA.subn(b"", raw)
        found = max(found, data)
    return max(1, estimate_tokens([raw.decode("utf-8", "replace")])), PICTURE * found


def _count(said: object) -> int | None:
    """A number that its server can take for a bound; it will refuse any other."""
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        return None
    return min(said, MAX_TOKENS)


def _prompts_in(raw: msgspec.Raw) -> int:
    """A completion may have several prompts, each with as many choices: a list of strings, or of
    lists of tokens, while a list of numbers is one."""
    if bytes(memoryview(raw)[:1]) != b"[":
        return 1
    try:
        items = _prompts.decode(raw)
    except UNREADABLE:
        return 1
    return max(1, sum(bytes(memoryview(item)[:1]) in (b'"', b"[") for item in items))
