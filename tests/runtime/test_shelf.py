from __future__ import annotations

from wayside.runtime.shelf import Conversations, Shelf
from wayside.vocab.observed import Held, Hold


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_thing_is_kept_until_its_time_is_over() -> None:
    clock = Clock()
    shelf: Shelf[str] = Shelf(10, clock)
    shelf.put("a", "x", 5)
    clock.now = 105.0
    assert shelf.get("a") == "x"
    clock.now = 105.1
    assert shelf.get("a") is None and len(shelf) == 0


def test_putting_again_begins_the_time_again() -> None:
    clock = Clock()
    shelf: Shelf[str] = Shelf(10, clock)
    shelf.put("a", "x", 5)
    clock.now = 104.0
    shelf.put("a", "y", 5)
    clock.now = 108.0
    assert shelf.get("a") == "y"


def test_what_was_put_longest_ago_makes_room() -> None:
    shelf: Shelf[int] = Shelf(2)
    shelf.put("a", 1, 5)
    shelf.put("b", 2, 5)
    shelf.put("a", 3, 5)
    shelf.put("c", 4, 5)
    assert [shelf.get(key) for key in "abc"] == [3, None, 4]


def test_conversations_answer_what_they_were_told() -> None:
    answer = Conversations(2).answerers()
    assert answer[Held](Held("k")) is None
    assert answer[Hold](Hold("k", b"v", 60)) is None
    assert answer[Held](Held("k")) == b"v"
