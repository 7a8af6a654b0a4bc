"""The store in this process."""

from __future__ import annotations

from wayside.stores.base import Tools
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.vocab.stores import Delete, Get, Listing, Put


def store(max_bytes: int = 1 << 20) -> MemoryStore:
    return MemoryStore(MemorySettings(max_bytes=max_bytes), Tools("memory"))


def test_documents_of_one_space_are_not_seen_in_another() -> None:
    kept = store()
    kept.put(Put("memory", "a", "k", b"1"))
    assert kept.get(Get("memory", "a", "k")) == b"1"
    assert kept.get(Get("memory", "b", "k")) is None
    assert kept.listing(Listing("memory", "b")) == ()


def test_a_document_ends_with_its_time() -> None:
    kept = store()
    now = 100.0
    kept.clock = lambda: now
    kept.put(Put("memory", "a", "k", b"1", ttl_s=5))
    now = 104.0
    assert kept.get(Get("memory", "a", "k")) == b"1"
    now = 106.0
    assert kept.get(Get("memory", "a", "k")) is None


def test_the_newest_come_first_and_the_oldest_make_room() -> None:
    kept = store(max_bytes=30)
    for i in range(6):
        kept.put(Put("memory", "a", str(i), b"123456789"))
    assert [key for key, _ in kept.listing(Listing("memory", "a"))] == ["5", "4", "3"]
    assert kept.delete(Delete("memory", "a", "5")) and not kept.delete(Delete("memory", "a", "0"))
