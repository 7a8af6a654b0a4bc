"""One request's messages and what telemetry hears of it; bodies in pieces give one decision."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.extproc import wire
from wayside.extproc.session import Door, Replies, Session
from wayside.vocab.access import Caller
from wayside.vocab.ask import Flow
from wayside.vocab.outcome import Ended, Forward, Outcome, Request, Taken

from .frames import body_message, headers_message
from .stand_ins import ContentRouter, Listener, door

BODY = b'{"model":"auto","messages":[{"role":"user","content":"math"}]}'
FDS = wire.Protocol(wire.FULL_DUPLEX_STREAMED)


def ends(shared: Door) -> list[tuple[int, str]]:
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    return [end for exchange in listener.exchanges for end in exchange.ends]


def flat(replies: Replies) -> bytes:
    return b"".join(b"".join(reply) for reply in replies)


@given(st.lists(st.integers(0, len(BODY)), max_size=6), st.booleans())
def test_a_body_in_pieces_is_one_body(cuts: list[int], trailers: bool) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    for mode in (FDS, wire.Protocol(wire.STREAMED, early_body=True)):
        router = ContentRouter()
        session = Session(door(router))
        assert session.receive(headers_message(protocol=mode)) == []
        replies: Replies = []
        for i, (a, b) in enumerate(itertools.pairwise(edges)):
            last = i == len(edges) - 2 and not trailers
            replies += session.receive(body_message(BODY[a:b], last=last))
        if trailers:
            assert replies == []
            replies = session.receive(wire.field(wire.REQUEST_TRAILERS, b""))
        assert router.requests[0].body == BODY
        assert b"large-upstream" in flat(replies)
        if mode.early_body:  # one answer for the headers, and one for each chunk
            assert len(replies) == 1 + (len(edges) - 1) + trailers
        assert session.door.held == 0


@pytest.mark.parametrize("sees", [True, False])
def test_a_reset_without_a_response_is_499_only_where_responses_are_shown(sees: bool) -> None:
    shared = door()
    shared.sees_responses = sees
    session = Session(shared)
    session.receive(headers_message())
    session.receive(body_message(BODY))
    session.close("the stream was reset")
    session.close("again")
    assert [status for status, _ in ends(shared)] == [499 if sees else 0]


def test_a_response_that_envoy_made_itself_is_reported_as_an_error() -> None:
    shared = door()
    session = Session(shared)
    session.receive(headers_message())
    (reply,) = session.receive(headers_message({":status": "413"}, phase=wire.RESPONSE_HEADERS))
    assert b"x-vsr-response-path" in flat([reply]) and b"error" in flat([reply])
    session.close()
    assert ends(shared) == [(413, "")]


def test_the_upstreams_internal_headers_are_removed_unless_we_set_them() -> None:
    session = Session(door())
    session.receive(headers_message())
    session.receive(body_message(BODY))
    upstream = {":status": "200", "x-vsr-forged": "1", "x-vsr-selected-model": "forged"}
    said = flat(session.receive(headers_message(upstream, phase=wire.RESPONSE_HEADERS)))
    assert b"\x12\x0cx-vsr-forged" in said
    assert said.count(b"x-vsr-selected-model") == 1 and b"large" in said


def test_internal_headers_are_known_in_any_case() -> None:
    shared = door()
    said = {"X-Selected-Model": "a", "x-VSR-a": "b", "x-vsr-debug": "1", "content-type": "c"}
    for _ in range(2):  # the second time, the ordinary ones are remembered
        assert shared.internal(said) == ("X-Selected-Model", "x-VSR-a", "x-vsr-debug")


def test_an_observer_is_not_answered() -> None:
    shared = door()
    session = Session(shared)
    assert session.receive(headers_message() + wire.flag(10)) == []
    assert session.done and ends(shared) == []


def test_headers_twice_are_a_wire_error() -> None:
    session = Session(door())
    session.receive(headers_message())
    with pytest.raises(wire.WireError):
        session.receive(headers_message())


def test_encoded_replies_are_kept_but_not_without_end() -> None:
    shared = door()
    for i in range(5000):
        shared.mutation(((("x-selected-model", str(i)),), (), "", ()))
        shared.report((("x-vsr-selected-model", str(i)),), (), b"")
        shared.internal({f"x-{i}": ""})
    assert len(shared._mutations) <= 4096 and len(shared._reports) <= 4096
    assert len(shared._ordinary) <= 4097
    first = shared.mutation(((("a", "b"),), (), "", ()))
    assert shared.mutation(((("a", "b"),), (), "", ())) is first


class Holding:
    """A tap that holds all it is fed."""

    reason = detail = content_type = ""
    taken: Taken = "stream"

    def __init__(self) -> None:
        self.warnings: dict[str, None] = {}
        self.held = b""
        self.finished = 0

    def begin(self, status: int, content_type: str) -> Taken:
        return self.taken

    def feed(self, chunk: bytes) -> Flow[bytes]:
        self.held += chunk
        return b""
        yield

    def settle(self) -> None:
        """Nobody is told."""

    def finish(self) -> Flow[Ended]:
        self.finished += 1
        return Ended(body=self.held)
        yield


class Watching(ContentRouter):
    def __init__(self) -> None:
        super().__init__()
        self.tap = Holding()

    def _decide(self, request: Request) -> Outcome:
        outcome = super()._decide(request)
        assert isinstance(outcome, Forward)
        return msgspec.structs.replace(outcome, tap=self.tap)

    def after(self, flow: Any) -> None:
        if flow is not None:
            self.drive(flow)

    def drive(self, flow: Any) -> Any:
        try:
            next(flow)
        except StopIteration as stop:
            return stop.value


def watched(mode: int, trailers: bool) -> tuple[Watching, bytes]:
    """An answer in two pieces, and what Envoy is told after its head."""
    router = Watching()
    session = Session(door(router))
    protocol = wire.Protocol(wire.BUFFERED, mode)
    session.receive(headers_message(protocol=protocol))
    session.receive(body_message(BODY))
    head = {":status": "200", "content-type": "text/event-stream"}
    session.receive(headers_message(head, phase=wire.RESPONSE_HEADERS))
    said = b""
    for piece, last in ((b"Hello", False), (b" there", not trailers)):
        said += flat(session.receive(body_message(piece, last=last, phase=wire.RESPONSE_BODY)))
    if trailers:
        said += flat(session.receive(wire.field(wire.RESPONSE_TRAILERS, b"")))
    return router, said


@pytest.mark.parametrize("trailers", [False, True])
def test_what_a_filter_holds_goes_before_the_trailers(trailers: bool) -> None:
    router, said = watched(wire.FULL_DUPLEX_STREAMED, trailers)
    assert b"Hello there" in said and router.tap.finished == 1


def test_what_cannot_go_before_the_trailers_is_not_lost_in_silence() -> None:
    router, said = watched(wire.STREAMED, trailers=True)
    assert router.tap.finished == 1
    assert b"Hello" not in said and b"FULL_DUPLEX_STREAMED" in said


def answers_without_bodies(taken: Taken) -> tuple[list[str], bytes]:
    """The log, and the last replies, when an Envoy shows four heads and never a body."""
    told: list[str] = []

    def log(event: str, *, level: str = "info", **fields: Any) -> None:
        told.append(f"{event}: {fields.get('why', '')}")

    router = Watching()
    router.tap.taken = taken
    shared = Door(router, Listener(), max_body_bytes=1 << 20, log=log)
    replies = b""
    for _ in range(4):
        session = Session(shared)
        session.receive(headers_message(protocol=wire.Protocol(wire.BUFFERED, wire.NONE)))
        replies = flat(session.receive(body_message(BODY)))
        if not session.done:
            head = {":status": "200", "content-type": "application/json"}
            session.receive(headers_message(head, phase=wire.RESPONSE_HEADERS))
            session.close()
    return told, replies


def test_an_envoy_that_shows_no_answers_is_found_out() -> None:
    """Without ``allow_mode_override`` it ignores that we ask for the body."""
    told, replies = answers_without_bodies("whole")
    assert sum("allow_mode_override" in line for line in told) == 3
    assert b"allow_mode_override" in replies, "the fourth is refused instead"


def test_clients_that_leave_streams_early_lock_nobody_out() -> None:
    told, replies = answers_without_bodies("stream")
    assert sum("allow_mode_override" in line for line in told) == 4
    assert b"allow_mode_override" not in replies


@pytest.mark.parametrize(
    ("setting", "caller", "header"),
    [
        ("", None, None),
        ("x-chosen", None, b"x-chosen"),
        ("", Caller(user="alice"), b"x-gateway-model-name"),
        ("x-chosen", Caller(user="alice"), b"x-chosen"),
    ],
)
def test_the_chosen_model_goes_on_for_policies_behind_us(
    setting: str, caller: Caller | None, header: bytes | None
) -> None:
    """A2-39, A2-40: in a header of the request, where somebody wants it."""

    class Router(ContentRouter):
        def handle(self, request: Request) -> Outcome:
            found = super().handle(request)
            assert isinstance(found, Forward)
            record = msgspec.structs.replace(found.record, caller=caller)
            return msgspec.structs.replace(found, record=record)

    shared = Door(Router(), Listener(), max_body_bytes=1 << 20, model_header=setting)
    session = Session(shared)
    session.receive(headers_message(protocol=FDS))
    said = flat(session.receive(body_message(BODY)))
    assert b"large-upstream" in said
    for name in (b"x-chosen", b"x-gateway-model-name"):
        assert (name in said) == (name == header)


def test_another_spelling_of_our_headers_is_ours_too() -> None:
    """A2-12: a server that reads ``_`` as ``-`` sees none of a client's."""
    session = Session(door())
    session.receive(headers_message({"x_maas_model_executed": "big", "x-maas-group": "root"}))
    said = flat(session.receive(body_message(BODY)))
    assert b"x_maas_model_executed" in said and b"x-maas-group" in said, "both are removed"
