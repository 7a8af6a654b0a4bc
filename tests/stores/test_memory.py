"""The store in this process."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable
from typing import Any

import numpy as np
import pytest

from wayside.stores.base import Tools
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.vocab.stores import (
    Delete,
    Get,
    Index,
    Listing,
    Put,
    Recall,
    Recalled,
    Release,
    Remember,
    Search,
    Unindex,
)

M = "memory"
EAST, NORTH, NEARLY_EAST = (1.0, 0.0), (0.0, 1.0), (0.995, 0.0999)


def store(max_bytes: int = 1 << 20) -> MemoryStore:
    return MemoryStore(MemorySettings(max_bytes=max_bytes), Tools("memory"))


def remember(kept: MemoryStore, key: str, body: bytes = b"body", **more: Any) -> None:
    kept.remember(
        Remember(M, more.pop("partition", "p"), key, body, more.pop("ttl_s", 60), **more)
    )


def recalled(kept: MemoryStore, key: str, **more: Any) -> Recalled:
    found = kept.recall(Recall(M, more.pop("partition", "p"), key, **more))
    assert isinstance(found, Recalled)
    return found


# documents


def test_documents_of_one_space_are_not_seen_in_another() -> None:
    kept = store()
    kept.put(Put(M, "a", "k", b"1"))
    assert kept.get(Get(M, "a", "k")) == b"1"
    assert kept.get(Get(M, "b", "k")) is None
    assert kept.listing(Listing(M, "b")) == ()


def test_a_document_ends_with_its_time() -> None:
    kept = store()
    now = 100.0
    kept.room.clock = lambda: now
    kept.put(Put(M, "a", "k", b"1", ttl_s=5))
    now = 104.0
    assert kept.get(Get(M, "a", "k")) == b"1"
    now = 106.0
    assert kept.get(Get(M, "a", "k")) is None
    assert len(kept.room) == 0


def test_the_newest_come_first_and_the_longest_unused_make_room() -> None:
    kept = store(max_bytes=5000)
    for i in range(6):
        kept.put(Put(M, "a", str(i), bytes(1000)))
        kept.get(Get(M, "a", "0"))
    assert [key for key, _ in kept.listing(Listing(M, "a"))] == ["5", "0"]
    assert [key for key, _ in kept.listing(Listing(M, "a", offset=1))] == ["0"]
    assert kept.delete(Delete(M, "a", "5")) and not kept.delete(Delete(M, "a", "1"))


def test_a_document_larger_than_the_room_drives_nothing_else_out() -> None:
    kept = store(max_bytes=5000)
    kept.put(Put(M, "a", "small", b"1"))
    kept.put(Put(M, "a", "large", bytes(5000)))
    assert kept.get(Get(M, "a", "small")) == b"1" and kept.get(Get(M, "a", "large")) is None


# cache


def test_an_answer_is_found_under_its_key_in_its_partition_alone() -> None:
    kept = store()
    kept.room.clock = lambda: 100.0
    remember(kept, "k", b"four", question="two and two?")
    (hit,) = recalled(kept, "k").hits
    assert (hit.body, hit.question, hit.kept_at) == (b"four", "two and two?", 100.0)
    assert hit.exact and hit.similarity == 1.0
    assert recalled(kept, "k", partition="q") == Recalled()
    assert recalled(kept, "other") == Recalled()


def test_an_answer_is_found_by_meaning_best_first_within_the_threshold() -> None:
    kept = store()
    remember(kept, "east", b"e", vector=EAST)
    remember(kept, "nearly", b"n", vector=NEARLY_EAST)
    remember(kept, "north", b"x", vector=NORTH)
    remember(kept, "elsewhere", b"z", vector=EAST, partition="q")
    found = recalled(kept, "?", vector=EAST, threshold=0.9).hits
    assert [(h.body, round(h.similarity, 3), h.exact) for h in found] == [
        (b"e", 1.0, False),
        (b"n", 0.995, False),
    ]
    assert len(recalled(kept, "?", vector=EAST, threshold=0.9, most=1).hits) == 1
    assert recalled(kept, "?", vector=(1.0, 0.0, 0.0), threshold=0.0).hits == ()


def test_an_expired_answer_is_found_neither_by_key_nor_by_meaning() -> None:
    kept = store()
    now = 100.0
    kept.room.clock = lambda: now
    for i in range(20):
        remember(kept, str(i), vector=EAST, ttl_s=5)
    remember(kept, "last", b"last", vector=NEARLY_EAST, ttl_s=50)
    now = 106.0
    assert recalled(kept, "3").hits == ()
    found = recalled(kept, "?", vector=EAST, threshold=0.9, most=4).hits
    assert [hit.body for hit in found] == [b"last"]


def test_what_has_expired_makes_room_by_itself() -> None:
    kept = store()
    now = 100.0
    kept.room.clock = lambda: now
    for i in range(50):
        remember(kept, str(i), vector=EAST, ttl_s=5)
    now = 200.0
    remember(kept, "new")
    assert len(kept.room) == 1


def test_a_replaced_answer_is_found_by_its_new_meaning_alone() -> None:
    kept = store()
    remember(kept, "k", b"1", vector=EAST)
    remember(kept, "k", b"2", vector=NORTH)
    assert recalled(kept, "?", vector=EAST, threshold=0.5).hits == ()
    (hit,) = recalled(kept, "?", vector=NORTH, threshold=0.5).hits
    assert hit.body == b"2"


@pytest.mark.parametrize("vector", [(0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_a_vector_without_direction_is_never_found(vector: tuple[float, ...]) -> None:
    kept = store()
    remember(kept, "k", vector=vector)
    remember(kept, "east", vector=EAST)
    assert len(recalled(kept, "?", vector=EAST, threshold=-1.0).hits) == 1
    assert recalled(kept, "?", vector=vector, threshold=-1.0).hits == ()
    assert recalled(kept, "k").hits


def test_memory_is_bounded_in_bytes_over_everything_it_holds() -> None:
    """What it counts is what Python allocates, and less than the bound, whatever is kept."""
    most = 8 << 20
    kept = store(most)
    dice = np.random.default_rng(0)
    vectors = [tuple(row) for row in dice.standard_normal((64, 64)).tolist()]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(12_000):
        many = i % 3
        remember(
            kept,
            f"key-{i:040}",
            bytes(200 + i % 500),
            partition=f"partition-{i % (7 if many else 3000)}",
            question="é" * (i % 90),
            vector=vectors[i % 64] if many else None,
            ttl_s=60 + i % 4000,
        )
        if i % 5 == 0:
            kept.put(Put(M, f"space-{i % 11}", f"k{i}", bytes(i % 300)))
            kept.index(Index(M, "s", f"k{i}", "text " * 9, vectors[i % 64], {"page": i}))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept.room.evicted > 1000
    assert kept.room.size <= most
    assert 0.75 * kept.room.size < held < 1.1 * kept.room.size
    for item in list(kept.room):
        kept.room.drop(item)
    assert kept.room.size == 0 and not kept.room.spaces


# single flight


async def waiting(kept: MemoryStore, key: str, wait_s: float = 5.0) -> asyncio.Task[Recalled]:
    found = kept.recall(Recall(M, "p", key, wait_s=wait_s))
    assert isinstance(found, Awaitable)

    async def wait() -> Recalled:
        return await found

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_the_first_asker_leads_and_the_others_get_its_answer() -> None:
    kept = store()
    assert recalled(kept, "k", wait_s=1.0) == Recalled(leads=True)
    others = [await waiting(kept, "k") for _ in range(3)]
    assert not any(task.done() for task in others)
    remember(kept, "k", b"four")
    for found in await asyncio.gather(*others):
        assert [hit.body for hit in found.hits] == [b"four"] and not found.leads
    assert len(kept.leases) == 0


async def test_after_a_release_the_others_go_on_alone_and_the_next_leads() -> None:
    kept = store()
    recalled(kept, "k", wait_s=1.0)
    other = await waiting(kept, "k")
    kept.release(Release(M, "p", "k"))
    assert await other == Recalled()
    assert recalled(kept, "k", wait_s=1.0).leads


async def test_nobody_waits_longer_than_it_said() -> None:
    kept = store()
    recalled(kept, "k", wait_s=1.0)
    assert await (await waiting(kept, "k", wait_s=0.01)) == Recalled()


async def test_a_lease_ends_by_itself_after_thirty_seconds() -> None:
    kept = store()
    now = 0.0
    kept.leases.clock = lambda: now
    assert recalled(kept, "k", wait_s=1.0).leads
    other = await waiting(kept, "k", wait_s=100.0)
    now = 31.0
    assert recalled(kept, "k", wait_s=1.0).leads
    assert await other == Recalled()


def test_whoever_does_not_wait_neither_leads_nor_waits() -> None:
    kept = store()
    assert recalled(kept, "k") == Recalled()
    assert recalled(kept, "k", wait_s=1.0).leads
    assert recalled(kept, "k") == Recalled()
    assert recalled(kept, "k", partition="q", wait_s=1.0).leads


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    kept = store()
    recalled(kept, "k", wait_s=1.0)
    other = await waiting(kept, "k")
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    remember(kept, "k")
    assert recalled(kept, "k").hits


def test_leases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.stores.leases.MAX_LEASES", 2)
    kept = store()
    assert [recalled(kept, key, wait_s=1.0).leads for key in "abc"] == [True, True, False]


# passages


async def test_passages_are_found_by_meaning_and_forgotten() -> None:
    kept = store()
    kept.index(Index(M, "s", "e", "east", EAST, {"page": 1}))
    kept.index(Index(M, "s", "n", "north", NORTH))
    kept.index(Index(M, "t", "e", "other", EAST))
    (found,) = kept.search(Search(M, "s", "where?", EAST, threshold=0.5))
    assert (found.key, found.text, found.metadata) == ("e", "east", {"page": 1})
    assert found.score == pytest.approx(1.0)
    assert kept.search(Search(M, "s", "where?")) == ()
    assert kept.unindex(Unindex(M, "s", "e")) == 1 and kept.unindex(Unindex(M, "s", "e")) == 0
    gone = kept.unindex(Unindex(M, "s"))
    assert isinstance(gone, Awaitable) and await gone == 1
    assert kept.search(Search(M, "s", "where?", EAST, threshold=-1.0)) == ()
    assert len(kept.search(Search(M, "t", "where?", EAST))) == 1
