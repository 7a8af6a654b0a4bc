"""What the metrics say of the stores, and that stores outlive configurations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from wayside.stores import Store, Stores
from wayside.stores.base import Standing, Tools
from wayside.stores.metrics import watch
from wayside.stores.redis import RedisStore
from wayside.telemetry import Metrics
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Recall, Recalled, Remember

EAST = (1.0, 0.0)


class Away(Store):
    """Answers later, or not at all."""

    def __init__(self) -> None:
        self.fails = False
        self.closed = False

    async def recall(self, question: Recall) -> Recalled:
        await asyncio.sleep(0)
        if self.fails:
            raise AskFailed("gone")
        return Recalled()

    def remember(self, question: Remember) -> None:
        raise AskFailed("full")

    def standing(self) -> Standing:
        return Standing("far away", ok=not self.fails, why="gone" if self.fails else "")

    def close(self) -> None:
        self.closed = True


def lines(metrics: Metrics, name: str) -> dict[str, float]:
    """Label text to value."""
    found = {}
    for line in metrics.text().decode().splitlines():
        if line.startswith(name + "{"):
            labels, _, value = line.removeprefix(name).rpartition(" ")
            found[labels] = float(value)
    return found


async def answered(stores: Stores, question: Any) -> Any:
    found = stores.answerers()[type(question)](question)
    return await found if isinstance(found, Awaitable) else found


async def test_questions_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics()
    stores = Stores(count=watch(metrics, lambda: stores))
    away = stores._made["away"] = Away()
    await answered(stores, Recall("memory", "p", "k"))
    await answered(stores, Remember("memory", "p", "k", b"body", 60, "question", EAST))
    await answered(stores, Recall("memory", "p", "k"))
    await answered(stores, Recall("memory", "p", "other", EAST, 0.5))
    await answered(stores, Recall("away", "p", "k"))
    away.fails = True
    for question in (Recall("away", "p", "k"), Remember("away", "p", "k", b"", 60)):
        with pytest.raises(AskFailed):
            await answered(stores, question)
    told = {
        '{operation="recall",status="miss",store="memory"}': 1,
        '{operation="remember",status="ok",store="memory"}': 1,
        '{operation="recall",status="hit",store="memory"}': 1,
        '{operation="recall",status="near",store="memory"}': 1,
        '{operation="recall",status="miss",store="away"}': 1,
        '{operation="recall",status="error",store="away"}': 1,
        '{operation="remember",status="error",store="away"}': 1,
    }
    assert lines(metrics, "wayside_cache_operations_total") == told
    theirs = lines(metrics, "llm_cache_operations_total")
    assert theirs['{backend="memory",operation="recall",status="hit"}'] == 1
    assert lines(metrics, "wayside_store_degraded") == {
        '{store="away"}': 1,
        '{store="memory"}': 0,
    }
    assert lines(metrics, "wayside_cache_entries") == {'{store="memory"}': 1}
    assert lines(metrics, "llm_cache_entries_total") == {'{backend="memory"}': 1}
    assert lines(metrics, "wayside_store_bytes")['{store="memory"}'] > 500


def test_a_store_outlives_a_configuration_that_leaves_its_settings_alone() -> None:
    spec = {"shared": {"redis": {"url": "redis://127.0.0.1:1"}}, "own": {"memory": {}}}
    first = Stores(spec)
    first.load(["shared", "own", "memory"])
    changed = {**spec, "own": {"memory": {"max_bytes": 1 << 20}}}
    second = Stores(changed, reuse=first)
    second.load(["shared", "own", "memory"])
    assert second.store("shared") is first.store("shared")
    assert second.store("memory") is first.store("memory")
    assert second.store("own") is not first.store("own")


def test_only_what_nobody_took_over_is_closed() -> None:
    first = Stores()
    kept, left = Away(), Away()
    first._made.update({"kept": kept, "left": left})
    first._specs = {**first._specs, "kept": {"away": {}}, "left": {"away": {}}}
    second = Stores({"kept": {"away": {}}}, reuse=first)
    first.close(second)
    assert left.closed and not kept.closed
    second.close()
    assert kept.closed


def test_a_store_is_built_without_a_loop_and_connects_to_nothing() -> None:
    stores = Stores({"shared": {"redis": {}}})
    stores.load(["shared"])
    store = stores.store("shared")
    assert isinstance(store, RedisStore) and store.standing().why == "not connected yet"
    stores.close()
    assert Tools().name == ""
