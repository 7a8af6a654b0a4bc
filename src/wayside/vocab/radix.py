"""A tree of prompts: which servers were sent which text, byte by byte.

Inner nodes are what prompts have in common. A server's part of the tree always reaches up to the
root: what it forgets first is the end of the text that was not used for longest.
"""

from __future__ import annotations

from collections import OrderedDict

from wayside.vocab.endpoint import Endpoint
from wayside.vocab.slots import Slots, slots_in

NODE_BYTES = 640
"""Memory of a node besides its text, with one server (``tests/vocab/test_radix.py`` weighs it)."""
_COARSE, _FINE = 4096, 128


class _Node:
    """``edge`` is the text from the parent to here, ``servers`` a mask of who has all of it."""

    __slots__ = ("children", "edge", "parent", "servers")

    def __init__(self, edge: bytes, parent: _Node | None, servers: int) -> None:
        self.edge, self.parent, self.servers = edge, parent, servers
        self.children: dict[int, _Node] = {}
        """By the first byte of their edges."""

    @property
    def weight(self) -> int:
        return NODE_BYTES + len(self.edge)


class PrefixTree:
    """Texts and the servers that were sent them; a server has at most ``capacity`` bytes of it,
    nodes included."""

    __slots__ = ("_capacity", "_orders", "_root", "_sizes", "slots")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.slots = Slots()
        self._root = _Node(b"", None, 0)
        self._orders: dict[int, OrderedDict[_Node, None]] = {}
        """By slot: the server's nodes, the longest unused first."""
        self._sizes: dict[int, int] = {}

    def size(self, endpoint: Endpoint) -> int:
        """Bytes that the server has of the tree."""
        slot = self.slots.known(endpoint)
        return 0 if slot is None else self._sizes.get(slot, 0)

    def match(self, text: bytes, among: int) -> tuple[int, int]:
        """How many bytes of the text's beginning anybody in the mask ``among`` has, and who."""
        node, at, best = self._root, 0, (0, 0)
        while at < len(text):
            child = node.children.get(text[at])
            have = 0 if child is None else child.servers & among
            if child is None or not have:
                break
            if not text.startswith(child.edge, at):
                return (at + common(text, at, child.edge), have)
            node, at = child, at + len(child.edge)
            best = (at, have)
        return best

    def add(self, endpoint: Endpoint, text: bytes) -> None:
        """The server is sent ``text``."""
        slot = self.slots.slot(endpoint)
        bit, text = 1 << slot, text[: max(1, self._capacity - NODE_BYTES)]
        order = self._orders.setdefault(slot, OrderedDict())
        self._sizes.setdefault(slot, 0)
        path: list[_Node] = []
        grown = bit
        node, at = self._root, 0
        while at < len(text):
            child = node.children.get(text[at])
            if child is None:
                child = node.children[text[at]] = _Node(text[at:], node, 0)
            elif not text.startswith(child.edge, at):
                grown |= child.servers
                child = self._split(child, common(text, at, child.edge))
            if not child.servers & bit:
                child.servers |= bit
                self._sizes[slot] += child.weight
            path.append(child)
            node, at = child, at + len(child.edge)
        for node in reversed(path):
            order[node] = None
            order.move_to_end(node)
        for slot in slots_in(grown):
            self._trim(slot)

    def forget(self, endpoint: Endpoint) -> None:
        """The server has nothing any more."""
        slot = self.slots.known(endpoint)
        if slot is not None:
            for node in self._orders.pop(slot, ()):
                self._leave(node, 1 << slot)
            self._sizes.pop(slot, None)
            self.slots.free(endpoint)

    def _split(self, node: _Node, length: int) -> _Node:
        """Put a node where the first ``length`` bytes of its edge end; that is returned."""
        parent, edge = node.parent, node.edge
        assert parent is not None
        upper = parent.children[edge[0]] = _Node(edge[:length], parent, node.servers)
        node.edge, node.parent = edge[length:], upper
        upper.children[node.edge[0]] = node
        for slot in slots_in(node.servers):
            self._orders[slot][upper] = None
            self._sizes[slot] += NODE_BYTES
        return upper

    def _trim(self, slot: int) -> None:
        order, bit = self._orders[slot], 1 << slot
        oldest: _Node | None = None
        node = self._root
        while self._sizes[slot] > self._capacity:
            if oldest is None:
                node = oldest = next(iter(order))
            # A split may have left a node older than those below it: these go before it.
            below: _Node | None = node
            while below is not None:
                node = below
                below = next((c for c in node.children.values() if c.servers & bit), None)
            above = node.parent
            del order[node]
            self._sizes[slot] -= node.weight
            self._leave(node, bit)
            if node is oldest:
                oldest = None
            else:
                assert above is not None
                node = above

    def _leave(self, node: _Node, bit: int) -> None:
        """The server has the node no more. With the last one it goes, and all below with it."""
        node.servers &= ~bit
        if not node.servers and node.parent is not None:
            node.parent.children.pop(node.edge[0], None)
            node.parent = None


def common(text: bytes, at: int, edge: bytes) -> int:
    """How many bytes ``edge`` has in common with ``text`` from ``at`` on."""
    most, low = min(len(edge), len(text) - at), 0
    for step in (_COARSE, _FINE):
        while low < most and text[at + low : at + low + step] == edge[low : low + step]:
            low += step
    length = min(_FINE, most - low)
    if length <= 0:
        return most
    # The highest bit in which two numbers differ tells where their bytes first do.
    one = int.from_bytes(text[at + low : at + low + length], "big")
    two = int.from_bytes(edge[low : low + length], "big")
    return low + length - ((one ^ two).bit_length() + 7) // 8
