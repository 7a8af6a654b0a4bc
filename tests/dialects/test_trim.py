"""Usage that only the router asked for: put into requests, taken out of streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.dialects import Edit
from wayside.dialects.trim import Trimmer, ask, asked
from wayside.vocab.outcome import Trim, Usage

BODY = b'{ "model":"m", "stream" : true, "messages": [] }'


def options(raw: bytes) -> Any:
    return json.loads(raw).get("stream_options")


@pytest.mark.parametrize(
    ("given", "usage", "sent", "trim"),
    [
        (None, "asked", None, ""),
        (None, "end", {"include_usage": True}, "end"),
        (None, "each", {"include_usage": True, "continuous_usage_stats": True}, "all"),
        ({"include_usage": True}, "end", {"include_usage": True}, ""),
        ({"include_usage": False}, "end", {"include_usage": True}, "end"),
        (
            {"include_usage": True},
            "each",
            {"include_usage": True, "continuous_usage_stats": True},
            "each",
        ),
        (
            {"include_usage": True, "continuous_usage_stats": True},
            "each",
            {"include_usage": True, "continuous_usage_stats": True},
            "",
        ),
        ({"other": 1}, "end", {"other": 1, "include_usage": True}, "end"),
        ("text", "end", "text", ""),
    ],
)
def test_a_request_asks_for_usage(given: Any, usage: Usage, sent: Any, trim: Trim) -> None:
    raw = (
        BODY
        if given is None
        else BODY[:-1] + b',"stream_options":%b}' % json.dumps(given).encode()
    )
    found, trims = asked(raw, usage)
    assert (options(found), trims) == (sent, trim)
    assert {**json.loads(found), "stream_options": 0} == {**json.loads(raw), "stream_options": 0}
    if not trims:
        assert found is raw
    edit = Edit(raw)
    assert ask(edit, usage) == trim
    assert options(edit.encode()) == sent


def test_a_request_keeps_its_bytes_but_for_its_end() -> None:
    found, _ = asked(BODY + b"\n ", "end")
    assert found.startswith(BODY[:-1])


def test_a_prompt_that_speaks_of_the_field_is_no_field() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": 'say "stream_options":{}'}]}
    found, trim = asked(json.dumps(body).encode(), "end")
    assert options(found) == {"include_usage": True} and trim == "end"
    named = {"model": "m", "tools": [{"stream_options": {"include_usage": True}}]}
    found, trim = asked(json.dumps(named).encode(), "end")
    assert options(found) == {"include_usage": True} and trim == "end"


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"x": '}"{'}}


def event(said: Any, ends: str = "\n\n") -> bytes:
    return f"data: {json.dumps(said)}{ends}".encode()


def words(*, each: bool) -> list[dict[str, Any]]:
    hostile = 'my "usage": {"choices":[]} \\" and "choices": [] '
    events: list[dict[str, Any]] = [
        {"id": 1, "choices": [{"delta": {"content": text}}]} for text in ("a", hostile, "c")
    ]
    return [{**said, "usage": USAGE} if each else {**said, "usage": None} for said in events]


@pytest.mark.parametrize("ends", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("trim", ["end", "each", "all"])
@pytest.mark.parametrize("size", [1, 2, 5, 64, 10_000])
def test_a_stream_loses_what_the_client_did_not_ask_for(
    ends: str, each: bool, trim: Trim, size: int
) -> None:
    final = {"id": 1, "choices": [], "usage": USAGE}
    said = [event(s, ends) for s in words(each=each)]
    done = f"data: [DONE]{ends}".encode()
    raw = b"".join([f": ping{ends}".encode(), *said, event(final, ends), done])
    trimmer = Trimmer(trim)
    out = b"".join(trimmer.feed(raw[i : i + size]) for i in range(0, len(raw), size))
    out += trimmer.rest()
    kept = [{k: v for k, v in s.items() if k != "usage"} for s in words(each=each)]
    want = kept if each and trim != "end" else words(each=each)
    if trim == "each":
        want = [*want, final]
    lines = [line for line in out.decode().splitlines() if line.startswith("data: {")]
    assert [json.loads(line[6:]) for line in lines] == want
    assert out.startswith(b": ping") and out.endswith(done)


def test_usage_first_in_an_event_goes_as_well() -> None:
    said = {"usage": USAGE, "choices": [{"delta": {"content": "a"}}]}
    assert Trimmer("all").feed(event(said)) == event({"choices": said["choices"]})


def test_what_is_passed_on_ends_where_an_event_ends() -> None:
    trimmer = Trimmer("end")
    assert trimmer.feed(b'data: {"choices":[1]}\n\ndata: {"cho') == b'data: {"choices":[1]}\n\n'
    assert trimmer.feed(b'ices":[2]}') == b""
    assert trimmer.rest() == b'data: {"choices":[2]}'
    assert trimmer.rest() == b""


def test_an_event_without_end_is_not_held_for_ever() -> None:
    trimmer = Trimmer("end")
    out = sum(len(trimmer.feed(b"x" * 65_536)) for _ in range(64))
    assert out >= 3 << 20


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"\n\n", b'"usage":', b"{", b'"choices":[]', b"\r\n\r\n"]),
        max_size=30,
    )
)
def test_bytes_that_are_no_usage_are_never_lost(pieces: list[bytes]) -> None:
    trimmer = Trimmer("each")
    raw = b"".join(pieces)
    out = b"".join(trimmer.feed(piece) for piece in pieces) + trimmer.rest()
    if b'"usage":' not in raw:
        assert out == raw
    assert len(out) <= len(raw)
