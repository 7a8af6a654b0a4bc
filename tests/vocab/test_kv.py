"""KV cache events into who has what (spec 4.4; row 14 of spec 7: gaps, restarts, hash seeds)."""

from __future__ import annotations

import gc
import json
import random
import struct
import tracemalloc
from pathlib import Path

import msgspec
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.vocab.endpoint import Endpoint
from wayside.vocab.kv import KEY_BYTES, MOST_BLOCKS, MOST_SOURCES, KvIndex, keys, root

VLLM = json.loads(
    (Path(__file__).parents[1] / "sim" / "data" / "vllm_block_hashes.json").read_text()
)
"""Told by a real vLLM; where it comes from is in the file, and that the simulator computes the
same hashes in tests/sim/test_block_hash.py."""
TIERS = {"gpu": 1.0, "cpu": 0.8}
A, B = Endpoint("a", "10.0.0.1:80"), Endpoint("b", "10.0.0.2:80")


class Told:
    """Events of one server on their way into an index."""

    def __init__(self, index: KvIndex, server: Endpoint = A, source: bytes = b"kv@a@m") -> None:
        self.index, self.server, self.source, self.number = index, server, source, -1

    def __call__(self, *events, number: int | None = None):
        self.number = self.number + 1 if number is None else number
        body = msgspec.msgpack.encode([1.7e9, events, 0])
        return self.index.hear(self.server, self.source, self.number, body)


def stored(hashes, parent, tokens, size=16, lora=None, medium="GPU", name=None):
    return ["BlockStored", hashes, parent, tokens, size, lora, medium, name]


def has(index: KvIndex, tokens, server=A, adapter="", size=16) -> float:
    """How much of them it has, in blocks."""
    bit = 1 << index.slots.slot(server)
    return dict(index.worth(keys(tokens, size, root(adapter)), bit)).get(bit, 0.0)


def index(**more) -> KvIndex:
    return KvIndex(TIERS, **{"most_blocks": 10**6, **more})


TOKENS = list(range(1000, 1064))
ABCD = stored([1, 2, 3, 4], None, TOKENS)


def test_keys_are_chained_as_the_spec_says() -> None:
    parent, expected = root("lora"), []
    for i in range(0, 32, 16):
        block = struct.pack("<16I", *TOKENS[i : i + 16])
        parent = xxhash.xxh64_intdigest(struct.pack("<Q", parent) + block)
        expected.append(parent)
    assert keys(TOKENS[:40], 16, root("lora")) == expected, "full blocks only"


@pytest.mark.parametrize(("of", "adapter"), [("hashes", None), ("adapter_hashes", "Alice")])
def test_what_vllm_told_is_found_for_the_prompt_it_was_told_of(of, adapter) -> None:
    """Its 25 blocks, told in two messages that only its own hashes connect."""
    found, tokens, hashes = index(), VLLM["tokens"], VLLM[of]
    tell, lora = Told(found), 1 if adapter else None
    tell(stored(hashes[:10], None, tokens[:160], lora=lora, name=adapter))
    tell(stored(hashes[10:], hashes[9], tokens[160:], lora=lora, name=adapter))
    assert has(found, tokens, adapter=adapter or "") == 25
    assert has(found, tokens, adapter="" if adapter else "Alice") == 0
    assert has(found, [*tokens[:200], 7, *tokens[201:]], adapter=adapter or "") == 12
    assert has(found, tokens[1:], adapter=adapter or "") == 0


def test_hashes_may_be_bytes_and_messages_may_have_fewer_or_more_fields() -> None:
    found = index()
    tell = Told(found)
    tell(["BlockStored", [b"\1" * 32], None, TOKENS[:16], 16])
    tell(["BlockStored", [b"\2" * 32], b"\1" * 32, TOKENS[16:32], 16, None, "GPU", None, [], 7])
    assert has(found, TOKENS) == 2
    tell(["BlockRemoved", [b"\2" * 32]])
    assert has(found, TOKENS) == 1


def test_removed_blocks_end_what_is_there() -> None:
    found = index()
    tell = Told(found)
    tell(ABCD)
    tell(["BlockRemoved", [2, 99], "GPU"])
    assert has(found, TOKENS) == 1, "3 and 4 are there, but not what comes before them"
    tell(stored([2], 1, TOKENS[16:32]))
    assert has(found, TOKENS) == 4
    tell(["AllBlocksCleared"])
    assert has(found, TOKENS) == 0 and len(found) == 0


