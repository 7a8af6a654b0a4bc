"""What servers publish of their KV caches: messages of vLLM's shape (spec 4.4).

Later versions add fields, which are passed over, and kinds of events, which are as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Hash = int | bytes
"""What an engine calls a block: 64 bits, or all 32 bytes."""


class BlockStored(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Blocks of ``block_size`` tokens each, in order, after ``parent`` (``None``: the first)."""

    hashes: tuple[Hash, ...]
    parent: Hash | None
    tokens: tuple[int, ...]
    block_size: int
    lora_id: int | None = None
    medium: str | None = None
    lora_name: str | None = None


class BlockRemoved(msgspec.Struct, frozen=True, array_like=True, tag=True):
    hashes: tuple[Hash, ...]
    medium: str | None = None


class AllBlocksCleared(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The server has none."""


Event = BlockStored | BlockRemoved | AllBlocksCleared


class _Batch(msgspec.Struct, array_like=True):
    """Of vLLM's publisher (vllm/distributed/kv_events.py), a message's third frame."""

    at: float
    events: tuple[Event, ...]
    rank: int | None = None


decode = msgspec.msgpack.Decoder(_Batch).decode
_KINDS: Mapping[str, type[Event]] = {
    k.__name__: k for k in (BlockStored, BlockRemoved, AllBlocksCleared)
}
_CALLED = {
    "block_hashes": "hashes",
    "parent_block_hash": "parent",
    "token_ids": "tokens",
}
# vLLM's names, where they differ from ours; they matter where an event is a map.


def events_of(body: bytes) -> tuple[Event, ...]:
    """The events of a message; of those of a later version, the ones that we know, be they arrays
    or maps. Raises ``msgspec.MsgspecError``, ``RecursionError`` or ``UnicodeDecodeError``."""
    try:
        return decode(body).events
    except msgspec.ValidationError:
        batch = msgspec.msgpack.decode(body)
    if isinstance(batch, dict):
        batch = [None, batch.get("events")]
    if not isinstance(batch, list) or len(batch) < 2 or not isinstance(batch[1], list):
        raise msgspec.ValidationError("no batch of events")
    return tuple([event for event in map(_event, batch[1]) if event is not None])


def _event(said: object) -> Event | None:
    """``None`` for a kind that is not known."""
    if isinstance(said, dict):
        name, *fields = said.get("type"), None
    elif isinstance(said, list) and said:
        name, *fields = said
    else:
        name = None
    if not isinstance(name, str):
        raise msgspec.ValidationError("an event begins with its kind")
    kind = _KINDS.get(name)
    if kind is None:
        return None
    if isinstance(said, dict):
        named = {_CALLED.get(field, field): value for field, value in said.items()}
        known = kind.__struct_fields__
        last = max([i for i, field in enumerate(known) if field in named], default=-1)
        fields = [named.get(field) for field in known[: last + 1]]
    return msgspec.convert([name, *fields], kind)
