"""The Redis store against real servers: one without modules, one with vector search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.stores.redis_rig import RedisServer
from wayside.stores.base import Tools, Which
from wayside.stores.redis import RedisSettings, RedisStore
from wayside.stores.redis_search import ServerSearch
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import (
    Contents,
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

R = "shared"
EAST, NORTH, NEARLY_EAST = (1.0, 0.0), (0.0, 1.0), (0.995, 0.0999)
Open = Callable[..., RedisStore]


@pytest.fixture(scope="module", params=["plain", "search"])
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[RedisServer]:
    folder: Path = tmp_path_factory.mktemp("redis")
    found = RedisServer(folder, search=request.param == "search").start()
    yield found
    found.close()


@pytest.fixture
async def open_store(server: RedisServer) -> AsyncIterator[Open]:
    """Makes stores of one shared, empty server: each as another process would have it."""
    server.command_line("FLUSHALL")
    made: list[RedisStore] = []

    def make(**settings: Any) -> RedisStore:
        rule = RedisSettings(url=server.url, **{"timeout_ms": 3000, **settings})
        store = RedisStore(rule, Tools(R))
        store.open()
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
    await asyncio.sleep(0)


@pytest.fixture
async def store(open_store: Open) -> RedisStore:
    return open_store()


async def remember(store: RedisStore, key: str, body: bytes = b"body", **more: Any) -> None:
    partition, ttl_s = more.pop("partition", "p"), more.pop("ttl_s", 60)
    await store.remember(Remember(R, partition, key, body, ttl_s, **more))


async def recalled(store: RedisStore, key: str, **more: Any) -> Recalled:
    return await store.recall(Recall(R, more.pop("partition", "p"), key, **more))


async def settled(store: RedisStore) -> None:
    """A server's new index takes up what was kept with its making a moment later."""
    for name in (await store.server.link.ask(("FT._LIST",)))[0] if searches(store) else ():
        while True:
            (told,) = await store.server.link.ask(("FT.INFO", name))
            if int(told[told.index(b"indexing") + 1]) == 0:
                break
            await asyncio.sleep(0.005)


def searches(store: RedisStore) -> bool:
    return isinstance(store.server.finder, ServerSearch)


# cache


async def test_an_answer_is_found_by_another_process_in_its_partition_alone(
    open_store: Open,
) -> None:
    one, other = open_store(), open_store()
    await remember(one, "k", b"four", question="two and two? \ud800")
    (hit,) = (await recalled(other, "k")).hits
    assert (hit.body, hit.question) == (b"four", "two and two? \ud800")
    assert hit.exact and hit.similarity == 1.0 and hit.kept_at > 1.7e9
    assert await recalled(other, "k", partition="q") == Recalled()
    assert await recalled(other, "other") == Recalled()


async def test_an_answer_is_found_by_meaning_best_first_within_the_threshold(
    store: RedisStore,
) -> None:
    await remember(store, "east", b"e", vector=EAST, question="east?")
    await remember(store, "nearly", b"n", vector=NEARLY_EAST)
    await remember(store, "north", b"x", vector=NORTH)
    await remember(store, "elsewhere", b"z", vector=EAST, partition="q")
    await remember(store, "wide", b"w", vector=(1.0, 0.0, 0.0))
    await settled(store)
    found = (await recalled(store, "?", vector=EAST, threshold=0.9)).hits
    assert [(h.body, round(h.similarity, 3), h.exact) for h in found] == [
        (b"e", 1.0, False),
        (b"n", 0.995, False),
    ]
    assert found[0].question == "east?" and found[0].kept_at > 1.7e9
    assert len((await recalled(store, "?", vector=EAST, threshold=0.9, most=1)).hits) == 1
    (wide,) = (await recalled(store, "?", vector=(1.0, 0.1, 0.0), threshold=0.9)).hits
    assert wide.body == b"w"
    assert (await recalled(store, "?", vector=(0.0, 0.0), threshold=-1.0)).hits == ()


