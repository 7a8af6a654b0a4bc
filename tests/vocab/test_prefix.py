"""The approximate prefix cache's hashes and index (spec 3.4)."""

from __future__ import annotations

import gc
import random
import struct
import tracemalloc

import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.vocab.endpoint import Endpoint
from wayside.vocab.prefix import BLOCK_BYTES, PIECE, BlockIndex, Chains


def by_the_book(model: bytes, salt: bytes, text: bytes, tokens: int, most: int) -> list[int]:
    """Spec 3.4 word by word, from lists of token numbers."""
    padded = text + bytes(-len(text) % 4)
    ids = struct.unpack(f"<{len(padded) // 4}I", padded)
    start = xxhash.xxh64(model)
    start.update(salt)
    before, chain = start.intdigest(), []
    for i in range(0, len(ids), tokens):
        block = ids[i : i + tokens]
        h = xxhash.xxh64(seed=0)
        h.update(
            struct.pack("<Q", xxhash.xxh64(struct.pack(f"<{len(block)}I", *block)).intdigest())
        )
        h.update(struct.pack("<Q", before))
        before = h.intdigest()
        chain.append(before)
    return chain[:most]


@settings(deadline=None)
@given(
    text=st.binary(max_size=300).map(lambda b: b * 20),
    tokens=st.integers(1, 80),
    most=st.integers(1, 100),
    salt=st.binary(max_size=5),
)
def test_chains_are_those_of_the_spec(text: bytes, tokens: int, most: int, salt: bytes) -> None:
    chains = Chains(tokens, most)
    expected = by_the_book(b"m", salt, text, tokens, most)
    assert chains.chain("m", salt, text) == expected
    assert chains.chain("m", salt, text) == expected, "from what is remembered as well"


def test_longer_texts_begin_with_the_same_chain() -> None:
    chains, text = Chains(16, 2048), random.Random(1).randbytes(50_000)
    long = chains.chain("m", b"", text)
    for end in (64, 64 * PIECE, 64 * PIECE * 3, 64 * 500):
        assert chains.chain("m", b"", text[:end]) == long[: end // 64]


def test_pieces_are_bounded() -> None:
    chains, dice = Chains(1, 2048), random.Random(2)
    for _ in range(60):
        chains.chain("m", b"", dice.randbytes(8192))
    assert len(chains._pieces) <= 4096 < 60 * 128


def named(count: int) -> list[Endpoint]:
    return [Endpoint(f"p{i}", f"10.0.0.{i}:80") for i in range(count)]


def depths(index: BlockIndex, chain: list[int], among: int) -> dict[int, int]:
    """By slot."""
    return {
        slot: depth
        for mask, depth in index.depths(chain, among)
        for slot in range(mask.bit_length())
        if mask >> slot & 1
    }


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_the_index_is_a_set_of_blocks_per_server_that_forgets_the_oldest(
    data: st.DataObject,
) -> None:
    """Against the plain thing: whoever has a block has those before it, nobody more than it may,
    and what was used last is there."""
    index, pods = BlockIndex(), named(3)
    for pod in pods:
        index.slots.slot(pod)
    capacity = data.draw(st.integers(1, 30))
    for _ in range(data.draw(st.integers(1, 25))):
        family, length = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 12))
        fork = data.draw(st.integers(0, length))
        chain = [hash((family, i, i >= fork and fork)) for i in range(length)]
        slot = data.draw(st.integers(0, 2))
        if data.draw(st.integers(0, 9)) == 0:
            index.forget(pods[slot])
            assert depths(index, chain, 7).get(slot, 0) == 0
            index.slots.slot(pods[slot])
            continue
        index.add(pods[slot], chain, capacity)
        held = [set(index._orders.get(s, ())) for s in range(3)]
        assert len(held[slot]) <= capacity
        expected = {}
        for s in range(3):
            have = [h in held[s] for h in chain]
            first_gap = have.index(False) if False in have else len(have)
            assert not any(have[first_gap:]), "a block without the one before it"
            if first_gap:
                expected[s] = first_gap
        assert depths(index, chain, 7) == expected
        assert depths(index, chain, 0b101) == {s: d for s, d in expected.items() if s != 1}
        assert expected[slot] >= min(length, max(1, capacity - capacity // 64))
        everything = {h for blocks in held for h in blocks}
        assert set(index._blocks) == everything and len(index) == sum(map(len, held))


def test_a_block_takes_as_much_memory_as_is_said() -> None:
    """At worst: no two servers have a block in common, and sets have outgrown their tables."""
    dice, pods = random.Random(3), named(4)
    for blocks in (10_000, 11_000, 22_500):  # before and after tables double
        gc.collect()
        tracemalloc.start()
        index = BlockIndex()
        for _ in range(blocks // 500):
            for pod in pods:
                index.add(pod, [dice.getrandbits(64) for _ in range(500)], 31250)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(index) == 4 * (blocks // 500) * 500
        assert 90 < taken / len(index) < BLOCK_BYTES
