"""The few protobuf messages of ``envoy.service.ext_proc.v3`` that a router needs, by hand.

Field numbers are those of Envoy 1.40's ``external_processor.proto``. Unknown fields are skipped;
bytes that are not protobuf raise :class:`WireError`. Every reply is one gRPC message as a tuple
of byte strings to be sent one after the other, its five-byte length prefix first, so that a
large body is sent from where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

Message = tuple[bytes | memoryview, ...]
"""One length-prefixed gRPC message, in pieces."""

# The oneof of ProcessingRequest.
REQUEST_HEADERS: Final = 2
RESPONSE_HEADERS: Final = 3
REQUEST_BODY: Final = 4
RESPONSE_BODY: Final = 5
REQUEST_TRAILERS: Final = 6
RESPONSE_TRAILERS: Final = 7

# ProcessingMode.BodySendMode.
NONE: Final = 0
STREAMED: Final = 1
BUFFERED: Final = 2
BUFFERED_PARTIAL: Final = 3
FULL_DUPLEX_STREAMED: Final = 4

CHUNK: Final = 62_000
"""Bytes per StreamedBodyResponse; Envoy asks for at most 64 KiB a message."""


class WireError(ValueError):
    """The peer sent bytes that are not the message they should be."""


class Protocol(NamedTuple):
    """ProtocolConfiguration: what Envoy says about itself in a stream's first message."""

    request_body: int = NONE
    response_body: int = NONE
    early_body: bool = False
    """``send_body_without_waiting_for_header_response``."""


Part = tuple[int, int, int, Protocol | None, bool]
"""One ProcessingRequest: its phase, where that message starts and ends, what Envoy says about
itself, and whether it only observes. A plain tuple, because three are made per request."""


# --- reading -----------------------------------------------------------------------------------


def varint(data: bytes, pos: int) -> tuple[int, int]:
    """The number at ``pos`` and where it ends."""
    result = shift = 0
    try:
        while True:
            byte = data[pos]
            pos += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, pos
            shift += 7
            if shift > 63:
                raise WireError("a varint longer than ten bytes")
    except IndexError:
        raise WireError("the message ends inside a varint") from None


def fields(data: bytes, pos: int, end: int) -> Iterable[tuple[int, int, int, int]]:
    """``(number, value, start, end)`` of each field; ``value`` is 0 for anything but a varint."""
    while pos < end:
        tag, pos = varint(data, pos)
        kind = tag & 7
        value = 0
        start = pos
        if kind == 2:
            size, start = varint(data, pos)
            pos = start + size
        elif kind == 0:
            value, pos = varint(data, pos)
        elif kind == 1:
            pos += 8
        elif kind == 5:
            pos += 4
        else:
            raise WireError(f"wire type {kind} is not used by protobuf 3")
        if pos > end or not tag >> 3:
            raise WireError("a field ends beyond its message")
        yield tag >> 3, value, start if kind == 2 else -1, pos


def parse(data: bytes) -> Part:
    """Which phase a ProcessingRequest is about."""
    size = len(data)
    # Envoy writes the phase first, and what follows is the same few bytes again and again (an
    # empty metadata_context; the protocol_config of a filter): those are parsed once.
    if size > 2 and data[0] & 7 == 2 and 0x12 <= data[0] <= 0x3A:
        length = data[1]
        start = 2
        if length > 127:
            length, start = varint(data, 1)
        stop = start + length
        if stop <= size:
            tail = data[stop:]
            known = _TAILS.get(tail)
            if known is None:
                known = _parse(tail, 0)[3:]
                if len(_TAILS) < 256 and len(tail) < 192:  # with an address, too
                    _TAILS[tail] = known
            if not known[2]:
                return data[0] >> 3, start, stop, known[0], known[1]
    phase, begin, stop, protocol, observing, _ = _parse(data, 0)
    if not phase:
        raise WireError("a ProcessingRequest without a phase")
    return phase, begin, stop, protocol, observing


def _parse(data: bytes, pos: int) -> tuple[int, int, int, Protocol | None, bool, bool]:
    phase = begin = stop = 0
    protocol = None
    observing = False
    for number, value, start, end in fields(data, pos, len(data)):
        if start >= 0 and 2 <= number <= 7:
            phase, begin, stop = number, start, end
        elif number == 10:
            observing = value != 0
        elif number == 11 and start >= 0:
            found = {n: v for n, v, _, _ in fields(data, start, end)}
            protocol = Protocol(found.get(1, 0), found.get(2, 0), bool(found.get(3, 0)))
    return phase, begin, stop, protocol, observing, phase != 0


