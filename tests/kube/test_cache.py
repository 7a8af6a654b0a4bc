"""Copies that learn from our writes: no event that comes late, twice or out of turn undoes one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from wayside.kube.cache import Cache, Copy
from wayside.kube.client import Event
from wayside.vocab.resource import CONFIG_MAPS, GATEWAYS

from .fake import FakeApi
from .genuine import running

PATH = "/api/v1/configmaps"


class Seen:
    """What a cache told of."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str | None, str | None]] = []
        self.states: list[str] = []

    def changed(self, resource: Any, key: Any, old: Any, new: Any) -> None:
        versions = (old.version if old else None, new.version if new else None)
        self.changes.append((key[1], *versions))

    def told(self, resource: Any) -> None:
        self.states.append(str(resource))


def made(version: int, name: str = "a", **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version), **meta},
        "data": {"v": str(version)},
    }


@pytest.fixture
async def seen() -> Seen:
    return Seen()


@pytest.fixture
async def copy(api: FakeApi, seen: Seen) -> AsyncIterator[Copy]:
    """Listed at version 10, with ``a`` as it was at 5."""
    client = api.client()
    copy = Copy(client, CONFIG_MAPS, None, manager="us", changed=seen.changed, told=seen.told)
    copy.state = "synced"
    copy._reached("10")
    copy._put(("ns", "a"), copy._held(made(5)))
    seen.changes.clear()
    yield copy
    client.close()


def tell(copy: Copy, kind: str, found: dict[str, Any]) -> None:
    copy._follow(Event(kind, msgspec.Raw(msgspec.json.encode(found))))


def version(copy: Copy, name: str = "a") -> str | None:
    found = copy.get(("ns", name))
    return None if found is None else str(found["metadata"]["resourceVersion"])


async def test_a_write_is_known_before_the_watch_tells(copy: Copy, seen: Seen) -> None:
    copy.learn(made(20))
    assert version(copy) == "20"
    tell(copy, "MODIFIED", made(15))
    assert version(copy) == "20", "what was before is passed over"
    tell(copy, "MODIFIED", made(20))
    assert seen.changes == [("a", "5", "20")], "and what is known is told once"
    tell(copy, "MODIFIED", made(21))
    assert version(copy) == "21"


async def test_an_answer_that_comes_late_is_passed_over(copy: Copy) -> None:
    tell(copy, "MODIFIED", made(30))
    copy.learn(made(20))
    assert version(copy) == "30"
    tell(copy, "DELETED", made(31))
    copy.learn(made(30))
    assert version(copy) is None, "what is gone does not rise"


async def test_a_namesake_that_was_deleted_before_does_not_take_ours_along(copy: Copy) -> None:
    copy.learn(made(20, uid="new"))
    tell(copy, "DELETED", made(18, uid="old"))
    assert version(copy) == "20"
    tell(copy, "ADDED", made(20, uid="new"))
    tell(copy, "DELETED", made(22, uid="new"))
    assert version(copy) is None


async def test_a_list_from_before_a_write_keeps_it(copy: Copy) -> None:
    copy.learn(made(20, "b"))
    copy._reached("19")
    copy._put(("ns", "b"), None)  # not in the list
    assert version(copy, "b") == "20"
    copy._reached("25")
    copy._put(("ns", "b"), None)
    assert version(copy, "b") is None


async def test_a_cluster_that_went_back_in_time_is_believed_in_the_end(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.kube.cache.BELIEVED_S", 0.05)
    copy.learn(made(1000))
    await asyncio.sleep(0.1)
    copy._reached("7")
    copy._put(("ns", "a"), copy._held(made(6)))
    assert version(copy) == "6"


async def test_only_our_own_fields_are_kept(copy: Copy) -> None:
    entries = [
        {"manager": "us", "operation": "Apply", "fieldsV1": {"f:data": {}}},
        {"manager": "us", "operation": "Update", "fieldsV1": {"f:x": {}}},
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:y": {}}},
    ]
    copy.learn(made(20, managedFields=entries))
    found = copy.get(("ns", "a"))
    assert found is not None and found["metadata"]["managedFields"] == entries[:1]


async def test_labels_are_looked_for_in_the_text_and_found_in_the_object(copy: Copy) -> None:
    copy.learn(made(20, "b", labels={"app": "x", "tier": "1"}))
    copy.learn(made(21, "c", labels={"app": "x"}))
    copy.learn(made(22, "d", annotations={"app": "x"}))
    names = [f["metadata"]["name"] for f in copy.all("ns", {"app": "x"})]
    assert names == ["b", "c"]
    assert [f["metadata"]["name"] for f in copy.all("ns", {"app": "x", "tier": "1"})] == ["b"]
    assert not list(copy.all("other", {}))


async def test_one_copy_serves_all_and_states_are_told(api: FakeApi, seen: Seen) -> None:
    client = api.client()
    await api.put(PATH, "a")
    cache = Cache(client, manager="us", changed=seen.changed, told=seen.told)
    copy = cache.copy(CONFIG_MAPS)
    assert copy is not None and cache.copy(CONFIG_MAPS, "ns") is copy
    async with running(cache):
        await asyncio.wait_for(copy.settled.wait(), 5)
        assert cache.get(CONFIG_MAPS, "ns", "a")
        assert copy.known == "synced"
        late = cache.copy(GATEWAYS)  # first looked at while it runs
        assert late is not None
        await asyncio.wait_for(late.settled.wait(), 5)
    assert next(c for c in api.asked if c.path == PATH).method == "GET"
    client.close()


async def test_a_namespace_of_ones_own_and_others(api: FakeApi, seen: Seen) -> None:
    client = api.client()
    cache = Cache(client, manager="us", namespace="ns", changed=seen.changed, told=seen.told)
    ours, theirs = cache.copy(CONFIG_MAPS), cache.copy(CONFIG_MAPS, "istio-system")
    assert ours is cache.copy(CONFIG_MAPS, "ns") and ours is not theirs
    assert ours is not None and ours.namespace == "ns"
    assert theirs is not None and theirs.namespace == "istio-system"
    client.close()
