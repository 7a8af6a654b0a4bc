"""What one user said is told to the model again, and to nobody else's."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.whole import Answer
from wayside.plugins import Draft
from wayside.plugins.memory import MemoryPlugin, MemoryRule, space_of
from wayside.stores.base import Tools
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.vocab.ask import Embed, Failure, Now
from wayside.vocab.stores import Contents, Index, Search, Unindex

DAY = 86_400.0


class World:
    """A store, a clock and an embedder that knows three words."""

    def __init__(self) -> None:
        self.store = MemoryStore(MemorySettings(), Tools("memory"))
        self.now = 100 * DAY
        self.store.room.clock = lambda: self.now
        self.fails = False

    def answer(self, question: Any) -> Any:
        match question:
            case Embed(texts=texts):
                return Failure("down") if self.fails else tuple(map(vector, texts))
            case Now():
                return self.now
            case Search():
                return self.store.search(question)
            case Index():
                return self.store.index(question)
            case Unindex():
                return self.store.unindex(question)
        raise AssertionError(question)

    def drive(self, flow: Any) -> None:
        answers: Any = None
        while flow is not None:
            try:
                batch = next(flow) if answers is None else flow.send(answers)
            except StopIteration:
                return
            answers = tuple(self.answer(question) for question in batch)

    def turn(
        self,
        question: str,
        said: str = "Noted.",
        user: str = "ann",
        headers: dict[str, str] | None = None,
        finish: str = "stop",
        **rule: Any,
    ) -> tuple[str, Draft]:
        """One request and its answer; what the model was sent as the last turn."""
        rule = {"store_turns": True, "threshold": 0.5, **rule}
        body = ChatBody(
            json.dumps(
                {"model": "auto", "messages": [{"role": "user", "content": question}]}
            ).encode()
        )
        prompt = msgspec.structs.replace(body.prompt(headers or {}), user=user)
        draft = Draft(body.edit)
        self.drive(MemoryPlugin(MemoryRule.model_validate(rule)).before(prompt, draft))
        choice = {"index": 0, "message": {"content": said}, "finish_reason": finish}
        answer = Answer(
            status=200,
            content_type="application/json",
            body=json.dumps({"choices": [choice]}).encode(),
            complete=True,
        )
        for witness in draft.witnesses:
            self.drive(witness.ended(answer))
        return json.loads(draft.body.encode())["messages"][-1]["content"], draft

    def kept(self, user: str = "ann") -> list[str]:
        found = self.store.contents(Contents("memory", space_of(user)))
        return [passage.text for passage in found]


def vector(text: str) -> tuple[float, ...]:
    raw = [float(text.lower().count(word)) for word in ("cat", "train", "sum")]
    size = sum(x * x for x in raw) ** 0.5
    return tuple(x / size for x in raw) if size else (0.0, 0.0, 0.0)


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_said_is_told_again(world: World) -> None:
    assert world.turn("My cat is Tom.")[0] == "My cat is Tom."
    said, draft = world.turn("What is my cat called?")
    assert "Q: My cat is Tom. A: Noted." in said and said.endswith("What is my cat called?")
    assert draft.personal and ("x-wayside-memories", "1") in draft.report


def test_nobody_hears_of_another_user(world: World) -> None:
    world.turn("My cat is Tom.", user="ann")
    said, draft = world.turn("What is my cat called?", user="bob")
    assert said == "What is my cat called?" and not draft.personal
    assert len(world.kept("ann")) == len(world.kept("bob")) == 1


@pytest.mark.parametrize(
    ("user", "headers"), [("", {}), ("ann", {"x-disable-router-memory": "true"})]
)
def test_who_is_nobody_or_wants_none_has_none(
    world: World, user: str, headers: dict[str, str]
) -> None:
    world.turn("My cat is Tom.", user="ann")
    said, draft = world.turn("My cat?", user=user, headers=headers)
    assert said == "My cat?" and not draft.witnesses


@pytest.mark.parametrize(
    "turn",
    [
        {"said": ""},
        {"finish": "length"},
        {"finish": "content_filter"},
        {"block_patterns": ["(?i)CAT is"]},
        {"said": "secret", "block_patterns": ["secret"]},
        {"store_turns": False},
    ],
)
def test_what_is_not_remembered(world: World, turn: dict[str, Any]) -> None:
    world.turn("My cat is Tom.", **turn)
    assert world.kept() == []


def test_the_same_again_takes_its_place(world: World) -> None:
    world.turn("My cat is Tom.")
    world.turn("My cat is Tim.")
    world.turn("I like the train.")
    assert len(world.kept()) == 2 and not any("Tom" in text for text in world.kept())


def test_the_older_counts_less(world: World) -> None:
    # Cosines to "cat train": .71 each. After 60 days of a half-life of 30 the first counts a
    # quarter of that, so the newer one is the one told.
    world.turn("My cat is Tom.")
    world.now += 60 * DAY
    world.turn("I like the train.")
    said, _ = world.turn("The cat on the train?", retrieve=1)
    assert "I like the train" in said and "Tom" not in said


def test_only_so_many_and_so_long(world: World) -> None:
    world.turn("My cat is Tom.", ttl_days=1)
    world.turn("I like the train.", max_memories=2, ttl_days=1)
    world.turn("What is the sum?", max_memories=2, ttl_days=1)
    assert len(world.kept()) == 2
    world.now += 2 * DAY
    assert world.kept() == []


def test_memories_fail_open(world: World) -> None:
    world.fails = True
    said, draft = world.turn("My cat?")
    assert said == "My cat?" and ("x-wayside-memories", "unavailable") in draft.report


@pytest.mark.parametrize("rule", [{"retrieve": 0}, {"block_patterns": ["(?=x)"]}])
def test_settings_that_do_nothing_or_are_no_pattern(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MemoryRule.model_validate(rule)
