"""How a model's servers are together, for those who choose among models."""

from __future__ import annotations

from typing import NamedTuple

from wayside.fleet.pool import Pool
from wayside.vocab.endpoint import NEVER


class Servers(NamedTuple):
    """``ready`` are in rotation; ``waiting`` is the shortest of their queues, ``kv`` the least use
    of their KV caches (0..1), ``None`` while none of them has said."""

    ready: int
    waiting: float | None
    kv: float | None


def servers_of(pool: Pool | None) -> Servers | None:
    """The best that a request to this model would find; ``None`` where there is no such model."""
    if pool is None:
        return None
    inside = pool.in_rotation
    told = [r.vitals for r in inside if r.vitals.at > NEVER]
    if not told:
        return Servers(len(inside), None, None)
    return Servers(len(inside), min([v.waiting for v in told]), min([v.kv for v in told]))