def test_a_block_counts_as_much_as_its_best_tier() -> None:
    found = index()
    tell = Told(found)
    tell(ABCD)
    tell(stored([3, 4], 2, TOKENS[32:], medium="CPU"))
    assert has(found, TOKENS) == 4
    tell(["BlockRemoved", [3, 4], "GPU"])
    assert has(found, TOKENS) == pytest.approx(2 + 2 * 0.8)
    tell(["BlockRemoved", [3], "CPU"])
    assert has(found, TOKENS) == 2
    tell(stored([3], 2, TOKENS[32:48], medium="TAPE"))
    assert has(found, TOKENS) == pytest.approx(2 + 2 * 0.8), "elsewhere is worth the least"


def test_servers_are_apart() -> None:
    found = index()
    Told(found, A)(ABCD)
    Told(found, B)(stored([9, 8], None, TOKENS[:32], medium="CPU"))
    assert has(found, TOKENS, A) == 4 and has(found, TOKENS, B) == 1.6
    found.forget(A)
    assert has(found, TOKENS, A) == 0 and has(found, TOKENS, B) == 1.6 and len(found) == 2


@pytest.mark.parametrize(("number", "said"), [(5, "gap"), (0, "restart"), (2, "restart")])
def test_after_a_gap_or_a_restart_nothing_holds_that_was_known(number, said) -> None:
    found = index()
    tell = Told(found)
    assert [tell(ABCD), tell(), tell()] == ["ok"] * 3 and found.knows(A) is True
    assert tell(stored([7], None, [1] * 16), number=number) == said
    assert has(found, TOKENS) == 0 and has(found, [1] * 16) == 1
    assert found.knows(A) is (number == 0)
    assert tell(stored([8], 4, TOKENS[:16])) == "orphan", "and blocks after forgotten ones are not"
    assert len(found) == 1


def test_each_rank_counts_for_itself() -> None:
    found = index()
    one, two = Told(found, A, b"0"), Told(found, A, b"1")
    assert [one(), two(), one(ABCD), two()] == ["ok"] * 4
    assert has(found, TOKENS) == 4 and found.knows(A)


def test_who_stores_after_what_it_never_told_has_more_than_it_told() -> None:
    """Also where it said before that it has nothing: then what is not known may be there."""
    found = index()
    tell = Told(found)
    assert tell(["AllBlocksCleared"]) == "ok" and found.knows(A)
    assert tell(stored([9], 8, TOKENS[:16])) == "orphan"
    assert found.knows(A) is False and len(found) == 0
    assert tell(ABCD) == "ok" and has(found, TOKENS) == 4
    assert found.knows(A) is False
    assert tell(["AllBlocksCleared"]) == "ok" and found.knows(A)


def test_one_who_comes_late_knows_not_all() -> None:
    found = index()
    tell = Told(found)
    assert found.knows(A) is None
    assert tell(stored([5], 4, [1] * 16), number=17) == "orphan"
    assert len(found) == 0 and found.knows(A) is False
    tell(["AllBlocksCleared"])
    assert found.knows(A) is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"{}",
        msgspec.msgpack.encode([1, [[1]]]),
        msgspec.msgpack.encode([1, [{"hashes": [1]}]]),
        msgspec.msgpack.encode({"ts": 1}),
        msgspec.msgpack.encode([1, [["BlockStored", [1]]]]),
        msgspec.msgpack.encode([1, [["BlockStored", [1] * (MOST_BLOCKS + 1), None, [1], 1]]]),
        b"\x92\x01" + b"\x91" * 100_000,
        b"\x82\xa1" * 100_000,
        msgspec.msgpack.encode([1, [["BlockStored", [1], None, [-1] * 16, 16]]]),
        msgspec.msgpack.encode([1, [["BlockStored", [1], None, [2**40] * 16, 16]]]),
        msgspec.msgpack.encode([1, [["BlockStored", "x", None, [1] * 16, 16]]]),
    ],
)
def test_what_cannot_be_read_leaves_nothing_known(body) -> None:
    found = index()
    tell = Told(found)
    tell(ABCD)
    assert found.hear(A, tell.source, 1, body) == "malformed"
    assert has(found, TOKENS) == 0 and found.knows(A) is False
    assert found.hear(A, tell.source, 2, msgspec.msgpack.encode([1, [ABCD]])) == "ok"
    assert has(found, TOKENS) == 4


