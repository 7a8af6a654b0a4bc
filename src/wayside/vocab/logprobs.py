"""How sure a model was of what it said, from the probabilities of its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wayside.vocab.chat import Chat


class Token(NamedTuple):
    """A token of an answer: its text, its log probability, and how much likelier the best token
    at its place was than the second (0..1; ``None`` where the server does not tell the second)."""

    text: str
    logprob: float
    margin: float | None


def tokens_in(choice: Mapping[str, Any]) -> list[Token]:
    """The tokens of a choice with ``logprobs``, as OpenAI's API tells them; those that are no
    tokens are left out."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = []
    for item in content if isinstance(content, list) else ():
        if not isinstance(item, dict) or not _is_logprob(item.get("logprob")):
            continue
        text = item.get("token")
        found.append(
            Token(text if isinstance(text, str) else "", float(item["logprob"]), _margin(item))
        )
    return found


def _margin(item: Mapping[str, Any]) -> float | None:
    top = item.get("top_logprobs")
    known = [
        float(t["logprob"])
        for t in (top if isinstance(top, list) else ())
        if isinstance(t, dict) and _is_logprob(t.get("logprob"))
    ]
    if len(known) < 2:
        return None
    first, second = sorted(known, reverse=True)[:2]
    return math.exp(first) - math.exp(second)


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= 0.0


def mean_logprob(tokens: list[Token]) -> float | None:
    """The mean log probability; its exponential is the geometric mean of the probabilities."""
    return sum(t.logprob for t in tokens) / len(tokens) if tokens else None


def mean_margin(tokens: list[Token]) -> float | None:
    """The mean difference of the probabilities of the best and the second token."""
    margins = [t.margin for t in tokens if t.margin is not None]
    return sum(margins) / len(margins) if margins else None


def within(tokens: list[Token], texts: list[str]) -> list[Token]:
    """Those tokens that write one of ``texts``, as far as these stand in what the tokens say."""
    whole = "".join(token.text for token in tokens)
    spans = [(at, at + len(text)) for text in texts if text and (at := whole.find(text)) >= 0]
    found, at = [], 0
    for token in tokens:
        end = at + len(token.text)
        if any(at < stop and end > start for start, stop in spans):
            found.append(token)
        at = end
    return found


Strip = Callable[[dict[str, Any]], dict[str, Any]]


def with_logprobs(chat: Chat) -> tuple[Chat, Strip]:
    """The request with the log probabilities that are needed, and what takes those out of the
    answer again that the client did not ask for."""
    wanted = chat.get("logprobs") is True
    top = chat.get("top_logprobs")
    kept = top if wanted and isinstance(top, int) else 0
    asking = chat.having({"logprobs": True, "top_logprobs": max(kept, 2)})

    def strip(completion: dict[str, Any]) -> dict[str, Any]:
        choices = [_stripped(choice, wanted, kept) for choice in completion["choices"]]
        return {**completion, "choices": choices}

    return asking, strip


def _stripped(choice: dict[str, Any], wanted: bool, kept: int) -> dict[str, Any]:
    logprobs = choice.get("logprobs")
    if not wanted:
        return {**choice, "logprobs": None}
    if not isinstance(logprobs, dict) or kept >= 2:
        return choice
    content = logprobs.get("content")
    if not isinstance(content, list):
        return choice
    content = [
        {**item, "top_logprobs": list(item.get("top_logprobs") or ())[:kept]}
        for item in content
        if isinstance(item, dict)
    ]
    return {**choice, "logprobs": {**logprobs, "content": content}}