async def test_what_another_process_kept_is_found_by_meaning_as_the_mode_says(
    open_store: Open, server: RedisServer
) -> None:
    one, other = open_store(), open_store()
    await remember(one, "east", b"e", vector=EAST)
    await recalled(other, "?")
    await settled(other)
    found = (await recalled(other, "?", vector=NEARLY_EAST, threshold=0.9)).hits
    mode = other.standing().mode
    if server.search:
        assert mode.endswith("vector search by the server") and len(found) == 1
    else:
        assert mode.endswith("by meaning only what this process has kept or read")
        assert found == ()
        assert (await recalled(other, "east", vector=EAST)).hits  # read once, and seen
        (hit,) = (await recalled(other, "?", vector=NEARLY_EAST, threshold=0.9)).hits
        assert hit.body == b"e"


async def test_an_answer_ends_with_its_time(store: RedisStore) -> None:
    await remember(store, "k", vector=EAST, ttl_s=0.02)
    await asyncio.sleep(0.05)
    assert (await recalled(store, "k")).hits == ()
    assert (await recalled(store, "?", vector=EAST, threshold=0.5)).hits == ()


async def test_a_replaced_answer_is_found_by_its_new_meaning_alone(store: RedisStore) -> None:
    await remember(store, "k", b"1", vector=EAST)
    await remember(store, "k", b"2", vector=NORTH)
    await settled(store)
    assert (await recalled(store, "?", vector=EAST, threshold=0.5)).hits == ()
    (hit,) = (await recalled(store, "?", vector=NORTH, threshold=0.5)).hits
    assert hit.body == b"2"


# single flight


