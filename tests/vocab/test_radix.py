"""The tree of prompts behind cache_aware (spec 6.2)."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.vocab.endpoint import Endpoint
from wayside.vocab.radix import NODE_BYTES, PrefixTree, common

TEXTS = st.text(alphabet="ab☃", max_size=12).map(str.encode)


def pods(count: int) -> list[Endpoint]:
    return [Endpoint(f"p{i}", f"10.0.0.{i}:80") for i in range(count)]


@given(st.binary(max_size=9), st.integers(0, 9000), st.binary(max_size=5), st.binary(max_size=5))
def test_common_beginnings(lead: bytes, length: int, left: bytes, right: bytes) -> None:
    shared = random.Random(length).randbytes(length)
    text, edge = lead + shared + left, shared + right
    assert common(text, len(lead), edge) == alike(text[len(lead) :], edge)


def alike(one: bytes, two: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
                min(len(one), len(two)))  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(added=st.lists(st.tuples(st.integers(0, 3), TEXTS), max_size=30), asked=TEXTS)
def test_a_match_is_the_longest_common_beginning(added, asked) -> None:
    tree, servers = PrefixTree(10**6), pods(4)
    for e in servers:
        tree.slots.slot(e)
    for number, text in added:
        tree.add(servers[number], text)
    for among in (0b1111, 0b0101, 0):
        shared = {
            n: max([alike(t, asked) for m, t in added if m == n], default=0)
            for n in range(4)
            if among >> n & 1
        }
        longest = max(shared.values(), default=0)
        length, who = tree.match(asked, among)
        assert length == longest
        assert who == sum(1 << n for n, s in shared.items() if s == longest and longest)


@settings(deadline=None, max_examples=100)
@given(
    added=st.lists(st.tuples(st.integers(0, 2), TEXTS, st.booleans()), max_size=40),
    nodes=st.integers(1, 6),
)
def test_a_server_has_no_more_than_it_may_and_all_of_it_hangs_on_the_root(added, nodes) -> None:
    tree, servers = PrefixTree(nodes * (NODE_BYTES + 12)), pods(3)
    for number, text, gone in added:
        tree.add(servers[number], text)
        assert tree.match(text, 1 << tree.slots.slot(servers[number]))[0] >= min(len(text), 1)
        if gone:
            tree.forget(servers[number])
            assert tree.size(servers[number]) == 0
        check(tree, servers)
    for e in servers:
        tree.forget(e)
    assert not tree._root.children


def check(tree: PrefixTree, servers: list[Endpoint]) -> None:
    sizes: dict[int, int] = {}
    stack = list(tree._root.children.items())
    count = 0
    while stack:
        first, node = stack.pop()
        count += 1
        assert node.edge[0] == first and node.servers and node.parent.children[first] is node
        assert node.parent is tree._root or node.servers & ~node.parent.servers == 0
        for slot in range(node.servers.bit_length()):
            if node.servers >> slot & 1:
                sizes[slot] = sizes.get(slot, 0) + node.weight
                assert node in tree._orders[slot]
        stack += node.children.items()
    assert sum(map(len, tree._orders.values())) >= count
    for e in servers:
        slot = tree.slots.known(e)
        assert slot is None or tree.size(e) == sizes.get(slot, 0) <= tree._capacity


def test_the_end_of_what_was_not_used_for_longest_goes_first() -> None:
    tree, (server,) = PrefixTree(3 * NODE_BYTES + 300), pods(1)
    tree.add(server, b"s" * 100)
    tree.add(server, b"s" * 100 + b"a" * 100)
    tree.add(server, b"s" * 100 + b"b" * 100)
    tree.add(server, b"s" * 100 + b"c" * 50)
    assert tree.match(b"s" * 100 + b"a", 1)[0] == 100
    assert tree.match(b"s" * 100 + b"b" * 100, 1)[0] == 200
    assert tree.match(b"s" * 100 + b"c" * 50, 1)[0] == 150


def test_another_servers_prompts_do_not_make_forgetting_dear() -> None:
    """Each beginning of what ``one`` has, shortest first: its nodes are older than those below
    them, all the way down. What one large prompt then drives out was quadratic: seconds."""
    tree, (one, other) = PrefixTree(3000 * (NODE_BYTES + 1)), pods(2)
    text = bytes([i % 251 for i in range(2500)])
    tree.add(one, text)
    for n in range(1, len(text)):
        tree.add(other, text[:n])
    walked = 0
    real = type(tree._root)

    class Children(dict):
        def values(self):
            nonlocal walked
            walked += 1
            return super().values()

    stack = [tree._root]
    while stack:
        node = stack.pop()
        assert isinstance(node, real)
        stack += node.children.values()
        node.children = Children(node.children)
    tree.add(one, b"\xff" * (3000 * NODE_BYTES))
    assert tree.match(text, 1)[0] < 10 and 2000 < walked < 4 * len(text)
    check(tree, [one, other])


@pytest.mark.parametrize("length", [1, 40, 2000])
def test_a_node_takes_as_much_memory_as_is_said(length) -> None:
    dice, servers = random.Random(1), pods(4)
    gc.collect()
    tracemalloc.start()
    tree = PrefixTree(10**9)
    for _ in range(1500):
        for e in servers:  # no two share more than their first bytes
            tree.add(e, dice.randbytes(length + 4))
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    said = sum(tree.size(e) for e in servers)
    assert 0.3 * said < taken < said
