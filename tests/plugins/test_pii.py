"""Personal data on its way out: blocked, blanked, swapped and put back, or told upstream."""

import json
import re
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_completions import CompletionBody
from wayside.engines.pii import PiiRecogniser
from wayside.flow.tap import ReplyTap
from wayside.plugins import Channel, Draft
from wayside.plugins.pii import Masks, PiiPlugin, PiiPluginRule, Restorer
from wayside.vocab.ask import Failure, Mark
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Prompt

RECOGNISER = PiiRecogniser()
TEXT = Channel("text")
ARGUMENTS = Channel("arguments")
ANN, BEN = "ann@example.org", "ben@example.org"


def marks(question: Mark) -> Any:
    return RECOGNISER.spans(question.text)


def drafted(
    body: Any, answer: Callable[[Mark], Any] = marks, kind: Any = ChatBody, **rule: Any
) -> Draft:
    """The draft after the plugin saw ``body``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    draft = Draft(kind(raw).edit)
    flow = PiiPlugin(PiiPluginRule(**rule)).before(Prompt(model="m"), draft)
    assert isinstance(flow, Generator)
    try:
        asks = next(flow)
        while True:
            asks = flow.send(tuple(answer(ask) for ask in asks))
    except StopIteration:
        return draft


def chat(*contents: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": c} for c in contents]}


def contents(draft: Draft) -> list[Any]:
    return [turn["content"] for turn in draft.edit.get("messages")]


def test_redaction_names_the_type_in_every_role_and_part() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": f"You serve {ANN}."},
            {"role": "user", "content": [{"type": "text", "text": f"I am {BEN}"}, {"type": "x"}]},
            {"role": "tool", "tool_call_id": "1", "content": f'{{"mail": "{ANN}"}}'},
        ],
    }
    assert contents(drafted(body, action="redact")) == [
        "You serve [EMAIL_ADDRESS].",
        [{"type": "text", "text": "I am [EMAIL_ADDRESS]"}, {"type": "x"}],
        '{"mail": "[EMAIL_ADDRESS]"}',
    ]


def test_what_holds_nothing_keeps_its_very_bytes() -> None:
    raw = b'{"model":"m",  "messages":[ {"role":"user","content":"2+2?"} ]}'
    for action in ("block", "redact", "mask", "annotate"):
        draft = drafted(raw, action=action)
        assert not draft.edited and draft.early is None and not draft.set and not draft.filters


def test_only_types_that_count_are_touched() -> None:
    text = f"{ANN}, born 3 May 1984, 192.0.2.7"
    assert contents(drafted(chat(text))) == ["[EMAIL_ADDRESS], born 3 May 1984, [IP_ADDRESS]"]
    draft = drafted(chat(text), allowed=("EMAIL_ADDRESS",))
    assert contents(draft) == [f"{ANN}, born 3 May 1984, [IP_ADDRESS]"]
    draft = drafted(chat(text), types=("DATE_TIME",))
    assert contents(draft) == [f"{ANN}, born [DATE_TIME], 192.0.2.7"]
    assert not drafted(chat("ask Maria"), types=("PERSON",)).edited
    draft = drafted(chat("ask Maria"), types=("PERSON",), threshold=0.4)
    assert contents(draft) == ["ask [PERSON]"]


def test_masking_gives_equal_values_one_name_across_the_conversation() -> None:
    draft = drafted(chat(f"{ANN} and {BEN}", f"again {ANN}"), action="mask")
    assert contents(draft) == [
        "<EMAIL_ADDRESS_1> and <EMAIL_ADDRESS_2>",
        "again <EMAIL_ADDRESS_1>",
    ]
    (make,) = draft.filters
    answer = "Write <EMAIL_ADDRESS_2>, not <EMAIL_ADDRESS_1> or <EMAIL_ADDRESS_3>."
    restored = make(TEXT)
    assert restored is not None
    assert restored.feed(answer, True) == f"Write {BEN}, not {ANN} or <EMAIL_ADDRESS_3>."


def test_a_longer_conversation_keeps_its_beginning() -> None:
    short = contents(drafted(chat(f"I am {ANN}"), action="mask"))
    longer = contents(drafted(chat(f"I am {ANN}", f"and {BEN}"), action="mask"))
    assert longer[:1] == short


def test_what_the_client_wrote_itself_is_never_restored() -> None:
    draft = drafted(chat("What does <EMAIL_ADDRESS_1> mean?", f"I am {ANN}"), action="mask")
    assert contents(draft)[1] == "I am <EMAIL_ADDRESS_2>"
    restored = draft.filters[0](TEXT)
    assert restored is not None
    said = "<EMAIL_ADDRESS_1> is a placeholder, <EMAIL_ADDRESS_2> is yours"
    assert restored.feed(said, True) == f"<EMAIL_ADDRESS_1> is a placeholder, {ANN} is yours"


def test_tool_calls_that_the_client_repeats_are_masked_like_the_rest() -> None:
    arguments = json.dumps({"to": ANN, "n": 1.10})
    body = {
        "model": "m",
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"arguments": arguments}}],
            }
        ],
    }
    (turn,) = drafted(body, action="mask").edit.get("messages")
    assert (
        turn["tool_calls"][0]["function"]["arguments"] == '{"to": "<EMAIL_ADDRESS_1>", "n": 1.1}'
    )


def test_arguments_are_restored_as_json() -> None:
    value = 'a "b"\\\n<é>'
    restorer = Restorer({"<PERSON_1>": value}, ARGUMENTS)
    assert json.loads(restorer.feed('{"who": "<PERSON_1>"}', True)) == {"who": value}
    for spelt in (r"\u003cPERSON_1\u003e", r"\u003CPERSON_1>", r"<PERSON_1\u003E"):
        restorer = Restorer({"<PERSON_1>": value}, ARGUMENTS)
        assert json.loads(restorer.feed(f'{{"who": "{spelt}"}}', True)) == {"who": value}
    prose = Restorer({"<PERSON_1>": value}, TEXT)
    assert prose.feed("<PERSON_1>", True) == value


PIECES = st.lists(
    st.sampled_from(
        ["<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>", "<EMAIL_ADDRESS_12>", "<EMAIL_", "<", ">", "<<",
         "a<b", "_1>", "\\u003c", "\\u003e", "EMAIL_ADDRESS_1", "\\", "\\u00", "<PERSON_1", " hi ",
         "<" + "x" * 70 + ">", "é🙂"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(
    text=PIECES,
    cuts=st.lists(st.integers(0, 400), max_size=12),
    channel=st.sampled_from([TEXT, ARGUMENTS]),
)
def test_however_an_answer_is_cut_it_is_restored_alike(
    text: str, cuts: list[int], channel: Channel
) -> None:
    values = {"<EMAIL_ADDRESS_1>": ANN, "<EMAIL_ADDRESS_12>": BEN, "<PERSON_1>": 'A "B" <C'}
    whole = Restorer(values, channel).feed(text, True)
    places = sorted({0, len(text), *[c % (len(text) + 1) for c in cuts]})
    restorer = Restorer(values, channel)
    out = ""
    for start, end in pairwise(places):
        out += restorer.feed(text[start:end], False)
        assert len(restorer._held) <= 76
    assert out + restorer.feed("", True) == whole


def test_prose_is_not_held_back() -> None:
    restorer = Restorer({"<PERSON_1>": "Ann"}, TEXT)
    assert restorer.feed("a < b and <b>bold</b> text", False) == "a < b and <b>bold</b> text"
    assert restorer.feed("half <PER", False) == "half "
    assert restorer.feed("SON_1> told", False) == "Ann told"


@given(
    values=st.lists(
        st.tuples(st.sampled_from(["A", "B b-c", ""]), st.text(max_size=5)), max_size=8
    )
)
def test_masks_are_one_to_one(values: list[tuple[str, str]]) -> None:
    masks = Masks(["<A_1> <B_b_c_2> <_1>"])
    made = {(label, value): masks.placeholder(label, value) for label, value in values}
    assert len(set(made.values())) == len(made)
    assert {masks.values[p] for p in made.values()} == {value for _, value in made}
    assert not {"<A_1>", "<B_b_c_2>", "<_1>"} & set(made.values())


def test_blocking_answers_in_the_models_place_without_the_value() -> None:
    draft = drafted(chat(f"I am {ANN}"), action="block", message="No.")
    assert draft.early is not None
    assert (draft.early.message, draft.early.refuse) == ("No.", False)
    assert not draft.edited


def test_annotating_tells_the_types_upstream_and_leaves_the_body() -> None:
    draft = drafted(chat(f"{ANN}, call me: +49 30 901820"), action="annotate")
    assert draft.set == {"x-wayside-pii": "EMAIL_ADDRESS,PHONE_NUMBER"}
    assert not draft.edited


def test_an_engine_that_does_not_answer_refuses_unless_told_to_pass() -> None:
    draft = drafted(chat(ANN), lambda _: Failure("too slow"))
    assert draft.early is not None and draft.early.refuse and draft.early.status == 503
    draft = drafted(chat(ANN), lambda _: Failure("too slow"), on_failure="pass")
    assert draft.early is None and not draft.edited


def test_completions_are_read_too() -> None:
    draft = drafted({"model": "m", "prompt": [f"mail {ANN}", [1, 2]]}, kind=CompletionBody)
    assert draft.edit.get("prompt") == ["mail [EMAIL_ADDRESS]", [1, 2]]


def test_each_text_is_asked_about_once_of_the_engine_named() -> None:
    asked: list[Mark] = []

    def answer(question: Mark) -> Any:
        asked.append(question)
        return ()

    drafted(chat("a", "a", " ", "b"), answer, engine="ner", types=("FIRSTNAME",))
    assert asked == [Mark("a", "ner"), Mark("b", "ner")]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"types\[0\].*did you mean 'EMAIL_ADDRESS'"):
        PiiPlugin(PiiPluginRule(types=("EMAIL",)))


def driven(flow: Any) -> Any:
    """What a flow that asks nothing comes to."""
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it asked something")


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_a_streamed_answer_comes_back_with_the_values_whole(size: int) -> None:
    draft = drafted(chat(f"write to {ANN}"), action="mask")
    tap = ReplyTap(draft.filters)
    tap.begin(200, "text/event-stream")
    said = "Dear <EMAIL_ADDRESS_1>, a < b."
    sent = b"".join(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
        for delta in (
            *[{"content": said[i : i + size]} for i in range(0, len(said), size)],
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"to":"<EMAIL_'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": 'ADDRESS_1>"}'}}]},
        )
    )
    out = b"".join(driven(tap.feed(sent[i : i + 11])) for i in range(0, len(sent), 11))
    out += driven(tap.feed(b"data: [DONE]\n\n")) + driven(tap.finish()).body
    deltas = [
        json.loads(line[6:])["choices"][0]["delta"]
        for line in out.decode().splitlines()
        if line.startswith("data: {")
    ]
    assert "".join(d.get("content", "") for d in deltas) == f"Dear {ANN}, a < b."
    calls = [d["tool_calls"][0]["function"]["arguments"] for d in deltas if "tool_calls" in d]
    assert json.loads("".join(calls)) == {"to": ANN}


@pytest.mark.parametrize("wanted", [None, {"type": "text"}, {"type": "json_object"}])
def test_values_are_written_as_json_in_answers_that_are_to_be_json(wanted: Any) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
    draft = drafted({**chat(f"use {key}"), "response_format": wanted}, action="mask")
    (placeholder,) = re.findall(r"<\w+>", contents(draft)[0])
    restorer: Any = draft.filters[0](TEXT)
    said = restorer.feed(f'{{"key": "{placeholder}"}}', True)
    if wanted == {"type": "json_object"}:
        assert json.loads(said) == {"key": key}
    else:
        assert key in said
    assert "\\n" not in draft.filters[0](Channel("reasoning")).feed(placeholder, True)


def test_what_holds_personal_data_is_for_nobody_else() -> None:
    assert drafted(chat(f"Write to {ANN}.")).personal
    assert not drafted(chat("Write to somebody.")).personal
