"""Messages by hand, against the protobuf library's own reading and writing of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.extproc import wire

from .frames import body_message, headers_message

descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")

# Field numbers of envoy 1.40's external_processor.proto, base.proto and http_status.proto.
_T = descriptor_pb2.FieldDescriptorProto
MESSAGES: dict[str, list[tuple[int, str, Any, bool]]] = {
    "Header": [
        (1, "key", "string", False),
        (2, "value", "string", False),
        (3, "raw", "bytes", False),
    ],
    "Map": [(1, "headers", "Header", True)],
    "Option": [(1, "header", "Header", False), (3, "action", "int32", False)],
    "Mutation": [(1, "set", "Option", True), (2, "remove", "string", True)],
    "Streamed": [(1, "body", "bytes", False), (2, "last", "bool", False)],
    "Body": [
        (1, "body", "bytes", False),
        (2, "clear", "bool", False),
        (3, "streamed", "Streamed", False),
    ],
    "Common": [
        (1, "status", "int32", False),
        (2, "headers", "Mutation", False),
        (3, "body", "Body", False),
        (5, "clear", "bool", False),
    ],
    "Response": [(1, "response", "Common", False)],
    "Status": [(1, "code", "int32", False)],
    "Immediate": [
        (1, "status", "Status", False),
        (2, "headers", "Mutation", False),
        (3, "body", "bytes", False),
        (5, "details", "string", False),
    ],
    "Mode": [(n, f"m{n}", "int32", False) for n in range(1, 7)],
    "Reply": [
        (1, "request_headers", "Response", False),
        (2, "response_headers", "Response", False),
        (3, "request_body", "Response", False),
        (4, "response_body", "Response", False),
        (5, "request_trailers", "Mutation", False),
        (6, "response_trailers", "Mutation", False),
        (7, "immediate", "Immediate", False),
        (9, "mode", "Mode", False),
    ],
}


def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="w.proto", package="w", syntax="proto3")
    kinds = {"string": _T.TYPE_STRING, "bytes": _T.TYPE_BYTES}
    kinds |= {"int32": _T.TYPE_INT32, "bool": _T.TYPE_BOOL}
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            label = _T.LABEL_REPEATED if repeated else _T.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            added.type = kinds.get(kind, _T.TYPE_MESSAGE)
            if kind not in kinds:
                added.type_name = f".w.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"w.{name}")) for name in MESSAGES}


CLASSES = _classes()
latin = st.text(st.characters(max_codepoint=255), max_size=200)
names = st.text("abcdefgh-", min_size=1, max_size=20)
pairs = st.lists(st.tuples(names, latin), max_size=8, unique_by=lambda pair: pair[0])


def reply(message: wire.Message) -> Any:
    whole = b"".join(message)
    assert whole[0] == 0 and int.from_bytes(whole[1:5], "big") == len(whole) - 5
    return CLASSES["Reply"].FromString(whole[5:])


def _said(mutation: Any) -> tuple[list[tuple[str, str]], list[str]]:
    assert all(option.action == 2 for option in mutation.set)
    found = [(o.header.key, o.header.raw.decode("latin-1")) for o in mutation.set]
    return found, list(mutation.remove)


@given(pairs, st.lists(names), st.binary(max_size=300))
def test_replies_say_what_was_meant(
    set_pairs: list[tuple[str, str]], remove: list[str], body: bytes
) -> None:
    common = wire.common(wire.mutation(set_pairs, remove))
    got = reply(wire.answer(wire.REQUEST_HEADERS, common)).request_headers.response
    assert _said(got.headers) == (set_pairs, remove) and got.clear
    got = reply(wire.body_answer(common, body)).request_body.response
    assert _said(got.headers) == (set_pairs, remove) and got.clear and got.body.body == body
    got = reply(wire.immediate(429, wire.mutation(set_pairs), body, "why")).immediate
    assert (got.status.code, got.body, got.details) == (429, body, "why")
    assert _said(got.headers) == (set_pairs, [])


@given(st.integers(0, 3), st.integers(-2, 2), st.booleans())
def test_streamed_answers_are_whole_in_order_and_small(chunks: int, more: int, last: bool) -> None:
    body = bytes(range(256)) * ((chunks * wire.CHUNK) // 256) + b"x" * max(0, more)
    said = [
        reply(m).request_body.response.body.streamed
        for m in wire.stream_answers(wire.REQUEST_BODY, body, last=last)
    ]
    assert b"".join(s.body for s in said) == body
    assert all(len(s.body) <= wire.CHUNK for s in said)
    assert [s.last for s in said] == [False] * (len(said) - 1) + [last]


@given(pairs, st.booleans())
def test_headers_are_read_as_they_were_written(said: list[tuple[str, str]], ended: bool) -> None:
    message = headers_message(dict(said), ended=ended, protocol=wire.Protocol(4, 1, True))
    phase, start, end, protocol, observing = wire.parse(message)
    assert (phase, protocol, observing) == (2, wire.Protocol(4, 1, True), False)
    assert wire.read_headers(message, start, end) == (dict(said), ended)


@given(st.binary(max_size=400), st.booleans())
def test_bodies_are_read_as_they_were_written(body: bytes, last: bool) -> None:
    message = body_message(body, last=last)
    _, start, end, _, _ = wire.parse(message)
    assert wire.read_body(message, start, end) == (body, last)


@given(st.binary(max_size=120))
def test_anything_else_is_a_wire_error(data: bytes) -> None:
    for prefix in (b"", b"\x12", b"\x22\x04", b"\x12\x05\x0a\x03\x0a\x01"):
        message = prefix + data
        try:
            _, start, end, _, _ = wire.parse(message)
            wire.read_headers(message, start, end)
            wire.read_body(message, start, end)
        except wire.WireError:
            continue


def test_repeated_headers_are_joined_and_plain_values_are_read() -> None:
    entry = wire.field(1, wire.field(1, b"A") + wire.field(2, b"1"))
    entry += wire.field(1, wire.field(1, b"a") + wire.field(3, b"2"))
    entry += wire.field(1, wire.field(1, b"cookie") + wire.field(3, b"c=1")) * 2
    message = wire.field(2, wire.field(1, entry))
    _, start, end, _, _ = wire.parse(message)
    headers, ended = wire.read_headers(message, start, end)
    assert headers == {"a": "1, 2", "cookie": "c=1; c=1"} or headers == {
        "A": "1",
        "a": "2",
        "cookie": "c=1; c=1",
    }
    assert not ended


def test_the_last_phase_wins_as_protobuf_has_it() -> None:
    twice = wire.field(2, b"") + body_message(b"x")
    assert wire.parse(twice)[0] == wire.REQUEST_BODY
