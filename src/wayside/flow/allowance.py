"""How much a request may take: what its prompt is taken for, and what its answer is bounded by.

Nothing is decoded but the few numbers that bound an answer. A prompt is judged by the bytes of the
whole body, JSON and all, which makes it a little more than its texts; what a server adds to it (a
template, tools of its own, a conversation that it keeps) is not seen by anybody before it is
counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from wayside.dialects import UNREADABLE, Edit, bad_body, check_once
from wayside.dialects import openai_chat as chat
from wayside.dialects import openai_completions as completions
from wayside.dialects import openai_embeddings as embeddings
from wayside.dialects import openai_responses as responses
from wayside.vocab.errors import RequestError
from wayside.vocab.tokens import estimate_tokens
from wayside.vocab.usage import MAX_TOKENS

PICTURE: Final = 1_600
"""Tokens that a picture is taken for: what Anthropic's page on vision gives as the most of one
that is not scaled down."""
COMPLETION: Final = 16
"""What OpenAI's API of completions writes where ``max_tokens`` is absent."""
_DATA = re.compile(rb'(?:;base64,|"data"\s*:\s*")([A-Za-z0-9+/=_-]{1024,})')
_URL = re.compile(rb'"(?:image_url|file_url|file_id)"\s*:|"type"\s*:\s*"url"')
_LINKED: Final = (b'_url"', b'"url"', b'"file_id"')


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


_BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
COUNTED: Final = (*_BOUNDS, "n", "best_of", "prompt")
"""Fields that say how much may be written."""


def allowance(path: str, raw: bytes) -> Allowance:
    """Of a body that was read before; ``path`` is its API's, without a query. Raises
    :class:`RequestError` for one whose bounds are written twice: one server takes the first, and
    another the last.
    """
    check_once(raw, COUNTED)
    words, pictures = _estimate(raw)
    prompt = max(1, len(raw)) + pictures
    estimate = min(words, len(raw)) + pictures
    if path == embeddings.PATH:
        return Allowance(prompt, estimate, 0, 1, None)
    said = _said(raw)
    if path == responses.PATH:
        return Allowance(prompt, estimate, _bound(said, "max_output_tokens"), 1, None)
    if path not in (chat.PATH, completions.PATH):
        return Allowance(prompt, estimate, _bound(said, "max_tokens"), 1, None)
    choices = max(1, _count(said.get("n")) or 1)
    usual = None
    if path == chat.PATH:
        # Servers differ in which of the two they heed where both are given.
        bound = _bound(said, "max_tokens", "max_completion_tokens")
    else:
        bound = _bound(said, "max_tokens")
        several = _prompts_in(said.get("prompt"))
        choices = max(choices, _count(said.get("best_of")) or 1) * several
        choices, usual = min(choices, MAX_TOKENS), COMPLETION
    answer = None if bound is None else min(bound * choices, MAX_TOKENS)
    return Allowance(prompt, estimate, answer, choices, usual)


def capped(path: str, raw: bytes, most: int) -> bytes:
    """The body with a bound on each choice of its answer, where it had none that holds: whatever
    else it says, such as -1, which is no end to some servers."""
    edit = Edit(raw)
    for name in _BOUNDS:
        if name in edit.fields:
            edit.set(name, most)
    edit.set(_NAMES.get(path, "max_tokens"), most)
    return edit.encode()


_NAMES: Final = {chat.PATH: "max_completion_tokens", responses.PATH: "max_output_tokens"}


def _estimate(raw: bytes) -> tuple[int, int]:
    """Tokens of the words, and of what is no text: pictures, sounds and files are taken for a
    picture each."""
    found = len(_URL.findall(raw)) if any([sign in raw for sign in _LINKED]) else 0
    if len(raw) > 1024 and (b";base64," in raw or b'"data"' in raw):
        raw, data = _DATA.subn(b"", raw)
        found = max(found, data)
    return max(1, estimate_tokens([raw.decode("utf-8", "replace")])), PICTURE * found


def _said(raw: bytes) -> Mapping[str, Any]:
    """Those of :data:`COUNTED` that a body has, decoded; "" for one that cannot be."""
    try:
        fields = Edit(raw).fields
    except RequestError:  # half a character somewhere, say, which servers in Python read
        try:
            found = json.loads(raw, parse_int=lambda digits: int(digits[:20]))
        except ValueError as error:
            raise bad_body(error) from None
        return {name: found[name] for name in COUNTED if name in found}
    said: dict[str, Any] = {}
    for name in COUNTED:
        if name in fields:
            try:
                said[name] = msgspec.json.decode(fields[name])
            except UNREADABLE:
                said[name] = ""
    return said


def _bound(said: Mapping[str, Any], *names: str) -> int | None:
    """The largest of these that are said; ``None`` where none is, or one says nothing that bounds
    anything."""
    counts = [_count(said[name]) for name in names if said.get(name) is not None]
    known = [count for count in counts if count is not None]
    return max(known) if known and len(known) == len(counts) else None


def _count(said: Any) -> int | None:
    """A number that its server can take for a bound, also as lenient ones take it: ``"100"`` and
    ``100.0`` are 100."""
    if isinstance(said, str):
        try:
            said = float(said[:32])
        except ValueError:
            return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not said >= 0:
        return None
    return math.ceil(min(said, MAX_TOKENS))


def _prompts_in(said: Any) -> int:
    """A completion may have several prompts, each with as many choices: a list of strings, or of
    lists of tokens, while a list of numbers is one."""
    if not isinstance(said, list):
        return 1
    return max(1, sum([isinstance(item, str | list) for item in said]))
