"""Protocol violations, floods and arbitrary bytes: a code for each, and never an exception."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.extproc import h2, wire
from wayside.extproc.calls import HEALTH_WATCH
from wayside.extproc.framed import GREETING_S, STALL_S, FramedConnection, FramedServer
from wayside.extproc.h2 import PREFACE, frame
from wayside.extproc.session import Door

from . import frames
from .frames import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    HELLO,
    PING,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    Ears,
    block,
    body_message,
    grpc,
    headers_message,
    opened,
    window,
)
from .stand_ins import Listener, door

FDS = wire.Protocol(wire.FULL_DUPLEX_STREAMED)
BODY = b'{"model":"auto","messages":[{"role":"user","content":"math"}]}'
ASKED = grpc(headers_message(protocol=FDS)) + grpc(body_message(BODY))


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.ears = Ears()
        self.closed = self.aborted = self.reading_paused = False
        self.writes = 0

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.ears.hear(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def connected(shared: Door | None = None) -> tuple[FramedConnection, Pipe]:
    clock = Clock()
    connection = FramedConnection(FramedServer(shared or door(), clock=clock))
    pipe = Pipe()
    connection.connection_made(pipe)  # type: ignore[arg-type]
    return connection, pipe


def told(*data: bytes) -> Ears:
    connection, pipe = connected()
    for piece in data:
        connection.data_received(piece)
    pipe.ears.closed = pipe.closed  # type: ignore[attr-defined]
    return pipe.ears


OPEN = HELLO + opened()
U32 = struct.Struct(">I").pack

GOAWAYS: dict[str, tuple[int, bytes]] = {
    "another protocol": (h2.PROTOCOL_ERROR, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
    "no SETTINGS first": (h2.PROTOCOL_ERROR, PREFACE + frame(PING, 0, 0, b"12345678")),
    "a SETTINGS ack first": (h2.PROTOCOL_ERROR, PREFACE + frame(SETTINGS, 1, 0)),
    "DATA on stream 0": (h2.PROTOCOL_ERROR, HELLO + frame(DATA, 0, 0, b"x")),
    "DATA on an idle stream": (h2.PROTOCOL_ERROR, HELLO + frame(DATA, 0, 5, b"x")),
    "DATA on an even stream": (h2.PROTOCOL_ERROR, OPEN + frame(DATA, 0, 2, b"x")),
    "DATA all padding": (h2.PROTOCOL_ERROR, OPEN + frame(DATA, 8, 1, b"\x05abcd")),
    "DATA padded with nothing": (h2.PROTOCOL_ERROR, OPEN + frame(DATA, 8, 1, b"")),
    "a frame too large": (h2.FRAME_SIZE_ERROR, OPEN + b"\x04\x00\x01\x00\x00\0\0\0\x01"),
    "HEADERS on stream 0": (h2.PROTOCOL_ERROR, HELLO + frame(HEADERS, 4, 0, block())),
    "HEADERS on an even stream": (h2.PROTOCOL_ERROR, HELLO + frame(HEADERS, 4, 2, block())),
    "HEADERS all padding": (h2.PROTOCOL_ERROR, HELLO + frame(HEADERS, 4 | 8, 1, b"\x01")),
    "HEADERS too short for its priority": (
        h2.FRAME_SIZE_ERROR,
        HELLO + frame(HEADERS, 4 | 32, 1, b"\0\0"),
    ),
    "HEADERS that are not HPACK": (h2.COMPRESSION_ERROR, HELLO + frame(HEADERS, 4, 1, b"\xff")),
    "an index outside the table": (h2.COMPRESSION_ERROR, HELLO + frame(HEADERS, 4, 1, b"\xc0")),
    "a table larger than allowed": (
        h2.COMPRESSION_ERROR,
        HELLO + frame(HEADERS, 4, 1, b"\x3f\xe1\xff\x03"),
    ),
    "wrong Huffman padding": (
        h2.COMPRESSION_ERROR,
        HELLO + frame(HEADERS, 4, 1, b"\x00\x81\x00\x00"),
    ),
    "CONTINUATION alone": (h2.PROTOCOL_ERROR, OPEN + frame(CONTINUATION, 4, 1, b"")),
    "CONTINUATION of another stream": (
        h2.PROTOCOL_ERROR,
        HELLO + frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, 4, 3, b""),
    ),
    "another frame inside a header block": (
        h2.PROTOCOL_ERROR,
        HELLO + frame(HEADERS, 0, 1, block()) + frame(PING, 0, 0, b"12345678"),
    ),
    "a header block without end": (
        h2.ENHANCE_YOUR_CALM,
        HELLO + frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 100,
    ),
    "a header block too large": (
        h2.ENHANCE_YOUR_CALM,
        HELLO + frame(HEADERS, 0, 1, b"\x00" * 40_000) + frame(CONTINUATION, 0, 1, b"a" * 40_000),
    ),
    "a header list that explodes": (
        h2.COMPRESSION_ERROR,
        HELLO + frame(HEADERS, 4, 1, b"\x40\x01a\x7f\x81\x1e" + b"v" * 4000 + b"\xbe" * 1000),
    ),
    "PRIORITY on stream 0": (h2.PROTOCOL_ERROR, HELLO + frame(PRIORITY, 0, 0, b"\0" * 5)),
    "RST_STREAM on stream 0": (h2.PROTOCOL_ERROR, HELLO + frame(RST, 0, 0, U32(8))),
    "RST_STREAM on an idle stream": (h2.PROTOCOL_ERROR, HELLO + frame(RST, 0, 9, U32(8))),
    "RST_STREAM of five bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(RST, 0, 1, b"12345")),
    "SETTINGS on a stream": (h2.PROTOCOL_ERROR, OPEN + frame(SETTINGS, 0, 1)),
    "SETTINGS of five bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(SETTINGS, 0, 0, b"12345")),
    "an ack with a payload": (h2.FRAME_SIZE_ERROR, OPEN + frame(SETTINGS, 1, 0, b"\0" * 6)),
    "ENABLE_PUSH 2": (h2.PROTOCOL_ERROR, OPEN + frames.settings(push=2)),
    "INITIAL_WINDOW_SIZE 2^31": (h2.FLOW_CONTROL_ERROR, OPEN + frames.settings(window=1 << 31)),
    "MAX_FRAME_SIZE 1": (h2.PROTOCOL_ERROR, OPEN + frames.settings(frame=1)),
    "PUSH_PROMISE": (h2.PROTOCOL_ERROR, OPEN + frame(PUSH, 4, 1, U32(2) + block())),
    "PING on a stream": (h2.PROTOCOL_ERROR, OPEN + frame(PING, 0, 1, b"12345678")),
    "PING of seven bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(PING, 0, 0, b"1234567")),
    "GOAWAY on a stream": (h2.PROTOCOL_ERROR, OPEN + frame(GOAWAY, 0, 1, b"\0" * 8)),
    "GOAWAY of seven bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(GOAWAY, 0, 0, b"\0" * 7)),
    "WINDOW_UPDATE by nothing": (h2.PROTOCOL_ERROR, OPEN + window(0, 0)),
    "WINDOW_UPDATE beyond 2^31-1": (h2.FLOW_CONTROL_ERROR, OPEN + window(0, (1 << 31) - 1)),
    "WINDOW_UPDATE on an idle stream": (h2.PROTOCOL_ERROR, OPEN + window(7, 1)),
    "WINDOW_UPDATE of three bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(WINDOW, 0, 0, b"123")),
    "a flood of PINGs": (h2.ENHANCE_YOUR_CALM, OPEN + frame(PING, 0, 0, b"12345678") * 1100),
    "a flood of SETTINGS": (h2.ENHANCE_YOUR_CALM, OPEN + frame(SETTINGS, 0, 0) * 1100),
    "streams opened and reset": (
        h2.ENHANCE_YOUR_CALM,
        HELLO + b"".join(opened(i) + frame(RST, 0, i, U32(8)) for i in range(1, 2300, 2)),
    ),
    "more streams than allowed, again and again": (
        h2.ENHANCE_YOUR_CALM,
        HELLO + b"".join(opened(i) for i in range(1, 4100, 2)),
    ),
}


@pytest.mark.parametrize("what", GOAWAYS)
def test_a_broken_connection_ends_with_its_code(what: str) -> None:
    code, data = GOAWAYS[what]
    ears = told(data)
    assert ears.goaway == code
    assert ears.closed  # type: ignore[attr-defined]


RESETS: dict[str, tuple[int, bytes]] = {
    "DATA after the end": (
        h2.STREAM_CLOSED,
        HELLO + opened(1, HEALTH_WATCH) + frame(DATA, 1, 1, grpc(b"")) + frame(DATA, 0, 1, b"x"),
    ),
    "trailers without END_STREAM": (h2.PROTOCOL_ERROR, OPEN + opened()),
    "PRIORITY of four bytes": (h2.FRAME_SIZE_ERROR, OPEN + frame(PRIORITY, 0, 1, b"1234")),
    "WINDOW_UPDATE by nothing": (h2.PROTOCOL_ERROR, OPEN + window(1, 0)),
    "WINDOW_UPDATE beyond 2^31-1": (
        h2.FLOW_CONTROL_ERROR,
        OPEN + window(1, 1),
    ),
    "no :path": (h2.PROTOCOL_ERROR, HELLO + frame(HEADERS, 4, 1, b"\x83\x86")),
}


@pytest.mark.parametrize("what", RESETS)
def test_a_broken_stream_is_reset_and_the_connection_lives(what: str) -> None:
    code, data = RESETS[what]
    ears = told(data, opened(3) + frame(DATA, 1, 3, ASKED))
    assert ears.goaway is None
    assert ears.streams[1].reset == code
    assert ears.streams[3].status == 0 and len(ears.streams[3].messages) == 2


def test_a_stream_beyond_the_limit_is_refused() -> None:
    many = b"".join(opened(i) for i in range(1, 2 * h2.MAX_STREAMS + 4, 2))
    ears = told(HELLO + many)
    refused = [s for s in ears.streams.values() if s.reset == h2.REFUSED_STREAM]
    assert len(refused) == 2 and ears.goaway is None


def test_a_stream_after_the_peers_goaway_is_refused_and_the_others_end() -> None:
    away = frame(GOAWAY, 0, 0, U32(0) + U32(0))
    ears = told(OPEN, away, opened(3), frame(DATA, 1, 1, ASKED))
    assert ears.streams[3].reset == h2.REFUSED_STREAM
    assert ears.streams[1].status == 0
    assert ears.closed  # type: ignore[attr-defined]


def test_draining_serves_what_is_on_its_way_and_refuses_what_comes_after() -> None:
    connection, pipe = connected()
    connection.data_received(OPEN)
    connection.drain()
    assert pipe.ears.goaway == h2.NO_ERROR and not pipe.closed
    connection.data_received(opened(3) + frame(PING, 1, 0, b"wayside!") + opened(5))
    assert pipe.ears.streams[5].reset == h2.REFUSED_STREAM
    connection.data_received(frame(DATA, 1, 1, ASKED))
    assert not pipe.closed
    connection.data_received(frame(DATA, 1, 3, ASKED))
    assert pipe.closed
    assert [pipe.ears.streams[i].status for i in (1, 3)] == [0, 0]


def test_windows_are_given_back_before_they_are_used_up() -> None:
    """However much comes, a peer that keeps to its windows never has to stop."""
    shared = door(max_body=8 << 20)
    connection, pipe = connected(shared)
    body = b"x" * (7 << 20)
    said = grpc(headers_message(protocol=FDS)) + grpc(body_message(body))
    connection.data_received(OPEN)
    left = {0: 65_535, 1: h2.STREAM_WINDOW}
    granted = pipe.ears.granted
    for at in range(0, len(said), 16_384):
        piece = said[at : at + 16_384]
        for sid in left:
            assert left[sid] + granted.get(sid, 0) >= len(piece)
            left[sid] -= len(piece)
        connection.data_received(frame(DATA, 0, 1, piece))
    assert b"malformed" in pipe.ears.streams[1].data


def test_everything_in_one_read_is_answered_with_one_write() -> None:
    connection, pipe = connected()
    connection.data_received(HELLO)
    before = pipe.writes
    connection.data_received(b"".join(opened(i) + frame(DATA, 1, i, ASKED) for i in (1, 3, 5, 7)))
    assert pipe.writes == before + 1
    assert [pipe.ears.streams[i].status for i in (1, 3, 5, 7)] == [0] * 4


def test_a_peer_that_does_not_read_is_not_read_and_then_cut_off() -> None:
    connection, pipe = connected()
    connection.data_received(OPEN)
    connection.pause_writing()
    assert pipe.reading_paused
    connection.check(STALL_S - 1)
    assert not pipe.aborted
    connection.resume_writing()
    assert not pipe.reading_paused
    connection.pause_writing()
    connection.check(STALL_S + 1)
    assert pipe.aborted


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE])
def test_a_peer_that_never_begins_to_speak_is_cut_off(said: bytes) -> None:
    connection, pipe = connected()
    if said:
        connection.data_received(said)
    connection.check(GREETING_S)
    assert not pipe.aborted
    connection.check(GREETING_S + 1)
    assert pipe.aborted


def test_a_peer_that_opens_no_window_is_cut_off() -> None:
    connection, pipe = connected()
    connection.data_received(PREFACE + frames.settings(window=0) + opened())
    connection.data_received(frame(DATA, 1, 1, ASKED))
    connection.check(1.0)
    connection.check(STALL_S)
    assert not pipe.aborted
    connection.check(STALL_S + 1.5)
    assert pipe.aborted


def test_what_waits_is_bounded_over_all_streams() -> None:
    shared = door(max_body=1000)
    shared.max_held_bytes = 2500
    connection, pipe = connected(shared)
    head = grpc(headers_message(protocol=FDS))
    chunk = grpc(body_message(b"x" * 900, last=False))
    connection.data_received(HELLO)
    for sid in (1, 3, 5):
        connection.data_received(opened(sid) + frame(DATA, 0, sid, head + chunk))
    assert not pipe.ears.streams.get(1) and b'"overloaded"' in pipe.ears.streams[5].data
    assert pipe.ears.streams[5].status == 0 and pipe.ears.streams[5].reset == h2.NO_ERROR
    connection.connection_lost(None)
    assert shared.held == 0
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    assert [e.ends[0][0] for e in listener.exchanges] == [499, 499, 503]


def test_a_message_announced_larger_than_any_body_is_413_before_it_comes() -> None:
    connection, pipe = connected(door(max_body=1000))
    head = grpc(headers_message(protocol=FDS))
    connection.data_received(OPEN + frame(DATA, 0, 1, head + b"\x00" + U32(1 << 30) + b"x"))
    assert b'"request_too_large"' in pipe.ears.streams[1].data
    assert pipe.ears.streams[1].status == 0


# --- laws --------------------------------------------------------------------------------------

VALID = [
    HELLO,
    opened(1),
    frame(DATA, 0, 1, ASKED[:40]),
    frame(PING, 0, 0, b"12345678"),
    frame(DATA, 1, 1, ASKED[40:]),
    frames.settings(window=1 << 20, frame=1 << 15),
    frame(HEADERS, 0, 3, block()[:9]),
    frame(CONTINUATION, 4, 3, block()[9:]),
    frame(DATA, 8, 3, b"\x03" + ASKED + b"\0\0\0"),
    window(3, 100),
    frame(PRIORITY, 0, 3, b"\0" * 5),
    frame(DATA, 1, 3, b""),
    opened(5),
    frame(DATA, 0, 5, grpc(headers_message({":path": "/v1/models"}, ended=True))),
    frame(RST, 0, 5, U32(8)),
    opened(7, HEALTH_WATCH, 5),
    frame(GOAWAY, 0, 0, U32(0) + U32(0)),
]


def _whole() -> bytes:
    return b"".join(VALID)


def _result(ears: Ears) -> Any:
    return {sid: (s.messages, s.status, s.ended, s.reset) for sid, s in ears.streams.items()} | {
        "goaway": ears.goaway,
        "pongs": ears.pongs,
    }


@given(st.lists(st.integers(0, len(_whole())), max_size=40))
def test_any_split_of_a_valid_stream_gives_the_same_replies(cuts: list[int]) -> None:
    whole = _whole()
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    assert _result(told(*pieces)) == _result(told(whole))


def _ends_in_order(data: list[bytes]) -> None:
    shared = door()
    connection, pipe = connected(shared)
    for piece in data:
        connection.data_received(piece)
    connection.connection_lost(None)
    assert shared.held == 0
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    assert all(len(e.ends) == 1 for e in listener.exchanges)
    if pipe.ears.goaway:
        assert pipe.closed


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_arbitrary_bytes_never_raise(data: list[bytes]) -> None:
    _ends_in_order(data)
    _ends_in_order([HELLO, *data])
    _ends_in_order([OPEN, *data])
    _ends_in_order([OPEN, *(frame(DATA, 0, 1, piece) for piece in data)])
    _ends_in_order([OPEN, *(frame(DATA, 0, 1, grpc(piece)) for piece in data)])


@settings(max_examples=200)
@given(st.data())
def test_a_mutated_conversation_never_raises(data: st.DataObject) -> None:
    said = bytearray(_whole())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(24, len(said) - 1))
        how = data.draw(st.sampled_from("scdi"))
        if how == "s":
            said[at] = data.draw(st.integers(0, 255))
        elif how == "c":
            del said[at:]
        elif how == "d":
            del said[at : at + data.draw(st.integers(1, 20))]
        else:
            said[at:at] = data.draw(st.binary(max_size=20))
        if len(said) <= 25:
            break
    _ends_in_order([bytes(said)])


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(VALID[1:]), st.booleans()), max_size=30))
def test_frames_in_any_order_never_raise(chosen: list[tuple[bytes, bool]]) -> None:
    _ends_in_order([HELLO, *(piece for piece, _ in chosen)])


_kinds = st.integers(0, 10)
_frames = st.builds(
    lambda kind, flags, sid, payload: frame(kind, flags, sid, payload),
    _kinds,
    st.integers(0, 255),
    st.integers(0, 9),
    st.one_of(st.binary(max_size=60), st.just(block()), st.just(ASKED)),
)


@settings(max_examples=300)
@given(st.lists(_frames, max_size=30))
def test_any_frames_never_raise(said: list[bytes]) -> None:
    _ends_in_order([HELLO, b"".join(said)])
