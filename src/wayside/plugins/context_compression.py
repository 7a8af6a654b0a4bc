"""Shorten what tools returned, and old turns, to the parts that bear on the question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any, Literal

import msgspec
from pydantic import PositiveInt, field_validator, model_validator

from wayside.catalog import catalog
from wayside.dialects import UNREADABLE, encode
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.errors import RequestError
from wayside.vocab.headers import COMPRESSION_CONTROL
from wayside.vocab.lexical import word_counts
from wayside.vocab.prompt import Prompt
from wayside.vocab.tokens import estimate_tokens

_K1, _B = 1.2, 0.75
"""Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), 3.2."""
_PIECE = re.compile(r"[^\n.!?。！？]*(?:[.!?。！？]+(?=\s|$)|[。！？]|\n|$)")
MAX_CHARS = 400_000
"""Characters of one text that are looked at; of a longer one the beginning and the end."""
MAX_PIECES = 4_000
"""Pieces that one text is cut into; many short lines are taken together until so many are left."""
_CONTROL = re.compile(r"bypass|target=([1-9][0-9]{0,6})")


class Shrink(Settings):
    """Example: ``{min_tokens: 2000, target_tokens: 1000}``"""

    min_tokens: PositiveInt = 2000
    """A text shorter than this stays as it is."""
    target_tokens: PositiveInt = 1000
    """What is left of a longer one, about."""

    @model_validator(mode="after")
    def _gets_shorter(self) -> Shrink:
        if self.target_tokens >= self.min_tokens:
            raise ValueError("target_tokens must be below min_tokens, or texts would grow")
        return self


class ContextCompressionRule(Settings):
    """Example: ``{trigger_tokens: 8000, tool_outputs: {target_tokens: 1000}}``"""

    trigger_tokens: PositiveInt | None = None
    """Only conversations of at least so many tokens are shortened; unset, all."""
    tool_outputs: Shrink | None = Shrink()
    """How results of tools are shortened; `null` leaves them."""
    history: Shrink | None = None
    """How earlier turns of the user and the assistant are shortened: all but the last turn of the
    user and what follows it. Unset leaves them."""
    controls: tuple[Literal["bypass", "target"], ...] = ()
    """What a client may ask for in `x-vsr-compression-control`: `bypass`, or `target=N` tokens a
    text."""
    max_target_tokens: PositiveInt = 16_000
    """The most that a client's `target=N` may ask for."""
    on_error: Literal["pass", "fail"] = "pass"
    """What becomes of a request whose texts cannot be read: it passes as it is, or is refused."""

    @field_validator("controls", mode="before")
    @classmethod
    def _once(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and len(set(map(str, value))) != len(value):
            raise ValueError("each control is named once")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> ContextCompressionRule:
        if self.tool_outputs is None and self.history is None:
            raise ValueError("give tool_outputs or history; without both nothing is shortened")
        return self


@catalog.register(
    "plugin", "context_compression", settings=ContextCompressionRule, stability="beta"
)
class ContextCompressionPlugin:
    """Shortens tool results and old turns to what bears on the question (BM25)."""

    def __init__(self, rule: ContextCompressionRule) -> None:
        self._rule = rule

    def before(self, prompt: Prompt, draft: Draft) -> None:
        rule = self._rule
        if rule.trigger_tokens is not None and prompt.tokens < rule.trigger_tokens:
            return
        target = self._asked(prompt)
        if target == 0:
            return
        try:
            turns = draft.body.get("messages")
        except RequestError:
            if rule.on_error == "fail":
                raise
            return
        if not isinstance(turns, list):
            return
        last = max((i for i, turn in enumerate(turns) if _role(turn) == "user"), default=-1)
        changed = False
        for i, turn in enumerate(turns):
            shrink = self._of(_role(turn), past=i < last)
            if shrink is not None:
                if target is not None:
                    shrink = Shrink(
                        min_tokens=max(shrink.min_tokens, target + 1), target_tokens=target
                    )
                changed |= _shorten(turn, prompt.question, shrink)
        if changed:
            draft.edit.set("messages", turns)

    def _of(self, role: str, *, past: bool) -> Shrink | None:
        if role in ("tool", "function"):
            return self._rule.tool_outputs
        return self._rule.history if past and role in ("user", "assistant") else None

    def _asked(self, prompt: Prompt) -> int | None:
        """The client's own target; 0 for none at all, ``None`` where it says nothing."""
        said = prompt.headers.get(COMPRESSION_CONTROL, "").strip().lower()
        if not said:
            return None
        found = _CONTROL.fullmatch(said)
        if found is None:
            raise RequestError(
                f"{COMPRESSION_CONTROL}: {said[:64]!r} is neither 'bypass' nor 'target=N'.",
                code="invalid_value",
                param=COMPRESSION_CONTROL,
            )
        name = "target" if found[1] else "bypass"
        if name not in self._rule.controls:
            return None
        return min(int(found[1]), self._rule.max_target_tokens) if found[1] else 0


def _role(turn: Any) -> str:
    role = turn.get("role") if isinstance(turn, dict) else ""
    return role if isinstance(role, str) else ""


def _shorten(turn: dict[str, Any], question: str, shrink: Shrink) -> bool:
    """Shorten the text, or the texts of the parts, of one turn; whether any became shorter."""
    content = turn.get("content")
    if isinstance(content, str):
        short = shortened(content, question, shrink)
        turn["content"] = short
        return short is not content
    changed = False
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            short = shortened(part["text"], question, shrink)
            changed |= short is not part["text"]
            part["text"] = short
    return changed


def shortened(text: str, question: str, shrink: Shrink) -> str:
    """``text`` itself where it is short enough, else its best pieces in their order.

    A JSON list stays one, with fewer items; any other text is cut at sentences and lines, and
    says where something was left out.
    """
    if len(text) < shrink.min_tokens or estimate_tokens([text]) < shrink.min_tokens:
        return text  # a token is at least one character
    items = _items(text)
    if items is not None:
        kept = chosen([encode(item).decode() for item in items], question, shrink.target_tokens)
        return encode([items[i] for i in kept]).decode() if len(kept) < len(items) else text
    if len(text) > MAX_CHARS:
        text = f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"
    pieces = _pieces(text)
    kept = chosen(pieces, question, shrink.target_tokens)
    if len(kept) == len(pieces):
        return text
    out: list[str] = []
    before = -1
    for i in kept:
        if i != before + 1:
            out.append("[...]\n")
        out.append(pieces[i] if pieces[i].endswith("\n") else pieces[i] + " ")
        before = i
    if before != len(pieces) - 1:
        out.append("[...]")
    return "".join(out).rstrip(" ")


def _items(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        found = msgspec.json.decode(text)
    except UNREADABLE:
        return None
    return found if isinstance(found, list) and 1 < len(found) <= MAX_PIECES else None


def _pieces(text: str) -> list[str]:
    found = [piece for piece in _PIECE.findall(text) if piece.strip()]
    while len(found) > MAX_PIECES:
        found = ["".join(found[i : i + 2]) for i in range(0, len(found), 2)]
    return found


def chosen(pieces: Sequence[str], question: str, target: int) -> list[int]:
    """The indices, in order, of the pieces to keep: the first one, then by BM25 against the
    question as long as they fit into ``target`` tokens; of equals the earlier."""
    counted = [word_counts(piece) for piece in pieces]
    wanted = word_counts(question)
    average = sum(c.total() for c in counted) / max(1, len(counted)) or 1.0
    holders = Counter(word for c in counted for word in c if word in wanted)
    scores = [_bm25(c, wanted, holders, len(pieces), average) for c in counted]
    left = target - estimate_tokens([pieces[0]])
    kept = {0}
    for i in sorted(range(1, len(pieces)), key=lambda i: (-scores[i], i)):
        size = estimate_tokens([pieces[i]])
        if size <= left:
            kept.add(i)
            left -= size
    return sorted(kept)


def _bm25(
    words: Counter[str], wanted: Counter[str], holders: Counter[str], count: int, average: float
) -> float:
    """Okapi BM25 of one piece, with the idf of Lucene, never negative."""
    length = words.total() / average
    total = 0.0
    for word in wanted:
        often = words.get(word, 0)
        if often:
            idf = log(1 + (count - holders[word] + 0.5) / (holders[word] + 0.5))
            total += idf * often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * length))
    return total