_TAILS: Final[dict[bytes, tuple[Protocol | None, bool, bool]]] = {b"": (None, False, False)}
"""What follows the phase: protocol_config, observability_mode, whether a phase follows again."""


_ADDRESS: Final = b"\x0a\x10upstream.address\x12"
"""The beginning of an entry of a google.protobuf.Struct, before the length of its Value."""


def upstream_address(data: bytes, end: int) -> str:
    """Which server Envoy had the answer from, ``ip:port``, where its filter was asked to say
    (``response_attributes``); attributes follow the phase, which ends at ``end``."""
    at = data.find(_ADDRESS, end)
    value = at + len(_ADDRESS) + 1
    if at < 0 or data[value : value + 1] != b"\x1a":
        return ""
    text = data[value + 2 : value + 2 + data[value + 1]] if value + 1 < len(data) else b""
    return text.decode("ascii", "replace")


def read_body(data: bytes, start: int, end: int) -> tuple[bytes, bool]:
    """HttpBody: the bytes, and whether they are the last."""
    pos = start
    body, last = b"", False
    while pos < end:
        tag = data[pos]
        if tag == 0x0A:
            size, pos = varint(data, pos + 1)
            if pos + size > end:
                raise WireError("a body ends beyond its message")
            body = data[pos : pos + size]
            pos += size
        elif tag == 0x10:
            value, pos = varint(data, pos + 1)
            last = value != 0
        else:
            _, _, _, pos = next(iter(fields(data, pos, end)))
    return body, last


def read_headers(data: bytes, start: int, end: int) -> tuple[dict[str, str], bool]:
    """HttpHeaders: names (lower case) to values, and whether no body follows.

    Values are Latin-1, as HTTP means them. Repeated headers are joined with ``", "``, cookies
    with ``"; "`` (RFC 9113 section 8.2.3).
    """
    text = data.decode("latin-1")  # sliced below: one conversion instead of two per header
    headers: dict[str, str] = {}
    ended = False
    for number, value, begin, stop in fields(data, start, end):
        if number == 1 and begin >= 0:
            _header_map(data, text, begin, stop, headers)
        elif number == 3:
            ended = value != 0
    return headers, ended


def _header_map(data: bytes, text: str, pos: int, end: int, headers: dict[str, str]) -> None:
    while pos < end:
        # HeaderMap.headers, each a HeaderValue {key = 1, value = 2, raw_value = 3}. Lengths
        # under 128 are read in place; anything unusual takes the general road.
        size = data[pos + 1] if pos + 1 < end else 128
        stop = pos + 2 + size
        if data[pos] != 0x0A or size > 127 or stop > end or size < 4 or data[pos + 2] != 0x0A:
            pos = _header_slowly(data, text, pos, end, headers)
            continue
        middle = pos + 4 + data[pos + 3]
        if (
            middle + 2 > stop
            or data[middle] not in (0x1A, 0x12)
            or middle + 2 + data[middle + 1] != stop
        ):
            pos = _header_slowly(data, text, pos, end, headers)
            continue
        name = text[pos + 4 : middle]
        if name in headers:
            _join(headers, name, text[middle + 2 : stop])
        else:
            headers[name] = text[middle + 2 : stop]
        pos = stop


def _header_slowly(data: bytes, text: str, pos: int, end: int, headers: dict[str, str]) -> int:
    number, _, start, stop = next(iter(fields(data, pos, end)))
    if number == 1 and start >= 0:
        name = value = raw = ""
        for inner, _, begin, close in fields(data, start, stop):
            if begin < 0:
                continue
            if inner == 1:
                name = text[begin:close]
            elif inner == 2:
                value = text[begin:close]
            elif inner == 3:
                raw = text[begin:close]
        _join(headers, name.lower(), raw or value)
    return stop


def _join(headers: dict[str, str], name: str, value: str) -> None:
    if name in headers:
        value = headers[name] + ("; " if name == "cookie" else ", ") + value
    headers[name] = value


# --- writing -----------------------------------------------------------------------------------


