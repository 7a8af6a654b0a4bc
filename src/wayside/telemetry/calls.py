"""What the request log says of requests that were made to models from inside one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wayside.vocab.calls import Tokens
from wayside.vocab.outcome import Call


def tell(
    line: dict[str, Any], calls: Sequence[Call], cost: Callable[[str, Tokens], float | None]
) -> None:
    """Add each call to the line, and what all took to what the answer itself did."""
    line["calls"] = [_one(call, cost) for call in calls]
    line["prompt_tokens"] = (line.get("prompt_tokens") or 0) + sum(c.prompt_tokens for c in calls)
    line["completion_tokens"] = (line.get("completion_tokens") or 0) + sum(
        c.completion_tokens for c in calls
    )
    if doubts := next((call.estimated for call in calls if call.estimated), ""):
        line["usage_estimated"] = doubts
    paid = [cost(call.model, tokens_of_call(call)) for call in calls]
    known = [amount for amount in paid if amount is not None]
    if known:
        line["cost"] = round(line.get("cost", 0.0) + sum(known), 9)


def _one(call: Call, cost: Callable[[str, Tokens], float | None]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "model": call.model,
        "for": call.purpose,
        "status": call.status,
        "ms": round(call.seconds * 1e3, 3),
    }
    if call.reason:
        said["reason"] = call.reason
    if 200 <= call.status < 300:
        said["prompt_tokens"] = call.prompt_tokens
        said["completion_tokens"] = call.completion_tokens
        if call.estimated:
            said["usage_estimated"] = call.estimated
        paid = cost(call.model, tokens_of_call(call))
        if paid is not None:
            said["cost"] = round(paid, 9)
    return said


def tokens_of_call(call: Call) -> Tokens:
    return Tokens(
        call.prompt_tokens, call.completion_tokens, call.cached_tokens, call.written_tokens
    )
