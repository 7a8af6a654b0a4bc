"""The copy stays true through everything that can go wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from wayside.kube.pace import Pace
from wayside.kube.watch import Key, Reflector
from wayside.vocab.resource import PODS

from .fake import FakeApi

PATH = "/api/v1/namespaces/ns/pods"
SOON = Pace(first_s=0.01, longest_s=0.05, refused_first_s=0.01, refused_longest_s=0.05, watch_s=60)


def colour(found: dict[str, Any]) -> str | None:
    return found.get("colour")


class Heard:
    """What a reflector told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str | None, str | None]] = []
        self.lines: list[dict[str, Any]] = []

    def changed(self, key: Key, old: str | None, new: str | None) -> None:
        self.changes.append((key[1], old, new))

    def log(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    @property
    def states(self) -> list[str]:
        return [line["state"] for line in self.lines]


@asynccontextmanager
async def following(
    api: FakeApi, keep: Callable[[dict[str, Any]], str | None] = colour, **rest: Any
) -> AsyncIterator[tuple[Reflector[str], Heard]]:
    heard = Heard()
    client = api.client(timeout_s=5)
    rest.setdefault("pace", SOON)
    reflector = Reflector(
        client,
        PODS,
        keep,
        namespace="ns",
        changed=rest.pop("changed", heard.changed),
        log=heard.log,
        **rest,
    )
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector, heard
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        client.close()


async def until(fact: Callable[[], object], what: str = "") -> None:
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.005)


def store(reflector: Reflector[str]) -> dict[str, str]:
    return {name: kept for (_, name), kept in reflector.store.items()}


async def test_it_lists_and_then_follows(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api) as (reflector, heard):
        await until(reflector.synced.is_set)
        assert store(reflector) == {"a": "red"}
        await api.put(PATH, "b", colour="blue")
        await api.put(PATH, "a", colour="green")
        await api.remove(PATH, "b")
        await until(lambda: len(heard.changes) == 4)

        assert heard.changes == [
            ("a", None, "red"),
            ("b", None, "blue"),
            ("a", "red", "green"),
            ("b", "blue", None),
        ]
        assert store(reflector) == {"a": "green"}
        assert (reflector.state, reflector.lists, reflector.watches) == ("synced", 1, 1)
        assert heard.states == ["synced"]


async def test_a_change_of_what_is_not_kept_is_no_change(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red", noise=1)
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.watches)
        await api.put(PATH, "a", colour="red", noise=2)
        await until(lambda: reflector.events == 1)

        assert heard.changes == [("a", None, "red")]


async def test_what_becomes_uninteresting_is_forgotten(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.watches)
        await api.put(PATH, "a", colour=None)
        await until(lambda: len(heard.changes) == 2)

        assert store(reflector) == {}


async def test_a_cut_watch_goes_on_from_where_it_was(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.state == "synced")
        api.cut()
        await api.put(PATH, "b", colour="blue")
        await until(lambda: len(heard.changes) == 2)

        assert store(reflector) == {"a": "red", "b": "blue"}
        assert reflector.lists == 1
        assert reflector.watches >= 2
        assert heard.states == ["synced"]


async def test_bookmarks_move_the_version_that_a_new_watch_begins_at(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api) as (reflector, _):
        await until(lambda: reflector.state == "synced")
        await api.bookmark(PATH)
        await until(lambda: reflector.events == 1)
        api.compact()
        api.cut()
        await until(lambda: reflector.watches == 2)
        await until(lambda: reflector.state == "synced")

        watches = [a.query["resourceVersion"] for a in api.asked if "watch" in a.query]
        assert watches[-1] == str(api.version)
        assert reflector.lists == 1


@pytest.mark.parametrize("how", ["compacted", "error event"])
async def test_a_version_that_is_gone_means_to_list_again(api: FakeApi, how: str) -> None:
    await api.put(PATH, "a", colour="red")
    await api.put(PATH, "b", colour="blue")
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.state == "synced")
        if how == "compacted":
            api.objects[PATH].pop(("ns", "a"))  # unheard of, as after a long cut
            api.version += 1
            api.compact()
            api.cut()
        else:
            api.objects[PATH].pop(("ns", "a"))
            await api.error(PATH, 410, "Expired")
        await until(lambda: len(heard.changes) == 3)

        assert heard.changes[-1] == ("a", "red", None)
        assert store(reflector) == {"b": "blue"}
        assert reflector.lists == 2


