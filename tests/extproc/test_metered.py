"""Answers that Envoy shows so that they can be counted, and Envoys that show none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wayside.extproc import wire
from wayside.extproc.session import Door, Session
from wayside.vocab.outcome import Forward, Outcome, Request

from .frames import body_message, headers_message
from .stand_ins import ContentRouter, Listener
from .test_session import BODY, ends, flat

BUFFERED = wire.Protocol(wire.BUFFERED, wire.NONE)
DUPLEX = wire.Protocol(wire.FULL_DUPLEX_STREAMED, wire.FULL_DUPLEX_STREAMED)
STREAM = {":status": "200", "content-type": "text/event-stream"}
WHOLE = {":status": "200", "content-type": "application/json"}
WORD = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


class Trimming(ContentRouter):
    """Asked for usage that the client did not ask for."""

    def _decide(self, request: Request) -> Outcome:
        outcome = super()._decide(request)
        assert isinstance(outcome, Forward)
        return msgspec.structs.replace(outcome, trim="end")


def shared(log: Any = None, **more: Any) -> Door:
    said = {"log": log} if log else {}
    return Door(Trimming(), Listener(), max_body_bytes=1 << 20, **said, **more)


def begun(door: Door, head: dict[str, str], protocol: wire.Protocol = BUFFERED) -> Session:
    session = Session(door)
    session.receive(headers_message(protocol=protocol))
    session.receive(body_message(BODY))
    session.receive(headers_message(head, phase=wire.RESPONSE_HEADERS))
    return session


def shown(session: Session, body: bytes, *, last: bool = False) -> bytes:
    return flat(session.receive(body_message(body, last=last, phase=wire.RESPONSE_BODY)))


@pytest.mark.parametrize("protocol", [BUFFERED, DUPLEX])
def test_a_stream_goes_on_piece_by_piece_without_its_usage(protocol: wire.Protocol) -> None:
    door = shared()
    session = begun(door, STREAM, protocol)
    first, second = shown(session, WORD), shown(session, USAGE + DONE, last=True)
    assert b"usage" not in second and DONE in second
    assert (WORD in first) is (protocol is DUPLEX), "what is not changed is not said again"
    session.close()
    assert ends(door) == [(200, "")]
    (exchange,) = door.telemetry.exchanges  # type: ignore[attr-defined]
    assert exchange.meter.took(broken=False).total == 6


def test_an_answer_with_a_length_keeps_every_byte() -> None:
    session = begun(shared(), {**STREAM, "content-length": "999"})
    assert shown(session, USAGE + DONE) == shown(session, WORD), "both are left alone"


def test_an_answer_that_is_not_shown_to_its_end_says_so() -> None:
    for head, body in ((STREAM, WORD), (WHOLE, b'{"choices":[{"mess')):
        door = shared()
        session = begun(door, head)
        shown(session, body)
        session.close()
        assert ends(door) == [(200, "answer_unfinished")]


def test_an_end_that_envoy_does_not_tell_is_seen() -> None:
    """Trailers that are not sent to us take the end with them."""
    for head, body in ((STREAM, WORD + DONE), (WHOLE, b'{"usage":{"prompt_tokens":5}}')):
        door = shared()
        session = begun(door, head)
        shown(session, body)
        session.close()
        assert ends(door) == [(200, "")]


def test_errors_are_not_asked_for() -> None:
    door = shared()
    session = begun(door, {**WHOLE, ":status": "503"})
    session.close()
    assert door.counts and ends(door) == [(503, "")]


def test_an_envoy_that_shows_nothing_is_asked_no_more_and_that_is_said_once() -> None:
    told: list[str] = []

    def log(event: str, *, level: str = "info", **fields: Any) -> None:
        told.append(f"{event}: {fields.get('why', '')}")

    door = shared(log)
    router = door.runtime
    assert isinstance(router, Trimming)
    for _ in range(20):
        begun(door, WHOLE).close()
    assert [request.metered for request in router.requests] == [True] * 16 + [False] * 4
    assert len(told) == 1 and "allow_mode_override" in told[0] and "count_usage" in told[0]


def test_one_that_has_shown_an_answer_is_not_given_up() -> None:
    """Clients that leave before their answers do not stop the counting."""
    door = shared()
    shown(begun(door, WHOLE), b"{}", last=True)
    for _ in range(40):
        begun(door, WHOLE).close()
    assert door.counts


def test_nothing_is_asked_for_where_counting_is_off() -> None:
    door = shared(count_usage=False)
    session = Session(door)
    session.receive(headers_message(protocol=BUFFERED))
    session.receive(body_message(BODY))
    head = session.receive(headers_message(WHOLE, phase=wire.RESPONSE_HEADERS))
    asked = wire.mode_override(request_body=wire.BUFFERED, response_body=wire.STREAMED)
    assert asked not in flat(head)
