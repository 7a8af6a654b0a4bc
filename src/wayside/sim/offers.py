"""Blocks of finished prompts that another engine may fetch: the prefill side of a hand-over.

A prompt that was read for somebody else keeps its blocks here until they are fetched, or until
nobody came for them in time. Whoever fetches names the blocks as the answer named them.
"""

import asyncio
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from .kv import Held


@dataclass(frozen=True, slots=True)
class _Offer:
    ids: tuple[int, ...]
    held: Held
    expires: asyncio.TimerHandle


class Offers:
    """What one engine holds for others. `take_back` frees the blocks of an offer that ended."""

    def __init__(self, take_back: Callable[[Held], None], *, hold_s: float) -> None:
        self.engine_id = str(uuid.uuid4())
        """Changes when the engine starts again, so that nobody fetches what is not there."""
        self._take_back = take_back
        self._hold_s = hold_s
        self._numbers = itertools.count(1)
        self._open: dict[int, _Offer] = {}  # by its first number

    def __len__(self) -> int:
        return len(self._open)

    @property
    def spare_blocks(self) -> int:
        """Blocks on offer that are not full, and so have no name."""
        return sum(offer.held.spare for offer in self._open.values())

    def offer(self, held: Held) -> list[int]:
        """Keep these blocks; they are fetched by the numbers given here, one for each."""
        ids = tuple(itertools.islice(self._numbers, max(len(held.keys) + held.spare, 1)))
        loop = asyncio.get_running_loop()
        expires = loop.call_later(self._hold_s, self._end, ids[0])
        self._open[ids[0]] = _Offer(ids, held, expires)
        return list(ids)

    def fetch(self, engine_id: object, ids: object) -> bool:
        """Let these blocks go to whoever fetches them; False when they are not here."""
        if engine_id != self.engine_id or not isinstance(ids, list) or not ids:
            return False
        offer = self._open.get(ids[0]) if isinstance(ids[0], int) else None
        if offer is None or list(offer.ids) != ids:
            return False
        self._end(ids[0])
        return True

    def clear(self) -> None:
        """Take everything back, and be another engine."""
        for first in tuple(self._open):
            self._end(first)
        self.engine_id = str(uuid.uuid4())

    def _end(self, first: int) -> None:
        offer = self._open.pop(first)
        offer.expires.cancel()
        self._take_back(offer.held)