async def test_two_thousand_objects_come_in_pages(api: FakeApi) -> None:
    for i in range(2000):
        await api.put(PATH, f"p{i:04}", colour="red")
    api.log.clear()
    async with following(api) as (reflector, _):
        await until(reflector.synced.is_set)

        assert len(reflector.store) == 2000
        assert api.count("list", PATH) == 4


async def test_a_list_that_expires_between_pages_is_asked_for_at_once(api: FakeApi) -> None:
    for i in range(5):
        await api.put(PATH, f"p{i}", colour="red")
    api.expire_continue = True
    async with following(api, page=2) as (reflector, _):
        await until(reflector.synced.is_set)

        assert len(reflector.store) == 5
        assert [a.query.get("limit") for a in api.asked[:3]] == ["2", "2", None]


async def test_a_missing_right_is_a_state_told_once(api: FakeApi) -> None:
    api.objects[PATH] = {}
    api.refusals[PATH, "list"] = (403, "Forbidden", {})
    async with following(api) as (reflector, heard):
        await until(lambda: api.count("list", PATH) > 3)
        assert reflector.state == "forbidden"
        assert reflector.settled.is_set()
        assert not reflector.synced.is_set()
        assert "the server says Forbidden" in reflector.problem
        assert heard.states == ["forbidden"]

        del api.refusals[PATH, "list"]
        await api.put(PATH, "a", colour="red")
        await until(lambda: reflector.state == "synced")
        assert store(reflector) == {"a": "red"}
        assert heard.states == ["forbidden", "synced"]


async def test_a_right_to_list_but_not_to_watch_is_told_once_and_polled(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    api.refusals[PATH, "watch"] = (403, "Forbidden", {})
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.lists == 3)
        await api.put(PATH, "a", colour="blue")
        await until(lambda: store(reflector) == {"a": "blue"})

        assert heard.states == ["forbidden"]


async def test_a_right_that_is_withdrawn_leaves_the_copy_as_it_was(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api) as (reflector, _):
        await until(lambda: reflector.state == "synced")
        api.refusals[PATH, "list"] = api.refusals[PATH, "watch"] = (403, "Forbidden", {})
        api.cut()
        await until(lambda: reflector.state == "forbidden")

        assert store(reflector) == {"a": "red"}


async def test_a_kind_may_appear_and_vanish(api: FakeApi) -> None:
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.state == "absent")
        assert reflector.settled.is_set()
        await api.put(PATH, "a", colour="red")
        await until(lambda: store(reflector) == {"a": "red"})
        await until(lambda: reflector.state == "synced")
        del api.objects[PATH]
        api.refusals[PATH, "watch"] = (404, "NotFound", {})
        api.cut()
        await until(lambda: reflector.state == "absent")

        assert store(reflector) == {}
        assert heard.states == ["absent", "synced", "absent"]
        assert heard.changes == [("a", None, "red"), ("a", "red", None)]


async def test_a_single_404_of_a_server_that_starts_forgets_nothing(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    slow = Pace(first_s=0.3, refused_first_s=0.3, watch_s=60)
    async with following(api, pace=slow, dice=lambda: 0.0) as (reflector, heard):
        await until(lambda: reflector.state == "synced")
        there = api.objects.pop(PATH)
        api.refusals[PATH, "watch"] = (404, "NotFound", {})
        api.cut()
        before = api.count("list", PATH)
        asked = api.count("watch", PATH)
        await until(lambda: api.count("watch", PATH) > asked or reflector.lists > 1)
        api.objects[PATH] = there
        del api.refusals[PATH, "watch"]
        await until(lambda: api.count("list", PATH) > before)
        await until(lambda: reflector.lists == 2)

        assert store(reflector) == {"a": "red"}
        assert heard.changes == [("a", None, "red")]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"not json\n",
        b'{"type": "ADDED"}\n',
        b"[1, 2]\n",
        b'{"type": "ADDED", "object": "text"}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": "x\xff"}}}\n',
    ],
)
async def test_nonsense_on_a_watch_is_a_watch_that_failed(api: FakeApi, nonsense: bytes) -> None:
    await api.put(PATH, "a", colour="red")
    api.says[PATH] = nonsense
    async with following(api) as (reflector, _):
        await until(lambda: reflector.state == "unreachable")
        assert store(reflector) == {"a": "red"}
        del api.says[PATH]
        await until(lambda: reflector.state == "synced")
        await api.put(PATH, "b", colour="blue")
        await until(lambda: "b" in store(reflector))


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type": "ADDED", "object": {}}\n',
        b'{"type": "ADDED", "object": {"metadata": 3}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": 3}}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": "z", "namespace": [1]}}}\n',
        b'{"type": "PAINTED", "object": {"metadata": {"name": "z"}, "colour": "red"}}\n',
    ],
)
async def test_an_odd_event_is_passed_over(api: FakeApi, odd: bytes) -> None:
    await api.put(PATH, "a", colour="red")
    api.says[PATH] = odd
    async with following(api) as (reflector, heard):
        await until(lambda: reflector.events == 1)
        await api.put(PATH, "b", colour="blue")
        await until(lambda: "b" in store(reflector))

        assert store(reflector) == {"a": "red", "b": "blue"}
        assert heard.states == ["synced"]