def number(value: int) -> bytes:
    """``value`` as a varint."""
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(n: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return number(n << 3 | 2) + number(len(payload)) + payload


def flag(n: int, value: int = 1) -> bytes:
    """A varint field."""
    return number(n << 3) + number(value)


def message(payload: bytes, tail: bytes | memoryview = b"") -> Message:
    """A gRPC message of ``payload`` followed by ``tail``, uncompressed."""
    size = len(payload) + len(tail)
    head = b"\x00" + size.to_bytes(4, "big") + payload
    return (head, tail) if tail else (head,)


def mutation(pairs: Iterable[tuple[str, str]], remove: Iterable[str] = ()) -> bytes:
    """HeaderMutation: each pair set, whether or not it was there; each name removed."""
    # OVERWRITE_IF_EXISTS_OR_ADD is 2. raw_value, as Envoy refuses value for bytes beyond ASCII.
    out = [
        field(
            1, field(1, field(1, name.encode("latin-1")) + field(3, octets(value))) + b"\x18\x02"
        )
        for name, value in pairs
    ]
    out += [field(2, name.encode("latin-1")) for name in remove]
    return b"".join(out)


def octets(value: str) -> bytes:
    """A header value as bytes: Latin-1 as it came, UTF-8 for what Latin-1 cannot say."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


CLEAR_ROUTE_CACHE: Final = flag(5)


def common(headers: bytes, *, clear: bool = True) -> bytes:
    """The fields of a CommonResponse: a HeaderMutation, and whether the route is chosen anew."""
    return (field(2, headers) if headers else b"") + (CLEAR_ROUTE_CACHE if clear else b"")


def traced(parent: str) -> bytes:
    """Further fields of a CommonResponse that set ``traceparent``. It is another on every
    request, so it is no part of what is encoded once; parsers join the two mutations."""
    return field(2, mutation((("traceparent", parent),))) if parent else b""


def answer(phase: int, response: bytes, override: bytes = b"") -> Message:
    """ProcessingResponse for ``phase`` (the request's number) with a CommonResponse."""
    return message(field(_REPLY[phase], field(1, response) if response else b"") + override)


def body_answer(response: bytes, body: bytes, phase: int = REQUEST_BODY) -> Message:
    """ProcessingResponse for a body's ``phase`` that replaces it; ``body`` is not copied."""
    size = len(body)
    mutated = number(1 << 3 | 2) + number(size)  # BodyMutation.body
    inner = number(3 << 3 | 2) + number(len(mutated) + size) + mutated
    outer = number(1 << 3 | 2) + number(len(response) + len(inner) + size) + response + inner
    head = number(_REPLY[phase] << 3 | 2) + number(len(outer) + size)
    return message(head + outer, memoryview(body))


def stream_answer(phase: int, body: bytes | memoryview, last: bool) -> Message:
    """ProcessingResponse with one StreamedBodyResponse for ``phase``; at most CHUNK bytes."""
    size = len(body)
    # end_of_stream is written before body: protobuf does not mind, and the body stays last.
    inner = (b"\x10\x01" if last else b"") + (b"\x0a" + number(size) if size else b"")
    head = bytes((_REPLY[phase] << 3 | 2,))
    for tag in (0x1A, 0x1A, 0x0A):  # streamed_response, body_mutation, response
        inner = bytes((tag,)) + number(len(inner) + size) + inner
    return message(head + number(len(inner) + size) + inner, body)


def stream_answers(phase: int, body: bytes, *, last: bool = True) -> list[Message]:
    """``body`` as StreamedBodyResponses of at most :data:`CHUNK` bytes."""
    if len(body) <= CHUNK:
        return [stream_answer(phase, body, last)]
    view = memoryview(body)
    cuts = range(0, len(body), CHUNK)
    return [stream_answer(phase, view[i : i + CHUNK], last and i == cuts[-1]) for i in cuts]


CLEAR_BODY: Final = field(3, flag(2))
"""CommonResponse.body_mutation.clear_body."""


def trailers_answer(phase: int) -> Message:
    """ProcessingResponse that leaves the trailers alone."""
    return message(field(_REPLY[phase], b""))


def immediate(status: int, headers: bytes, body: bytes, details: str) -> Message:
    """ProcessingResponse.immediate_response: answer the client here."""
    inner = field(1, flag(1, status))
    if headers:
        inner += field(2, headers)
    inner += field(3, body) + field(5, details.encode())
    return message(field(7, inner))


def mode_override(*, request_body: int, response_body: int = NONE) -> bytes:
    """ProcessingResponse.mode_override; the header and trailer modes stay as configured."""
    mode = (flag(3, request_body) if request_body else b"") + (
        flag(4, response_body) if response_body else b""
    )
    return field(9, mode)


_REPLY: Final = {
    REQUEST_HEADERS: 1,
    RESPONSE_HEADERS: 2,
    REQUEST_BODY: 3,
    RESPONSE_BODY: 4,
    REQUEST_TRAILERS: 5,
    RESPONSE_TRAILERS: 6,
}
"""ProcessingResponse numbers its oneof differently."""
