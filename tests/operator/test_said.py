"""Times, prunings and figures: what ``Desired`` says of them is done (A3-24 to A3-26, A3-34)."""

from __future__ import annotations

from typing import Any

from wayside.operator.figures import MAX_FIGURES, Figures
from wayside.operator.status import wanted
from wayside.resources import NOW, Condition, Desired, Figure


def status(before: dict[str, Any], generation: int = 1, *, at: str, **said: Any) -> dict[str, Any]:
    found = {"metadata": {"generation": generation}, "status": before}
    desired = Desired(conditions=[Condition("Ready", "True", "Ready")], status=said)
    return wanted(found, desired, at)[0]


def test_a_time_moves_when_something_else_does_and_only_then() -> None:
    first = status({}, at="t1", value="a", lastUpdated=NOW)
    assert first["lastUpdated"] == "t1"
    assert status(first, at="t2", value="a", lastUpdated=NOW) == first
    second = status(first, at="t3", value="b", lastUpdated=NOW)
    assert second["lastUpdated"] == "t3"
    assert status(second, 2, at="t4", value="b", lastUpdated=NOW)["lastUpdated"] == "t4"
    gone = status(second, at="t5", value=None, lastUpdated=NOW)
    assert gone["lastUpdated"] == "t5" and "value" not in gone


def test_two_times_move_apart_where_one_is_kept() -> None:
    first = status({}, at="t1", value="a", applied=NOW, lastUpdated=NOW)
    second = status(first, at="t2", value="b", applied=first["applied"], lastUpdated=NOW)
    assert (second["applied"], second["lastUpdated"]) == ("t1", "t2")


def test_figures_are_shown_until_their_object_says_others() -> None:
    figures = Figures()
    assert figures.text() == b""
    one = ("K", "ns", "a")
    figures.say(one, [Figure("m", "About.", 0.5, {"x": 'q"\\\n'}), Figure("n", "More.", 1.0)])
    figures.say(("K", "ns", "b"), [Figure("m", "About.", 2)])
    assert figures.text().decode().splitlines() == [
        "# HELP m About.",
        "# TYPE m gauge",
        'm{namespace="ns",resource="a",x="q\\"\\\\\\n"} 0.5',
        'm{namespace="ns",resource="b"} 2',
        "# HELP n More.",
        "# TYPE n gauge",
        'n{namespace="ns",resource="a"} 1.0',
    ]
    figures.say(one, [Figure("m", "About.", i, {"i": str(i)}) for i in range(1000)])
    assert figures.text().count(b'resource="a"') == MAX_FIGURES
    figures.say(one, ())
    assert b'resource="a"' not in figures.text()
