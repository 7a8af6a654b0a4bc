"""Pieces, windows and what becomes of them, whatever the chunks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.plugins import Blocked, Channel, Draft
from wayside.plugins.response_jailbreak import (
    ResponseJailbreakPlugin,
    ResponseJailbreakRule,
    Watch,
)
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt

SMALL = {"window": 64, "every": 16}


def judge(question: Any) -> Any:
    """The marker gives an attack away, wherever the window holds it."""
    assert isinstance(question, Classify) and question.head == "jailbreak_response"
    attack = 0.9 if "EVIL" in question.text else 0.1
    return (("jailbreak", attack), ("benign", 1 - attack))


class Driven:
    """A watch with its questions answered, and what it let go."""

    def __init__(self, answer: Callable[[Any], Any] = judge, **rule: Any) -> None:
        self.watch = Watch(ResponseJailbreakRule.model_validate({**SMALL, **rule}))
        self.answer = answer
        self.rounds: list[int] = []
        self.asked: list[str] = []
        self.out = ""
        self.blocked: Blocked | None = None

    def feed(self, text: str, final: bool = False) -> str:
        said = self.watch.feed(text, final)
        if isinstance(said, Generator):
            said = self._answered(said)
        self.out += said
        return said

    def _answered(self, flow: Any) -> str:
        try:
            batch = next(flow)
            while True:
                assert batch, "an empty round asks nothing"
                self.rounds.append(len(batch))
                self.asked += [question.text for question in batch]
                batch = flow.send(tuple(map(self.answer, batch)))
        except StopIteration as stop:
            said: str = stop.value
            return said

    def all(self, chunks: list[str]) -> Driven:
        try:
            for chunk in chunks:
                self.feed(chunk)
            self.feed("", True)
        except Blocked as blocked:
            self.blocked = blocked
        return self


def test_pieces_are_let_go_as_they_are_judged() -> None:
    driven = Driven()
    assert driven.feed("x" * 15) == ""
    assert driven.feed("yz") == "x" * 15 + "y", "the sixteenth completes a piece"
    assert driven.feed("w", True) == "zw"
    assert driven.asked == ["x" * 15 + "y", "x" * 15 + "yzw"]


def test_a_window_looks_back_and_is_bounded() -> None:
    driven = Driven().all(["a" * 16, "b" * 16, "c" * 16, "d" * 16, "e" * 16])
    assert driven.asked[-1] == "b" * 16 + "c" * 16 + "d" * 16 + "e" * 16
    assert max(map(len, driven.asked)) == 64
    assert driven.out == "".join(c * 16 for c in "abcde")


def test_an_attack_across_pieces_and_chunks_is_seen() -> None:
    driven = Driven().all(["." * 13, "E", "VI", "L", "and on"])
    assert driven.blocked is not None
    assert driven.out == "." * 13 + "EVI", "what was judged before it was whole"


def test_a_whole_answer_is_asked_about_in_few_rounds() -> None:
    driven = Driven()
    driven.feed("x" * 16 * 130, True)
    assert driven.rounds == [64, 64, 2]


def test_blank_windows_ask_nothing() -> None:
    assert Driven().all([" \n" * 100]).rounds == []


@pytest.mark.parametrize(
    ("rule", "refuse", "status"), [({}, True, 403), ({"as": "completion"}, False, 403)]
)
def test_a_blocked_answer_is_an_error_or_a_completion(
    rule: dict[str, Any], refuse: bool, status: int
) -> None:
    blocked = Driven(message="No.", **rule).all(["EVIL"]).blocked
    assert blocked is not None
    told = (blocked.message, blocked.reason, blocked.refuse, blocked.status)
    assert told == ("No.", "response_jailbreak", refuse, status)


def test_redaction_takes_the_piece_and_looks_back_on_none_of_it() -> None:
    text = "a" * 16 + "EVIL" + "b" * 12 + "c" * 16 + "d" * 3
    driven = Driven(action="redact").all([text])
    assert driven.out == "a" * 16 + "[removed]" + "c" * 16 + "d" * 3
    assert driven.watch.warnings == ("response_jailbreak",)


def test_a_run_of_pieces_is_replaced_once() -> None:
    text = ("EVIL" * 8) + "c" * 16 + "EVIL"
    assert Driven(action="redact", replacement="*").all([text]).out == "*" + "c" * 16 + "*"


def test_what_is_annotated_passes_at_once() -> None:
    driven = Driven(action="annotate")
    assert [driven.feed(c) for c in ("E", "VIL", "x" * 20)] == ["E", "VIL", "x" * 20]
    assert driven.watch.warnings == ("response_jailbreak",)
    asked = len(driven.asked)
    assert driven.feed("x" * 500) == "x" * 500
    assert len(driven.asked) == asked, "nothing more to find out"


def test_the_threshold_is_the_sum_of_the_labels() -> None:
    def unsure(question: Any) -> Any:
        return (("leak", 0.4), ("jailbreak", 0.35), ("benign", 0.25))

    assert Driven(unsure).all(["x"]).blocked is None
    assert Driven(unsure, labels=["jailbreak", "leak"], threshold=0.75).all(["x"]).blocked
    assert not Driven(unsure, labels=["jailbreak", "leak"], threshold=0.76).all(["x"]).blocked


def failing(question: Any) -> Any:
    return Failure("nobody home")


def test_what_cannot_be_judged_is_not_let_go_unless_it_may() -> None:
    with pytest.raises(AskFailed, match="nobody home"):
        Driven(failing).all(["x" * 20])
    with pytest.raises(AskFailed):
        Driven(failing, action="redact").all(["x" * 20])
    assert Driven(failing, on_failure="pass").all(["x" * 20]).out == "x" * 20
    annotated = Driven(failing, action="annotate").all(["x" * 20])
    assert (annotated.out, annotated.watch.warnings) == ("x" * 20, ())


def filters(channel: Channel, **rule: Any) -> list[Any]:
    draft = Draft(lambda: pytest.fail("the body is not looked at"))
    plugin = ResponseJailbreakPlugin(ResponseJailbreakRule.model_validate(rule))
    plugin.before(Prompt(model="m"), draft)
    return [made for make in draft.filters if (made := make(channel)) is not None]


def test_words_and_reasoning_are_watched_each_alone() -> None:
    text, thought = filters(Channel("text")), filters(Channel("reasoning"))
    assert len(text) == len(thought) == 1 and text[0] is not thought[0]
    assert not filters(Channel("arguments"))
    assert not filters(Channel("text"), action="none")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"every": 100, "window": 64}, "would not be judged"),
        ({"threshold": 1.1}, "less than or equal to 1"),
        ({"action": "header"}, "annotate"),
        ({"status": 200}, "400"),
        ({"labels": []}, "at least 1"),
        ({"window": 10}, "64"),
    ],
)
def test_bad_settings_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResponseJailbreakRule.model_validate(rule)


# Laws

TEXT = st.lists(
    st.sampled_from(["EVIL", "E", "VIL", " ", "words and ", "x" * 15, "é\u0301", "\ud83d"]),
    max_size=30,
).map("".join)


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the same text in pieces."""
    text = draw(TEXT)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return text, [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def flagged(text: str) -> int | None:
    """Where the first piece begins whose window gives the attack away, found plainly."""
    for start in range(0, len(text), 16):
        end = min(start + 16, len(text))
        if "EVIL" in text[max(0, end - 64) : end]:
            return start
    return None


@given(cut())
def test_any_chunks_come_to_the_same_end_and_nothing_judged_bad_is_let_go(
    made: tuple[str, list[str]],
) -> None:
    text, chunks = made
    place = flagged(text)
    driven, whole = Driven().all(chunks), Driven().all([text])
    assert (driven.blocked is None) == (whole.blocked is None) == (place is None)
    if place is None:
        assert driven.out == whole.out == text
    else:
        assert text.startswith(driven.out) and len(driven.out) <= place


@given(cut(), st.sampled_from(["redact", "annotate"]))
def test_any_chunks_come_to_the_same_text_and_warnings(
    made: tuple[str, list[str]], action: str
) -> None:
    text, chunks = made
    driven, whole = Driven(action=action).all(chunks), Driven(action=action).all([text])
    assert driven.out == whole.out
    assert driven.watch.warnings == whole.watch.warnings
    assert bool(driven.watch.warnings) == (flagged(text) is not None)
    if action == "redact":
        for piece in driven.out.split("[removed]"):
            assert "EVIL" not in piece


@given(cut())
def test_a_stream_goes_on_streaming(made: tuple[str, list[str]]) -> None:
    driven = Driven(threshold=1.0)
    come = 0
    for chunk in made[1]:
        driven.feed(chunk)
        come += len(chunk)
        assert come - len(driven.out) < 16
