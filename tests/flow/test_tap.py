"""The reply tap alone: any cutting of a stream comes to the same answer."""

from __future__ import annotations

import json
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
