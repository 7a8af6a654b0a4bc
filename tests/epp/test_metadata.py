"""Envoy's metadata against the protobuf library's own reading and writing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wayside.epp import metadata
from wayside.epp.headers import SUBSET
from wayside.extproc import wire

from . import proto

texts = st.text("0123456789.:, abc", max_size=30)
values = st.recursive(
    texts | st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def named(value: Any, depth: int = 0) -> list[str]:
    """What a value names, as the protocol has it; lists in lists to a depth that nobody uses."""
    if isinstance(value, str):
        return [name for part in value.split(",") if (name := part.strip())]
    if isinstance(value, list) and depth < 4:
        return [name for each in value for name in named(each, depth + 1)]
    return []


@given(values, st.dictionaries(texts, values, max_size=3), st.sampled_from(["", "x", "envoy.lb"]))
def test_a_subset_is_read_as_it_was_written(
    value: Any, beside: dict[str, Any], other: str
) -> None:
    hint = {**beside, SUBSET: value}
    message = proto.request_headers(
        {"a": "b"}, metadata={other: beside, "envoy.lb.subset_hint": hint, "y": {SUBSET: "z"}}
    )
    assert metadata.subset(message) == tuple(named(value))


@given(st.binary(max_size=200))
def test_other_bytes_are_no_subset_or_no_message(noise: bytes) -> None:
    data = noise + SUBSET.encode() + noise
    try:
        found = metadata.subset(data)
    except wire.WireError:
        return
    assert found is None or isinstance(found, tuple)


@given(
    st.text("0123456789.:,", min_size=1, max_size=200),
    st.none() | st.dictionaries(texts, st.floats(0, 10), max_size=5),
)
def test_a_destination_is_written_as_it_is_read(
    where: str, scores: dict[str, float] | None
) -> None:
    reply = proto.reply(metadata.chosen(where, scores))
    told = proto.metadata(reply)["envoy.lb"]
    assert told["x-gateway-destination-endpoint"] == where
    assert told.get("x-gateway-destination-endpoint-scores") == scores
