"""Inputs for hypothesis: seeds, with pieces cut out, put in, doubled and swapped."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.targets import seeds, words


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    """Bytes for the target ``name``, near its corpus."""
    data = draw(st.sampled_from([b"\0\0", *seeds(name)]))
    piece = st.one_of(
        st.sampled_from(words(name)),
        st.binary(max_size=8),
        st.sampled_from([b"\0\0", *seeds(name)]),
    )
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, min(40, len(data) - at)))
        data = data[:at] + draw(piece) + data[at + gone :]
    return data
