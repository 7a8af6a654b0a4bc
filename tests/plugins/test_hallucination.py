"""What is checked against what, and what follows, whatever the chunks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.plugins import Blocked, Channel, Draft
from wayside.plugins.hallucination import (
    Gate,
    HallucinationPlugin,
    HallucinationPluginRule,
    Reader,
    Unverified,
)
from wayside.vocab.ask import Classify, Failure, Mark, Span
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Message, Prompt

TALK = Prompt(
    model="auto",
    question="When was it built?",
    messages=(
        Message("system", "Be brief."),
        Message("user", "When was it built?"),
        Message("assistant", "", tool_calls=1),
        Message("tool", "Built in 1889."),
        Message("tool", " "),
        Message("function", "By Eiffel."),
    ),
)
BARE = Prompt(model="auto", question="When?", messages=(Message("user", "When?"),))


def check(question: Any) -> Any:
    """Every ``LIE`` is a claim without support."""
    assert isinstance(question, Mark) and question.head == "grounding"
    text = question.text
    starts = [i for i in range(len(text)) if text.startswith("LIE", i)]
    return tuple(Span(i, i + 3, "unsupported", 0.8) for i in starts)


def failing(question: Any) -> Any:
    return Failure("nobody home")


def finish(flow: Any, answer: Callable[[Any], Any], asked: list[Any]) -> Any:
    if not isinstance(flow, Generator):
        return flow
    try:
        batch = next(flow)
        while True:
            assert batch
            asked += batch
            batch = flow.send(tuple(map(answer, batch)))
    except StopIteration as stop:
        return stop.value


def hung(
    prompt: Prompt, answer: Callable[[Any], Any] = check, kind: Any = "text", **rule: Any
) -> Any:
    """The filter that the plugin hangs on an answer, if any."""
    draft = Draft(lambda: pytest.fail("the body is not looked at"))
    plugin = HallucinationPlugin(HallucinationPluginRule.model_validate(rule))
    finish(plugin.before(prompt, draft), answer, [])
    made = [make(Channel(kind)) for make in draft.filters]
    return made[0] if made else None


class Told:
    """What a client gets of an answer in ``chunks``."""

    def __init__(
        self, chunks: list[str], answer: Callable[[Any], Any] = check, **rule: Any
    ) -> None:
        watch = hung(TALK, **rule)
        self.asked: list[Mark] = []
        self.pieces: list[str] = []
        self.blocked: Blocked | None = None
        try:
            for i, chunk in enumerate(chunks):
                final = i == len(chunks) - 1
                self.pieces.append(finish(watch.feed(chunk, final), answer, self.asked))
        except Blocked as blocked:
            self.blocked = blocked
        self.text = "".join(self.pieces)
        self.warnings = watch.warnings


@pytest.mark.parametrize(
    ("prompt", "rule", "made"),
    [
        (TALK, {}, Reader),
        (TALK, {"action": "body"}, Reader),
        (TALK, {"action": "block"}, Gate),
        (TALK, {"action": "none"}, None),
        (TALK, {"context": ["system"]}, Reader),
        (BARE, {}, None),
        (BARE, {"context": ["user"]}, Reader),
        (BARE, {"context": ["tool", "system"]}, None),
    ],
)
def test_an_answer_is_checked_where_there_are_sources(
    prompt: Prompt, rule: dict[str, Any], made: type | None
) -> None:
    found = hung(prompt, **rule)
    assert (type(found) if found else None) is made
    assert hung(prompt, kind="reasoning", **rule) is None
    assert hung(prompt, kind="arguments", **rule) is None


def facts(probability: float) -> Callable[[Any], Any]:
    def answers(question: Any) -> Any:
        assert question == Classify("When?", "fact_check") or question.text == TALK.question
        return (("no_fact_check_needed", 1 - probability), ("needs_fact_check", probability))

    return answers


@pytest.mark.parametrize(
    ("prompt", "answer", "made"),
    [
        (TALK, facts(0.7), Reader),
        (TALK, facts(0.5), None),
        (TALK, failing, Reader),
        (BARE, facts(0.7), Unverified),
        (BARE, facts(0.5), None),
    ],
)
def test_the_question_may_be_asked_about_first(
    prompt: Prompt, answer: Callable[[Any], Any], made: type | None
) -> None:
    found = hung(prompt, answer, fact_check="fact_check", unverified="header")
    assert (type(found) if found else None) is made


def test_the_sources_are_what_tools_said_in_order() -> None:
    (asked,) = Told(["It is tall."]).asked
    assert asked == Mark("It is tall.", "grounding", "Built in 1889.\n\nBy Eiffel.")
    (asked,) = Told(["x"], context=["system", "user"]).asked
    assert asked.context == "Be brief.\n\nWhen was it built?"


def test_a_warning_holds_nothing_back_and_changes_nothing() -> None:
    told = Told(["So ", "LI", "E. Then", ""])
    assert told.pieces == ["So ", "LI", "E. Then", ""]
    assert told.warnings == ("hallucination",)
    assert [mark.text for mark in told.asked] == ["So LIE. Then"], "once, at the end"
    assert Told(["All true.", ""]).warnings == ()
    assert Told(["So LIE.", ""], threshold=0.81).warnings == ()


def test_a_note_in_the_body_comes_last() -> None:
    told = Told(["So LIE.", " Then LIE."], action="body")
    assert (
        told.text == "So LIE. Then LIE.\n\n[Some of this answer is not supported by its sources.]"
    )
    told = Told(["So LIE.", ""], action="body", details=True)
    assert told.text.endswith("[Not supported by the sources of this answer:\n- LIE]")
    assert Told(["All true.", ""], action="body").text == "All true."


def test_a_block_stops_before_the_sentence() -> None:
    told = Told(["One is true. Tw", "o is a LIE. Three", " is not said."], action="block")
    assert told.blocked is not None and not told.blocked.refuse
    assert told.blocked.reason == "hallucination"
    assert told.text == "One is true."
    assert [mark.text for mark in told.asked] == ["One is true.", " Two is a LIE."]
    error = Told(["A LIE.", ""], action="block", **{"as": "error"}).blocked
    assert error is not None and (error.refuse, error.status) == (True, 403)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ('He said "no." Then 3.14 is pi.', ['He said "no."', " Then 3.14 is pi."]),
        ("一。二！三", ["一。", "二！", "三"]),
        ("a\nb", ["a\n", "b"]),
        ("x" * 2_500, ["x" * 1_000, "x" * 1_000, "x" * 500]),
        ("Wait... what", ["Wait...", " what"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [mark.text for mark in Told([text], action="block").asked] == sentences


def test_without_an_answer_a_block_may_refuse() -> None:
    assert Told(["All true. LIE.", ""], failing, action="block").text == "All true. LIE."
    with pytest.raises(AskFailed, match="nobody home"):
        Told(["All true.", ""], failing, action="block", on_failure="refuse")
    assert Told(["So LIE.", ""], failing).warnings == ()


def test_an_endless_answer_is_checked_to_a_limit() -> None:
    text = "x. " * 100_000
    told = Told([text, ""], action="block")
    assert told.text == text
    assert sum(len(mark.text) for mark in told.asked) <= 200_000
    with pytest.raises(AskFailed, match="too long"):
        Told([text, ""], action="block", on_failure="refuse")
    assert len(Told([text, ""]).asked[0].text) == 200_000


def test_what_nothing_could_be_checked_against_is_called_so() -> None:
    for action, note in (("header", ""), ("body", "\n\n[Nothing was at hand")):
        watch = hung(BARE, facts(1.0), fact_check="fact_check", unverified=action)
        assert watch.feed("In 1889", False) == "In 1889"
        assert watch.feed(".", True).startswith("." + note)
        assert watch.warnings == ("unverified_factual",)
    silent = hung(BARE, facts(1.0), fact_check="fact_check", unverified="body")
    assert (silent.feed("", True), silent.warnings) == ("", ())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"unverified": "header"}, "fact_check: fact_check"),
        ({"details": True}, "action: body"),
        ({"context": []}, "at least 1"),
        ({"action": "annotate"}, "header"),
    ],
)
def test_bad_settings_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HallucinationPluginRule.model_validate(rule)


# Laws

TEXT = st.lists(
    st.sampled_from(["LIE", "L", "IE", ". ", ".", "true", " ", "。", '."', "\n", "x" * 400]),
    max_size=20,
).map("".join)


@given(TEXT, st.lists(st.integers(0, 2_000), max_size=8), st.sampled_from(["header", "body"]))
def test_any_chunks_come_to_the_same_text(text: str, cuts: list[int], action: str) -> None:
    chunks = _cut(text, cuts)
    told, whole = Told(chunks, action=action), Told([text], action=action)
    assert (told.text, told.warnings) == (whole.text, whole.warnings)
    assert bool(told.warnings) == ("LIE" in text)


@given(TEXT, st.lists(st.integers(0, 2_000), max_size=8))
def test_any_chunks_are_blocked_at_the_same_sentence(text: str, cuts: list[int]) -> None:
    told, whole = Told(_cut(text, cuts), action="block"), Told([text], action="block")
    assert (told.blocked is None) == (whole.blocked is None)
    if told.blocked is None:
        assert told.text == whole.text == text
    else:
        assert text.startswith(told.text)
        assert "LIE" not in told.text


def _cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted(c % (len(text) + 1) for c in cuts)
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
