"""Send prompts that begin alike to the same server, without remembering anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from pydantic import Field, PositiveInt
from xxhash import xxh3_64_intdigest

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import UNREADABLE, Endpoint, Need, Roster
from wayside.vocab.hashring import BoundedRing
from wayside.vocab.spoken import spoken


class PrefixHashRule(Settings):
    """Example: ``{characters: 256, load_factor: 1.25}``"""

    by: Literal["characters", "opening"] = "characters"
    """Begin alike means the same first `characters`, or the same opening: tools, system prompt
    and everything up to the first thing the user said."""
    characters: PositiveInt = 128
    """Bytes of the prompt that are hashed: tools first, then the system prompt."""
    load_factor: Annotated[float, Field(ge=1)] | None = 1.25
    """No server takes more than that many times its share of the requests in flight; null for no
    bound."""
    count: PositiveInt = 1
    """Servers named, in the order in which they are to be tried."""


class _Role(msgspec.Struct):
    role: str = ""


_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode
_role = msgspec.json.Decoder(_Role).decode


@catalog.register(
    "picker",
    "prefix_hash",
    settings=PrefixHashRule,
    stability="beta",
    aliases=("PrefixHash", "prefix-hash"),
)
class PrefixHashPicker:
    """The next server on a hash ring after the prompt's beginning, unless it has its share.

    KubeAI's way (consistent hashing with bounded loads, spec 6.4): a fleet keeps one copy of each
    beginning, and a beginning that everybody shares spreads over as many servers as it needs.
    """

    def __init__(self, rule: PrefixHashRule) -> None:
        self._ring = BoundedRing(rule.load_factor)
        self._opening, self._characters = rule.by == "opening", rule.characters
        self._count = rule.count

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        beginning = _opening(need) if self._opening else spoken(need)[: self._characters]
        key = xxh3_64_intdigest(beginning + need.model.encode("utf-8", "surrogatepass"))
        return self._ring.pick(key, roster, self._count)

    def forget(self, endpoint: Endpoint) -> None:
        self._ring.forget(endpoint)


def _opening(need: Need) -> bytes:
    """Tools, system prompt and the messages up to the first of the user's; the whole prompt where
    it is not made of messages."""
    shape = need.shape
    try:
        messages = _messages(shape.messages or shape.input)
        users = next((i for i, m in enumerate(messages) if _role(m).role == "user"), len(messages))
    except UNREADABLE:
        return need.text
    first = [shape.tools, shape.system, shape.instructions, *messages[: users + 1]]
    return b"".join([bytes(part) for part in first])
