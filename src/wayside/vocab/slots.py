"""Numbers for servers, so that a set of them is one integer: a bit each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wayside.vocab.endpoint import Endpoint, Roster

_FEW = 16


class View:
    """A roster in slots: the bits of its servers, and where the server of each slot stands."""

    __slots__ = ("mask", "positions", "version")

    def __init__(self, mask: int, positions: list[int], version: int) -> None:
        self.mask, self.positions, self.version = mask, positions, version

    def of(self, mask: int) -> Iterator[int]:
        """The positions of the servers in ``mask``, which is part of ``self.mask``."""
        positions = self.positions
        return (positions[slot] for slot in slots_in(mask))


class Slots:
    """Gives each server the lowest free number. Whoever keeps masks clears a server's bit
    everywhere before it frees the slot, or drops it, and gives it back when that is done."""

    __slots__ = ("_free", "_next", "_taken", "_version")

    def __init__(self) -> None:
        self._taken: dict[Endpoint, int] = {}
        self._free: list[int] = []
        self._next = 0
        self._version = 0

    def __len__(self) -> int:
        """How many servers have one."""
        return len(self._taken)

    def slot(self, endpoint: Endpoint) -> int:
        found = self._taken.get(endpoint)
        if found is None:
            if self._free:
                found = self._free.pop()
            else:
                found, self._next = self._next, self._next + 1
            self._taken[endpoint] = found
        return found

    def known(self, endpoint: Endpoint) -> int | None:
        return self._taken.get(endpoint)

    def free(self, endpoint: Endpoint) -> None:
        """The number goes to the next server that needs one."""
        slot = self.drop(endpoint)
        if slot is not None:
            self.give_back((slot,))

    def drop(self, endpoint: Endpoint) -> int | None:
        """The server has none any more, and its number, which is returned, goes to nobody."""
        slot = self._taken.pop(endpoint, None)
        if slot is not None:
            self._version += 1
        return slot

    def give_back(self, dropped: Iterable[int]) -> None:
        """These go to the next servers."""
        self._free += dropped

    def view(self, roster: Roster) -> View:
        view: View | None = roster.memo.get(self)
        if view is None or view.version != self._version:
            slots = [self.slot(e) for e in roster.endpoints]
            positions = [-1] * (max(slots, default=-1) + 1)
            mask = 0
            for position, slot in enumerate(slots):
                positions[slot] = position
                mask |= 1 << slot
            view = roster.memo[self] = View(mask, positions, self._version)
        return view


def slots_in(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    if mask.bit_count() > _FEW:  # a walk along the digits: 20 µs for 512, where the other takes 90
        yield from [slot for slot, bit in enumerate(bin(mask)[:1:-1]) if bit == "1"]
        return
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
