"""The reply tap alone: any cutting of a stream comes to the same answer."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.flow.tap import MAX_BODY, MAX_EVENT, ReplyTap
from wayside.plugins import Blocked, Channel, ReplyFilter
from wayside.vocab.ask import Classify, Failure, Flow, ask
from wayside.vocab.outcome import Ended

SSE = "text/event-stream"


class Mask:
    """Turns ``cat`` into ``dog``, holding back what could begin it."""

    warnings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str, final: bool) -> str:
        self.held = (self.held + text).replace("cat", "dog")
        cut = len(self.held) if final else max(0, len(self.held) - 2)
        out, self.held = self.held[:cut], self.held[cut:]
        return out


class Asking(Mask):
    """Asks before it lets anything go."""

    def feed(self, text: str, final: bool) -> Flow[str]:  # type: ignore[override]
        yield from ask(Classify(text, "guard"))
        return super().feed(text, final)


class Stop:
    warnings: tuple[str, ...] = ()

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse

    def feed(self, text: str, final: bool) -> str:
        if "cat" in text:
            raise Blocked("no cats", reason="cats", refuse=self.refuse)
        return text


def tap(made: Any = Mask, kinds: tuple[str, ...] = ("text",)) -> ReplyTap:
    def make(channel: Channel) -> ReplyFilter | None:
        found: ReplyFilter = made()
        return found if channel.kind in kinds else None

    return ReplyTap([make])


def run(flow: Flow[Any], reply: Any = (("fine", 1.0),)) -> Any:
    assert isinstance(flow, Generator)
    try:
        batch = next(flow)
        while True:
            batch = flow.send(tuple(reply for _ in batch))
    except StopIteration as stop:
        return stop.value


def through(watch: ReplyTap, raw: bytes, cuts: list[int], reply: Any = ()) -> tuple[bytes, Ended]:
    out, at = b"", 0
    for cut in [*sorted(cuts), len(raw)]:
        out += run(watch.feed(raw[at:cut]), reply)
        at = max(at, cut)
    ended = run(watch.finish(), reply)
    return out + ended.body, ended


def events(*deltas: dict[str, Any], end: str | None = "stop", done: bool = True) -> bytes:
    sent = []
    each = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
    for delta in deltas:
        choice = {"index": delta.pop("at", 0), "delta": delta, "finish_reason": None}
        sent.append({**each, "choices": [choice]})
    if end:
        sent.append({**each, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
    raw = b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in sent)
    return raw + (b"data: [DONE]\n\n" if done else b"")


def text_of(raw: bytes, key: str = "content") -> str:
    said = ""
    for line in raw.splitlines():
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                said += choice["delta"].get(key) or ""
    return said


WORDS = ["a ca", "t and ", "a c", "a", "t, c", "atcat", " end c"]


@given(st.lists(st.integers(0, 900), max_size=12), st.booleans(), st.booleans())
def test_any_cutting_gives_the_same_text(cuts: list[int], end: bool, done: bool) -> None:
    raw = events(*({"content": w} for w in WORDS), end="stop" if end else None, done=done)
    watch = tap()
    assert watch.begin(200, SSE) == "stream"
    out, ended = through(watch, raw, [c for c in cuts if c <= len(raw)])
    assert text_of(out) == "".join(WORDS).replace("cat", "dog")
    assert ended.status is None and not ended.reason
    assert out.count(b"[DONE]") == done


def test_line_ends_of_every_kind_are_events() -> None:
    raw = events({"content": "cat"}, {"content": "s"})
    for newline in (b"\r\n", b"\r", b"\n"):
        watch = tap()
        watch.begin(200, "text/event-stream; charset=utf-8")
        out, _ = through(watch, raw.replace(b"\n", newline), [])
        assert text_of(out) == "dogs"


def test_what_no_filter_touches_passes_byte_for_byte() -> None:
    raw = b': ping\n\nevent: x\ndata: {"a":1}\n\n' + events({"role": "assistant"})
    watch = tap(kinds=())
    watch.begin(200, SSE)
    assert through(watch, raw, [3, 40])[0] == raw


def test_reasoning_and_arguments_are_channels_of_their_own() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":"c'}}]}
    more = {"tool_calls": [{"index": 0, "function": {"arguments": 'at"}'}}]}
    raw = events({"reasoning_content": "c"}, call, {"reasoning_content": "at"}, more)
    watch = tap(kinds=("reasoning", "arguments"))
    watch.begin(200, SSE)
    out, _ = through(watch, raw, [])
    assert text_of(out, "reasoning_content") == "dog"
    arguments = ""
    for line in out.splitlines():
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                for asked in choice["delta"].get("tool_calls", ()):
                    arguments += asked["function"].get("arguments", "")
    assert arguments == '{"a":"dog"}'


def test_each_choice_has_a_filter_of_its_own() -> None:
    raw = events({"content": "c"}, {"content": "cat", "at": 1}, {"content": "at"}, end=None)
    watch = tap()
    watch.begin(200, SSE)
    out, _ = through(watch, raw, [])
    by_choice: dict[int, str] = {}
    for line in out.splitlines():
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                said = choice["delta"].get("content", "")
                by_choice[choice["index"]] = by_choice.get(choice["index"], "") + said
    assert by_choice == {0: "dog", 1: "dog"}


def test_nothing_follows_a_stop() -> None:
    raw = events({"content": "a "}, {"content": "cat"}, {"content": "more"})
    watch = tap(Stop)
    watch.begin(200, SSE)
    out, ended = through(watch, raw, [])
    assert text_of(out) == "a no cats"
    assert b"content_filter" in out and out.endswith(b"data: [DONE]\n\n")
    assert ended.reason == "cats" == watch.reason


def test_a_stop_may_be_an_error_event() -> None:
    watch = tap(lambda: Stop(refuse=True))
    watch.begin(200, SSE)
    out, _ = through(watch, events({"content": "cat"}), [])
    assert json.loads(out.splitlines()[0][6:])["error"]["code"] == "content_filter"


@pytest.mark.parametrize("kind", [SSE, "application/json"])
def test_a_guard_nobody_answers_lets_nothing_through(kind: str) -> None:
    raw = events({"content": "cat"})
    if kind != SSE:
        raw = json.dumps({"choices": [{"message": {"content": "cat"}}]}).encode()
    watch = tap(Asking)
    watch.begin(200, kind)
    out, ended = through(watch, raw, [], reply=Failure("nobody home"))
    assert b"could not be checked" in out and b"dog" not in out and b'"cat"' not in out
    assert ended.reason == "unchecked" or watch.reason == "unchecked"


@pytest.mark.parametrize(
    ("raw", "why"),
    [(b"data: {broken\n\n", "unreadable"), (b"data: " + b"x" * (MAX_EVENT + 10), "too_large")],
)
def test_what_cannot_be_read_is_not_passed_unseen(raw: bytes, why: str) -> None:
    watch = tap()
    watch.begin(200, SSE)
    out, _ = through(watch, raw, [])
    assert watch.reason == why and b"x" * 100 not in out and b"broken" not in out


def test_a_whole_answer_is_bounded() -> None:
    watch = tap()
    watch.begin(200, "application/json")
    for _ in range(MAX_BODY // (1 << 20) + 1):
        assert run(watch.feed(b" " * (1 << 20))) == b""
    ended = run(watch.finish())
    assert ended.status == 502


def test_an_answer_without_choices_is_as_it_came() -> None:
    watch = tap()
    watch.begin(200, "application/json")
    assert (
        through(watch, b'{"object": "list", "data":[1]}', [])[0]
        == b'{"object": "list", "data":[1]}'
    )


def test_errors_are_not_looked_at() -> None:
    assert tap().begin(404, SSE) == "pass"


EVERY = ("text", "reasoning", "arguments", "other")


def streamed(raw: bytes, made: Any = Mask, kinds: tuple[str, ...] = EVERY) -> bytes:
    watch = tap(made, kinds)
    assert watch.begin(200, SSE) == "stream"
    return through(watch, raw, [])[0]


def whole(answer: Any, made: Any = Mask, kinds: tuple[str, ...] = EVERY) -> Any:
    watch = tap(made, kinds)
    assert watch.begin(200, "application/json") == "whole"
    return json.loads(through(watch, json.dumps(answer).encode(), [])[0])


def one_event(choice: dict[str, Any], **more: Any) -> bytes:
    said = {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}], **more}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


CAT_TOKENS = {"content": [{"token": "cat", "logprob": -0.1, "bytes": [99, 97, 116]}]}


def test_tokens_of_a_watched_text_do_not_leave() -> None:
    """Log-probabilities and token ids are the answer once more, unfiltered."""
    choice = {"message": {"content": "cat"}, "logprobs": CAT_TOKENS, "token_ids": [4937]}
    said = whole({"choices": [choice], "prompt_logprobs": [{"1": {"decoded_token": "cat"}}]})
    assert "cat" not in json.dumps(said) and "4937" not in json.dumps(said)
    assert said["choices"][0]["message"]["content"] == "dog"
    out = streamed(one_event({"delta": {"content": "cat"}, "logprobs": CAT_TOKENS}))
    assert b"cat" not in out and text_of(out) == "dog"


@pytest.mark.parametrize(
    "turn",
    [
        {"reasoning_details": [{"type": "reasoning.text", "text": "cat"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "cat"}]}]},
        {"content": ["cat"]},
        {"tool_calls": [{"index": 0, "custom": {"name": "f", "input": "cat"}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "cat", "arguments": ""}}]},
        {"thinking": "cat"},
        {"content": {"text": "cat"}},
    ],
)
@pytest.mark.parametrize("where", ["message", "delta"])
def test_text_in_fields_of_some_servers_is_watched(turn: Any, where: str) -> None:
    assert "cat" not in json.dumps(whole({"choices": [{"index": 0, where: turn}]}))
    assert b"cat" not in streamed(one_event({where: turn}))


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"delta": {}, "message": {"content": "cat"}}]},
        {"choices": [{"delta": None, "message": {"content": "cat"}}]},
        {"choices": ["cat"]},
        {"choices": {"0": {"message": {"content": "cat"}}}},
        {"message": {"role": "assistant", "content": "cat"}},
        {"choices": [], "citations": ["cat"]},
    ],
)
def test_answers_of_another_shape_are_watched(answer: Any) -> None:
    assert "cat" not in json.dumps(whole(answer))
    assert b"cat" not in streamed(b"data: " + json.dumps(answer).encode() + b"\n\n")


@pytest.mark.parametrize("raw", [b'"cat"', b'["cat"]', b"cat"])
def test_what_is_no_object_does_not_pass(raw: bytes) -> None:
    assert b"cat" not in streamed(b"data: " + raw + b"\n\n")
    watch = tap()
    watch.begin(200, "application/json")
    out, ended = through(watch, raw, [])
    assert b"cat" not in out and ended.status == 502


def test_a_stream_that_is_none_does_not_pass() -> None:
    """The content type says stream, the body is JSON: it has no events, and no client's reader
    of events sees it, but other readers do."""
    raw = json.dumps({"choices": [{"message": {"content": "cat"}}]}).encode()
    assert b"cat" not in streamed(raw)
    assert b"cat" not in streamed(raw + b"\n\n")


@pytest.mark.parametrize("cuts", [[], [1], [2, 3, 5]])
def test_a_byte_order_mark_hides_no_event(cuts: list[int]) -> None:
    watch = tap()
    watch.begin(200, SSE)
    out, _ = through(watch, b"\xef\xbb\xbf" + events({"content": "cat"}), cuts)
    assert b"cat" not in out and text_of(out) == "dog"


def test_reasoning_under_two_names_is_read_once_each() -> None:
    raw = events(*({"reasoning": c, "reasoning_content": c} for c in "the cat"))
    out = streamed(raw)
    assert text_of(out, "reasoning") == text_of(out, "reasoning_content") == "the dog"


def test_an_empty_finish_reason_ends_nothing() -> None:
    raw = b"".join(one_event({"delta": {"content": c}, "finish_reason": ""}) for c in "cat")
    assert text_of(streamed(raw)) == "dog"


def test_an_event_without_its_blank_line_does_not_swallow_what_is_held() -> None:
    raw = events({"content": "a"}, {"content": "ca"}, end=None, done=False).rstrip(b"\n")
    assert text_of(streamed(raw)) == "aca"


def test_held_arguments_of_an_old_function_call_stay_its_own() -> None:
    raw = events({"function_call": {"name": "f", "arguments": "{ca"}}, end=None, done=False)
    out = streamed(raw)
    said = [json.loads(line[6:])["choices"][0]["delta"] for line in out.splitlines() if line]
    assert "".join(d["function_call"]["arguments"] for d in said) == "{ca"


def test_a_stop_repeats_nothing_that_was_not_watched() -> None:
    first = one_event({"delta": {"content": "cat"}, "note": "tiger"}, citations=["lion"])
    out = streamed(first, Stop)
    assert text_of(out) == "no cats" and b"tiger" not in out and b"lion" not in out
    choice = {"message": {"content": "cat"}, "note": "tiger"}
    said = whole({"id": "c", "choices": [choice], "citations": ["lion"]}, Stop)
    assert said["choices"][0]["message"]["content"] == "no cats" and said["id"] == "c"
    assert "tiger" not in json.dumps(said) and "lion" not in json.dumps(said)


def test_what_is_spoken_cannot_be_watched() -> None:
    turn = {"content": None, "audio": {"id": "a", "data": "AAAA", "transcript": "cat"}}
    watch = tap()
    watch.begin(200, "application/json")
    out, ended = through(watch, json.dumps({"choices": [{"message": turn}]}).encode(), [])
    assert ended.status == 502 and b"AAAA" not in out
    assert b"AAAA" not in streamed(one_event({"delta": turn}))


def test_half_an_emoji_stops_no_answer() -> None:
    raw = b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d a dog"}}]}\n\n'
    assert "a d" in text_of(streamed(raw, kinds=("text",)))


def test_opaque_fields_keep_their_bytes() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "cat"}}}
    assert "cat" in json.dumps(whole({"choices": [{"message": {"tool_calls": [signed]}}]}))
    assert b"cat" in streamed(one_event({"delta": {"tool_calls": [signed]}}))


def test_nesting_without_end_is_no_crash() -> None:
    deep = b'{"choices": [{"message": ' + b'{"a":' * 900 + b'"cat"' + b"}" * 900 + b"}]}"
    watch = tap(kinds=EVERY)
    watch.begin(200, "application/json")
    assert b"cat" not in through(watch, deep, [])[0]


def test_an_event_in_many_pieces_is_searched_once() -> None:
    """Each piece must not search all that is held: 3 MB in 3,000 pieces took a minute."""
    watch = tap()
    watch.begin(200, SSE)
    run(watch.feed(b"data: "))
    began = time.process_time()
    for _ in range(3_000):
        run(watch.feed(b"x" * 1_000))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", [SSE, "application/json"])
def test_the_client_is_not_told_which_engine_of_ours_is_down(kind: str) -> None:
    raw = events({"content": "cat"})
    if kind != SSE:
        raw = json.dumps({"choices": [{"message": {"content": "cat"}}]}).encode()
    watch = tap(Asking)
    watch.begin(200, kind)
    out, _ = through(watch, raw, [], reply=Failure("engine 'x': 10.0.0.1:99 refuses"))
    assert b"10.0.0.1" not in out and b"gave no answer" in out


def test_choices_without_end_are_stopped() -> None:
    watch = tap()
    watch.begin(200, SSE)
    raw = b"".join(events({"content": "a", "at": n}, end=None, done=False) for n in range(3_000))
    through(watch, raw, [])
    assert watch.reason == "too_large" and len(watch._chains) < 1_100