AS_MAP = {
    "type": "BlockStored",
    "block_hashes": [1, 2, 3, 4],
    "parent_block_hash": None,
    "token_ids": TOKENS,
    "block_size": 16,
    "medium": "GPU",
    "of_later": {"a": 1},
}


@pytest.mark.parametrize(
    "body",
    [
        [1, [["NoSuchEvent", 1], ABCD, ["BlockPinned"], {"type": "Other"}]],
        [1, [[*ABCD, None, 3, {"more": 1}]], None, "more"],
        [1, [AS_MAP]],
        {"ts": 1, "events": [AS_MAP, ABCD]},
    ],
)
def test_what_a_later_version_says_is_read_as_far_as_it_is_known(body) -> None:
    found = index()
    assert found.hear(A, b"0", 0, msgspec.msgpack.encode(body)) == "ok"
    assert has(found, TOKENS) == 4 and found.knows(A)
    removed = [1, [{"type": "BlockRemoved", "block_hashes": [2]}, ["NoSuchEvent"]]]
    assert found.hear(A, b"0", 1, msgspec.msgpack.encode(removed)) == "ok"
    assert has(found, TOKENS) == 1


def test_a_server_has_so_many_publishers_whatever_topics_it_makes_up() -> None:
    found = index()
    body = msgspec.msgpack.encode([1, []])
    for i in range(1000):
        found.hear(A, b"kv@a@%d" % i, 0, body)
    assert found.hear(B, b"kv@" + b"b" * 10_000, 0, body) == "malformed"
    assert len(found._servers[A].last) == MOST_SOURCES
    assert found.hear(A, b"kv@a@0", 1, body) == "ok"


def test_a_server_that_gives_one_name_to_two_blocks_has_the_later_one() -> None:
    """And leaves nothing to whoever has its number after it."""
    found = index()
    tell = Told(found)
    tell(stored([1], None, TOKENS[:16]))
    tell(stored([1], None, TOKENS[16:32]))
    assert has(found, TOKENS[:16]) == 0 and has(found, TOKENS[16:32]) == 1
    slot = found.slots.slot(A)
    found.forget(A)
    assert found.slots.slot(B) == slot and has(found, TOKENS[:16], B) == 0


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_server_gets_what_another_had(data: st.DataObject) -> None:
    """Servers come, go, restart and lie, and numbers are used again: whatever the index says that
    one has, it has told, or been promised lately."""
    found, now = index(most_blocks=40), 0.0
    servers = [Told(found, Endpoint(f"s{i}", "10.0.0.1:80")) for i in range(3)]
    prompts = [[p] * 8 for p in range(5)]
    may: dict[Endpoint, dict[int, float]] = {}  # prompt -> until when
    for _ in range(data.draw(st.integers(1, 40))):
        at = data.draw(st.integers(0, 2))
        tell, p = servers[at], data.draw(st.integers(0, 4))
        mine = may.setdefault(tell.server, {})
        deed = data.draw(st.sampled_from(["tell", "remove", "promise", "go", "restart", "wait"]))
        if deed == "tell":
            tell(stored([data.draw(st.integers(0, 3))], None, prompts[p], 8))
            mine[p] = float("inf")
        elif deed == "remove":
            tell(["BlockRemoved", [p], "GPU"])
        elif deed == "promise":
            found.promise(tell.server, keys(prompts[p], 8, root("")), now, 2.0)
            mine[p] = max(mine.get(p, 0.0), now + 6.0)
        elif deed == "wait":
            now += data.draw(st.sampled_from([0.5, 1.9, 2.0, 3.0, 9.0]))
            found.turn(now, 2.0)
        else:
            found.forget(tell.server)
            may.pop(tell.server)
            if deed == "go":  # another one comes at its address
                servers[at] = Told(found, Endpoint(f"{tell.server.name}'", "10.0.0.1:80"))
        for each in servers:
            for q in range(5):
                if has(found, prompts[q], each.server, size=8):
                    assert may.get(each.server, {}).get(q, -1.0) >= now
    for each in servers:
        found.forget(each.server)
    found._part()
    assert not any([*found._tiers, *found._soon, found._servers, len(found.slots)])
    assert sorted(found.slots._free) == list(range(found.slots._next)), "no number is lost"