async def test_of_the_askers_of_all_processes_one_leads_and_the_others_get_its_answer(
    open_store: Open,
) -> None:
    one, other = open_store(), open_store()
    assert (await recalled(one, "k", wait_s=1.0)).leads
    here = [asyncio.create_task(recalled(one, "k", wait_s=20)) for _ in range(3)]
    there = [asyncio.create_task(recalled(other, "k", wait_s=20)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in [*here, *there])
    await remember(one, "k", b"four")
    for found in await asyncio.gather(*here, *there):
        assert [hit.body for hit in found.hits] == [b"four"] and not found.leads
    assert len(one.answers.leases) == len(other.answers.leases) == 0


async def test_after_a_release_the_others_go_on_alone_and_the_next_leads(open_store: Open) -> None:
    one, other = open_store(), open_store()
    assert (await recalled(one, "k", wait_s=1.0)).leads
    waiting = asyncio.create_task(recalled(other, "k", wait_s=20))
    await asyncio.sleep(0.05)
    await one.release(Release(R, "p", "k"))
    assert await waiting == Recalled()
    assert (await recalled(other, "k", wait_s=1.0)).leads


async def test_nobody_releases_what_another_leads(open_store: Open) -> None:
    one, other, third = open_store(), open_store(), open_store()
    assert (await recalled(one, "k", wait_s=1.0)).leads
    await other.release(Release(R, "p", "k"))
    assert await recalled(third, "k", wait_s=0.05) == Recalled()


async def test_a_leader_that_is_cancelled_leads_no_more(open_store: Open) -> None:
    one, other = open_store(), open_store()
    await recalled(one, "?")
    leader = asyncio.create_task(recalled(one, "k", wait_s=1.0))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    await asyncio.sleep(0.05)
    assert (await recalled(other, "k", wait_s=1.0)).leads


async def test_whoever_does_not_wait_neither_leads_nor_waits(store: RedisStore) -> None:
    assert await recalled(store, "k") == Recalled()
    assert (await recalled(store, "k", wait_s=1.0)).leads
    assert await recalled(store, "k") == Recalled()


# upkeep


async def test_a_flush_reaches_every_process_and_answers_under_way(open_store: Open) -> None:
    one, other = open_store(), open_store()
    await remember(one, "k", vector=EAST)
    assert (await recalled(other, "k", vector=EAST)).hits
    assert (await recalled(other, "late", wait_s=1.0)).leads
    await one.flush()
    assert (await recalled(other, "k")).hits == ()
    assert (await recalled(other, "?", vector=EAST, threshold=0.5)).hits == ()
    await remember(other, "late")
    assert (await recalled(one, "late")).hits == ()
    await remember(other, "later")
    assert (await recalled(one, "later")).hits
    assert (await one.held()).answers == 1


async def test_some_answers_can_be_forgotten(store: RedisStore) -> None:
    await remember(store, "1", partition="-/auto/maths/small/d1", question="two?")
    await remember(store, "2", partition="-/auto/maths/large/d2", question="three?")
    await remember(store, "3", partition="-/auto/law/large/d3", question="two?")
    assert (await store.held()).answers == 3
    maths = Which(path=("", "", "maths"))
    assert await store.forget(maths, dry_run=True) == 2
    assert (await store.held()).answers == 3
    assert await store.forget(Which(question="two?", path=("", "", "maths"))) == 1
    assert await store.forget(Which(before=1.0)) == 0
    assert await store.forget(Which()) == 2


async def test_an_epoch_that_the_server_lost_is_never_one_that_was(
    open_store: Open, server: RedisServer
) -> None:
    one = open_store()
    await remember(one, "k")
    server.command_line("DEL", "wayside:epoch")  # evicted, say
    assert (await recalled(one, "k")).hits == ()


async def test_many_who_ask_at_once_all_notice_a_new_epoch(
    open_store: Open, server: RedisServer
) -> None:
    one = open_store()
    await remember(one, "k")
    server.command_line("FLUSHALL")
    found = await asyncio.gather(*(recalled(one, "k", wait_s=0.0) for _ in range(20)))
    assert all(each == Recalled() for each in found)


# documents


async def test_documents_of_one_space_are_not_seen_in_another(store: RedisStore) -> None:
    await store.put(Put(R, "a", "k:1", b"1"))
    assert await store.get(Get(R, "a", "k:1")) == b"1"
    assert await store.get(Get(R, "a:k", "1")) is None
    assert await store.listing(Listing(R, "b")) == ()


async def test_documents_are_listed_newest_first_and_bounded_and_forgotten(
    store: RedisStore, server: RedisServer
) -> None:
    for i in range(5):
        await store.put(Put(R, "a", str(i), b"v%d" % i, most=4))
    assert await store.listing(Listing(R, "a", limit=2)) == (("4", b"v4"), ("3", b"v3"))
    assert await store.listing(Listing(R, "a", limit=9, offset=2)) == (("2", b"v2"), ("1", b"v1"))
    assert await store.get(Get(R, "a", "0")) is None
    assert await store.delete(Delete(R, "a", "4")) and not await store.delete(Delete(R, "a", "4"))
    assert len(await store.listing(Listing(R, "a"))) == 3


async def test_documents_that_end_leave_nothing_behind(
    store: RedisStore, server: RedisServer
) -> None:
    for i in range(4):
        await store.put(Put(R, "a", str(i), b"v", ttl_s=0.02))
    assert len(await store.listing(Listing(R, "a"))) == 4
    await asyncio.sleep(0.06)
    assert await store.get(Get(R, "a", "1")) is None
    assert await store.listing(Listing(R, "a")) == ()
    assert b"document" not in server.command_line("KEYS", "*")


# passages


async def test_passages_are_found_by_every_process(open_store: Open) -> None:
    one, other = open_store(), open_store()
    await one.index(Index(R, "s", "e", "east", EAST, {"page": 1}))
    await one.index(Index(R, "s", "n", "north", NORTH))
    await one.index(Index(R, "t", "e", "elsewhere", EAST))
    await settled(other)
    (found,) = await other.search(Search(R, "s", "where?", EAST, threshold=0.5))
    assert (found.key, found.text, found.metadata) == ("e", "east", {"page": 1})
    assert found.score == pytest.approx(1.0, abs=1e-5)
    await one.index(Index(R, "s", "e2", "east again", NEARLY_EAST))
    found2 = await other.search(Search(R, "s", "where?", EAST, threshold=0.5))
    assert [p.key for p in found2] == ["e", "e2"]
    assert await one.unindex(Unindex(R, "s", "e")) == 1
    (left,) = await other.search(Search(R, "s", "where?", EAST, threshold=0.5))
    assert left.key == "e2"
    assert [p.key for p in await other.contents(Contents(R, "s"))] == ["e2", "n"]
    assert await other.unindex(Unindex(R, "s")) == 2
    assert await one.search(Search(R, "s", "where?", EAST, threshold=-1.0)) == ()
    assert len(await one.search(Search(R, "t", "where?", EAST))) == 1


async def test_a_space_holds_no_more_passages_than_asked(store: RedisStore) -> None:
    for i in range(4):
        await store.index(Index(R, "s", str(i), "text", EAST, most=2))
    await settled(store)
    assert [p.key for p in await store.contents(Contents(R, "s"))] == ["3", "2"]
    found = await store.search(Search(R, "s", "where?", EAST))
    assert {p.key for p in found} == {"3", "2"}


# settings


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://:hunter2@cache:6379/0", "write username: NAME and password: {env:"),
        ("redis://joe@cache", "never written in the URL"),
        ("http://cache:6379", "write redis://host:6379/0"),
        ("redis://cache/zero", "the database is a number"),
        ("redis://cache:99999", "not a URL"),
        ("redis://", "the host is empty"),
        ("unix://tmp/socket", "write unix:///path"),
        ("redis://cache?password=hunter2", "nothing may follow the database"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RedisSettings(url=url)
    told = "; ".join(error["msg"] for error in refused.value.errors())
    assert says in told and "hunter2" not in told


def test_a_password_is_given_by_reference_alone() -> None:
    with pytest.raises(ValidationError, match="a password is never written here"):
        RedisSettings(password="hunter2")
    with pytest.raises(ValidationError, match=r"one of env .*, file"):
        RedisSettings(password={})


async def test_indexing_survives_a_server_that_lost_its_indexes(
    store: RedisStore, server: RedisServer
) -> None:
    await remember(store, "k", vector=EAST)
    server.command_line("FLUSHALL")
    assert (await recalled(store, "?", vector=EAST, threshold=0.5)).hits == ()
    await remember(store, "k", vector=EAST)
    await settled(store)
    assert len((await recalled(store, "?", vector=EAST, threshold=0.5)).hits) == 1


async def test_a_refusal_is_a_failed_ask(store: RedisStore, server: RedisServer) -> None:
    await recalled(store, "?")
    server.command_line("SET", "wayside:document:1:a:k", "x")
    server.command_line("LPUSH", "wayside:document:1:a:list", "x")
    assert await store.get(Get(R, "a", "k")) == b"x"
    with pytest.raises(AskFailed, match="WRONGTYPE"):
        await store.get(Get(R, "a", "list"))
    assert store.standing().ok


async def test_what_it_keeps_can_be_looked_at_and_let_go_of(
    open_store: Open,
) -> None:
    store = open_store()
    for n in range(3):
        await remember(store, str(n), b"answer %d" % n, question=f"question {n}?", ttl_s=60)
    await remember(store, "old", question="of an earlier epoch", partition="q")
    shelf = await store.shelf("QUESTION 1", 10)
    (entry,) = shelf.entries
    assert (entry.question, entry.body, entry.partition) == ("question 1?", b"answer 1", "p")
    assert shelf.looked_at == 4 and not shelf.more
    assert entry.until is not None and 50 < entry.until - entry.kept_at < 61
    assert len((await store.shelf("", 2)).entries) == 2 and (await store.shelf("", 2)).more
    assert [e.question for e in (await store.shelf("answer 2", 10)).entries] == ["question 2?"]
    assert await store.discard(entry.id) and not await store.discard(entry.id)
    assert not (await recalled(store, "1")).hits and (await recalled(store, "2")).hits
    (other,) = (await store.shelf("question 2", 10)).entries
    await store.flush()
    assert not await store.discard(other.id) and not await store.discard("no/such-thing")
    assert (await store.shelf("", 10)).entries == ()
