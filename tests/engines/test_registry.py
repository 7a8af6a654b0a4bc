"""Engines by name: made when asked, shared, handed over on reload, asked on the right thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from wayside.catalog import catalog
from wayside.engines import BUILT_IN, Engine, Engines, Tools
from wayside.engines.base import Vectors
from wayside.settings import Settings, Task
from wayside.vocab.ask import Bank, Classify, Embed, Labels, Mark, Similar
from wayside.vocab.errors import AskFailed


class FakeRule(Settings):
    """Example: ``{word: hello}``"""

    word: str = "x"
    """What it says."""
    later: bool = False
    """Whether it takes its time."""
    broken: bool = False
    """Whether it cannot be made."""


class Fake(Engine):
    """Answers with its word, and remembers what it was asked."""

    tasks: frozenset[Task] = frozenset(["classify", "embed"])
    at_once = 100

    def __init__(self, rule: FakeRule, tools: Tools) -> None:
        if rule.broken:
            raise OSError("no such model")
        self.rule, self.name = rule, tools.name
        self.embedded: list[tuple[str, ...]] = []
        self.threads: list[int] = []
        self.closed = False

    def classify(self, text: str) -> Any:
        self.threads.append(threading.get_ident())
        answer: Labels = ((self.rule.word, 1.0),)
        if not self.rule.later:
            return answer

        async def later() -> Labels:
            await asyncio.sleep(0)
            return answer

        return later()

    def embed(self, texts: tuple[str, ...]) -> Vectors:
        self.embedded.append(texts)
        rows = [[1.0, 0.0] if "cat" in text else [0.6, 0.8] for text in texts]
        return np.array(rows, np.float32)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fake_kind() -> Iterator[None]:
    catalog.register("engine", "fake", settings=FakeRule)(Fake)
    yield
    del catalog._kinds["engine", "fake"]


def made(engines: Engines, name: str = "mine") -> Fake:
    found = engines.engine(name)
    assert isinstance(found, Fake)
    return found


def test_an_engine_is_made_once_when_it_is_asked() -> None:
    engines = Engines({"mine": {"fake": {"word": "hello"}}})
    assert engines.classify(Classify("a", "mine")) == (("hello", 1.0),)
    assert made(engines) is made(engines)
    assert made(engines).name == "mine"


def test_one_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(AskFailed, match=r"no engine 'mime'; there are: .*mine"):
        Engines({"mine": {"fake": {}}}).classify(Classify("a", "mime"))


def test_one_that_cannot_be_made_fails_the_ask() -> None:
    with pytest.raises((AskFailed, OSError), match="no such model"):
        Engines({"mine": {"fake": {"broken": True}}}).classify(Classify("a", "mine"))


def test_a_configured_engine_takes_a_built_in_ones_place() -> None:
    engines = Engines({"domain": {"fake": {"word": "ours"}}})
    assert engines.classify(Classify("What is 2 + 2?", "domain")) == (("ours", 1.0),)


def test_examples_are_embedded_once_and_a_text_once_for_all_who_compare_it() -> None:
    engines = Engines({"mine": {"fake": {}}})
    cats, dogs = Bank(("a cat", "a dog"), "mine"), Bank(("dog",), "mine")
    assert engines.similar(Similar("my cat", cats)) == pytest.approx((1.0, 0.6))
    assert engines.similar(Similar("my cat", dogs)) == pytest.approx((0.6,))
    engines.similar(Similar("my dog", cats))
    assert made(engines).embedded == [("a cat", "a dog"), ("my cat",), ("dog",), ("my dog",)]


def test_load_embeds_examples_before_the_first_request() -> None:
    engines = Engines({"mine": {"fake": {}}})
    bank = Bank(("a cat",), "mine")
    engines.load(["mine"], [bank])
    assert made(engines).embedded == [("a cat",)]


def test_vectors_are_plain_numbers() -> None:
    engines = Engines({"mine": {"fake": {}}})
    assert engines.embed(Embed(("cat",), "mine")) == ((1.0, 0.0),)


def test_a_reload_hands_over_what_has_the_same_settings() -> None:
    before = Engines({"same": {"fake": {}}, "other": {"fake": {"word": "a"}}})
    same, other = made(before, "same"), made(before, "other")
    after = Engines({"same": {"fake": {}}, "other": {"fake": {"word": "b"}}}, reuse=before)
    assert made(after, "same") is same
    assert made(after, "other") is not other
    before.close(keep=after)
    assert other.closed and not same.closed


def test_a_request_that_a_reload_overtakes_still_has_its_engines() -> None:
    before = Engines({"gone": {"fake": {"word": "a"}}})
    engine = made(before, "gone")
    after = Engines({}, reuse=before)
    assert after.classify(Classify("x", "gone")) == (("a", 1.0),)
    assert "gone" not in [one.name for one in after.inventory()]
    before.close(keep=after)
    assert engine.closed
    with pytest.raises(AskFailed, match="no engine 'gone'"):
        Engines({}, reuse=after).classify(Classify("x", "gone"))


async def test_a_slow_engine_is_at_work_before_it_is_waited_for() -> None:
    engines = Engines({"mine": {"fake": {"word": "late", "later": True}}})
    found = engines.classify(Classify("a", "mine"))
    assert isinstance(found, asyncio.Future)
    assert await found == (("late", 1.0),)


@pytest.mark.parametrize("later", [False, True])
async def test_a_long_text_is_read_on_another_thread(later: bool) -> None:
    engines = Engines({"mine": {"fake": {"later": later}}})
    engines.classify(Classify("short", "mine")) if not later else None
    found = engines.classify(Classify("long" * 100, "mine"))
    assert await found == (("x", 1.0),)  # type: ignore[misc]
    assert made(engines).threads[-1] != threading.get_ident()


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_engine_loads_and_does_what_it_says(name: str) -> None:
    engine = Engines().engine(name)
    task = BUILT_IN[name].task
    assert task in engine.tasks
    text = "Write to ada@example.com about the invoice."
    if task == "classify":
        ranked = engine.classify(text)
        assert isinstance(ranked, tuple)
        assert sum(p for _, p in ranked) == pytest.approx(1, abs=1e-3)
        assert {label for label, _ in ranked} <= set(engine.labels)
    elif task == "embed":
        vectors = engine.embed((text, ""))
        assert isinstance(vectors, np.ndarray) and len(vectors) == 2
        assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-3)
    else:
        spans = Engines().mark(Mark(text, name, "The invoice is late."))
        assert isinstance(spans, tuple)