async def test_an_event_without_end_is_not_gathered(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.kube.stream.MAX_LINE", 1 << 16)
    await api.put(PATH, "a", colour="red")
    api.says[PATH] = b"x" * (1 << 18)
    async with following(api) as (reflector, _):
        await until(lambda: reflector.state == "unreachable")

        assert "an event has more than" in reflector.problem


async def test_a_server_that_is_busy_says_how_long_to_wait(api: FakeApi) -> None:
    api.objects[PATH] = {}
    api.refusals[PATH, "list"] = (429, "TooManyRequests", {"retry-after": "1"})
    async with following(api) as (reflector, _):
        await until(lambda: reflector.state == "unreachable")
        del api.refusals[PATH, "list"]
        began = asyncio.get_running_loop().time()
        await until(lambda: reflector.state == "synced")

        assert asyncio.get_running_loop().time() - began > 0.7


async def test_watches_that_end_at_once_are_not_asked_for_in_a_loop(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    api.refusals[PATH, "watch"] = (200, "", {})  # a body that ends, and no event
    pace = Pace(first_s=0.05, longest_s=0.2, watch_s=60)
    async with following(api, pace=pace, dice=lambda: 0.0) as (reflector, _):
        await until(reflector.synced.is_set)
        await asyncio.sleep(0.5)

        # 0.05 + 0.1 + 0.2 + 0.2 s of pauses: five at most, and a thousand without them
        assert api.count("watch", PATH) <= 5


async def test_what_is_followed_can_change(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    async with following(api, labels="app=x") as (reflector, _):
        await until(lambda: reflector.state == "synced")
        reflector.select(labels="app=y")
        reflector.select(labels="app=y")
        await until(lambda: reflector.lists == 2)
        await until(lambda: reflector.watches == 2)
        await api.put(PATH, "b", colour="blue")
        await until(lambda: "b" in store(reflector))

        asked = [a.query["labelSelector"] for a in api.asked]
        assert asked == ["app=x", "app=x", "app=y", "app=y"]


async def test_a_bug_in_keep_costs_one_object_and_is_told_once(api: FakeApi) -> None:
    def keep(found: dict[str, Any]) -> str | None:
        if found["colour"] == "bad":
            raise ValueError("cannot paint")
        return str(found["colour"])

    for name in ("x", "y", "z"):
        await api.put(PATH, name, colour="bad")
    await api.put(PATH, "a", colour="red")
    async with following(api, keep) as (reflector, heard):
        await until(lambda: reflector.state == "synced")
        await api.put(PATH, "x", colour="mended")
        await until(lambda: "x" in store(reflector))

        assert store(reflector) == {"a": "red", "x": "mended"}
        told = [line for line in heard.lines if line["event"] != "kubernetes watch"]
        assert [line["problem"] for line in told] == ["ValueError: cannot paint"]


async def test_a_bug_in_the_callback_ends_nothing(api: FakeApi) -> None:
    def changed(*_: object) -> None:
        raise KeyError("oh")

    await api.put(PATH, "a", colour="red")
    async with following(api, changed=changed) as (reflector, _):
        await until(lambda: reflector.state == "synced")
        await api.put(PATH, "b", colour="blue")
        await until(lambda: "b" in store(reflector))


async def test_a_server_that_is_away_is_told_once_and_comes_back(api: FakeApi) -> None:
    await api.put(PATH, "a", colour="red")
    api.refusals[PATH, "list"] = (503, "ServiceUnavailable", {})
    async with following(api) as (reflector, heard):
        await until(lambda: api.count("list", PATH) > 4)
        assert (reflector.state, reflector.settled.is_set()) == ("unreachable", False)
        del api.refusals[PATH, "list"]
        await until(lambda: reflector.state == "synced")

        assert heard.states == ["unreachable", "synced"]
