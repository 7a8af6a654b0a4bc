"""What was made last is given again for equal inputs, and only for those."""

from __future__ import annotations

from wayside.vocab.recent import Recent


def test_equal_inputs_are_made_once_and_others_anew() -> None:
    made: list[str] = []
    recent: Recent[str] = Recent(2)

    def ask(whose: str, given: dict[str, int]) -> str:
        return recent.get(whose, (given,), lambda: (made.append(whose), f"{whose}{given}")[1])

    assert ask("a", {"x": 1}) == ask("a", {"x": 1}) == "a{'x': 1}"
    assert ask("b", {"x": 1}) == "b{'x': 1}", "another's are not given"
    assert made == ["a", "b"]
    assert ask("a", {"x": 2}) == "a{'x': 2}"
    assert ask("a", {"x": 1}) == "a{'x': 1}"
    assert made == ["a", "b", "a", "a"]
    ask("c", {})
    ask("a", {"x": 1})
    assert made == ["a", "b", "a", "a", "c"], "the one that was asked for longest ago is gone"
    ask("b", {"x": 1})
    assert made[-1] == "b"