def test_many_servers_that_go_cost_no_walk_along_all_promises_each() -> None:
    found = index()
    servers = [Endpoint(f"s{i}", f"10.0.0.{i}:80") for i in range(600)]
    for i, server in enumerate(servers):
        found.promise(server, [i, i + 1], 0.0, 2.0)
    soon = found._soon[0]
    for server in servers[:200]:
        found.forget(server)
    assert found._soon[0] is soon
    for server in servers[200:]:
        found.forget(server)
    assert found._soon[0] is not soon
    found.turn(9.0, 2.0)
    assert found.slots._next == 600 and len(found.slots._free) == 600


@pytest.mark.parametrize("size", [0, -1, 17, 2**40])
def test_sizes_that_cannot_be_are_not_taken(size) -> None:
    found = index()
    Told(found)(stored([1], None, [1] * 16, size=size))
    assert len(found) == 0 and not found.sizes


@given(st.lists(st.integers(1, 64), max_size=20))
def test_there_are_few_sizes_of_blocks(sizes: list[int]) -> None:
    found = index()
    Told(found)(*[stored([i], None, [1] * 64, size=size) for i, size in enumerate(sizes)])
    assert len(found.sizes) <= 4


def test_a_promise_holds_for_a_while() -> None:
    found = index()
    Told(found)(stored([1], None, TOKENS[:16]))
    found.promise(A, keys(TOKENS, 16, root("")), now=100.0, ttl_s=2.0)
    assert has(found, TOKENS) == 4
    for now, blocks in ((101.9, 4), (102.5, 4), (105.0, 1)):
        found.turn(now, 2.0)
        assert has(found, TOKENS) == blocks, now
    found.promise(A, keys(TOKENS, 16, root("")), now=110.0, ttl_s=2.0)
    found.forget(A)
    assert has(found, TOKENS) == 0


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_the_index_says_what_the_plain_thing_says(data: st.DataObject) -> None:
    """Two servers, two tiers, four prompts that share beginnings, any order of events."""
    found, servers = index(), [A, B]
    tells = [Told(found, server) for server in servers]
    prompts = [[7] * 8 + [p // 2] * 8 + [p] * 16 for p in range(4)]
    held: dict[tuple[int, int], set[str]] = {}  # server, prompt's block -> media
    names = {}
    for p, tokens in enumerate(prompts):
        for i in range(4):
            names[p, i] = hash(tuple(tokens[: 8 * (i + 1)]))
    for _ in range(data.draw(st.integers(0, 20))):
        s, p = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 3))
        medium = data.draw(st.sampled_from(["GPU", "CPU"]))
        first = data.draw(st.integers(0, 3))
        if data.draw(st.booleans()):
            chain = [names[p, i] for i in range(4)]
            known = first == 0 or (s, chain[first - 1]) in held
            parent = None if first == 0 else chain[first - 1]
            tells[s](stored(chain[first:], parent, prompts[p][8 * first :], 8, medium=medium))
            for name in chain[first:] if known else ():
                held.setdefault((s, name), set()).add(medium)
        else:
            gone = names[p, first]
            tells[s](["BlockRemoved", [gone], medium])
            held.get((s, gone), set()).discard(medium)
            if not held.get((s, gone), True):
                del held[s, gone]
        for q in range(4):
            for t in range(2):
                worth = 0.0
                for i in range(4):
                    media = held.get((t, names[q, i]))
                    if not media:
                        break
                    worth += 1.0 if "GPU" in media else 0.8
                assert has(found, prompts[q], servers[t], size=8) == pytest.approx(worth)


def test_memory_is_bounded_and_a_block_takes_as_much_as_is_said() -> None:
    servers = [Endpoint(f"p{i}", f"10.0.0.{i}:80") for i in range(4)]
    dice = random.Random(1)
    gc.collect()
    tracemalloc.start()
    found = index(most_blocks=12_000)
    tells = [Told(found, server) for server in servers]
    for n in range(1, 5):  # servers come one by one
        for _ in range(6 if n < 4 else 30):
            for tell in tells[:n]:
                tokens = [dice.getrandbits(17) for _ in range(16 * 400)]
                tell(stored([dice.getrandbits(64) for _ in range(400)], None, tokens))
                assert len(found) <= 12_000
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) > 8_000 and 100 < taken / len(found) < KEY_BYTES
