"""Envoy's dynamic metadata, as far as a picker reads and writes it: ``google.protobuf.Struct``.

Field numbers are those of ``envoy.config.core.v3.Metadata`` and of protobuf's ``struct.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import pack
from typing import Final

from wayside.epp.headers import DESTINATION, SCORES, SERVED, SUBSET
from wayside.extproc import wire

LB: Final = b"envoy.lb"
SUBSET_HINT: Final = b"envoy.lb.subset_hint"

_CONTEXT: Final = 8
"""ProcessingRequest.metadata_context."""
_DYNAMIC: Final = 8
"""ProcessingResponse.dynamic_metadata."""
_MAX_NAMED: Final = 4096
"""Endpoints of a subset that are read; a pool of more is none that anybody runs."""


def subset(message: bytes) -> tuple[str, ...] | None:
    """The endpoints that may be chosen, as the data plane hints in a ProcessingRequest: ``ip``s
    or ``ip:port``s. ``None`` without a hint, empty for a hint that names nobody.

    A list of texts, one text with commas, and lists of such texts are understood; blanks around
    names do not count.
    """
    if SUBSET.encode() not in message:
        return None
    value = _find(message, SUBSET_HINT, SUBSET.encode())
    if value is None:
        return None
    names: list[str] = []
    for text in _texts(message, *value):
        names += [name for part in text.split(",") if (name := part.strip())]
        if len(names) >= _MAX_NAMED:
            break
    return tuple(names)


def served(message: bytes) -> str | None:
    """Where the data plane really sent the request; ``None`` where it does not say. ``""`` where
    it has a namespace ``envoy.lb`` without it."""
    if LB not in message:
        return None
    value = _find(message, LB, SERVED.encode())
    if value is not None:
        return "".join(_texts(message, *value))
    return "" if _namespace(message, LB) is not None else None


def chosen(destination: str, scores: Mapping[str, float] | None = None) -> bytes:
    """The field of a ProcessingResponse that names ``destination`` (``ip:port``, or several with
    commas) and, where asked for, every candidate's score."""
    entry = _entry(DESTINATION, wire.field(3, wire.octets(destination)))
    if scores is not None:
        numbers = b"".join(
            _entry(name, b"\x11" + pack("<d", score)) for name, score in scores.items()
        )
        entry += _entry(SCORES, wire.field(5, numbers))
    return wire.field(_DYNAMIC, wire.field(1, wire.field(1, LB) + _struct(entry)))


def _struct(fields: bytes) -> bytes:
    """The value (field 2 of a map's entry) that is a Value which is a Struct."""
    return wire.field(2, wire.field(5, fields))


def _entry(name: str, value: bytes) -> bytes:
    """One field of a Struct: its name and its Value."""
    return wire.field(1, wire.field(1, name.encode()) + wire.field(2, value))


Span = tuple[int, int]


def _find(data: bytes, namespace: bytes, key: bytes) -> Span | None:
    found = _namespace(data, namespace)
    return _member(data, *found, key) if found is not None else None


def _namespace(data: bytes, namespace: bytes) -> Span | None:
    """Where the Struct of ``namespace`` lies in the message's metadata_context."""
    for number, _, start, end in wire.fields(data, 0, len(data)):
        if number == _CONTEXT and start >= 0:
            found = _member(data, start, end, namespace)
            if found is not None:
                return found
    return None


def _member(data: bytes, start: int, end: int, key: bytes) -> Span | None:
    """Where the value of ``key`` lies in a message whose field 1 is a map from text; the last
    one counts, as protobuf has it."""
    found = None
    for number, _, begin, stop in wire.fields(data, start, end):
        if number != 1 or begin < 0:
            continue
        name, value = b"", (stop, stop)
        for inner, _, first, last in wire.fields(data, begin, stop):
            if inner == 1 and first >= 0:
                name = data[first:last]
            elif inner == 2 and first >= 0:
                value = (first, last)
        if name == key:
            found = value
    return found


def _texts(data: bytes, start: int, end: int, depth: int = 0) -> Iterator[str]:
    """Every text in a Value: itself, or those of its list."""
    for number, _, begin, stop in wire.fields(data, start, end):
        if number == 3 and begin >= 0:
            yield data[begin:stop].decode("utf-8", "replace")
        elif number == 6 and begin >= 0 and depth < 4:
            for inner, _, first, last in wire.fields(data, begin, stop):
                if inner == 1 and first >= 0:
                    yield from _texts(data, first, last, depth + 1)
