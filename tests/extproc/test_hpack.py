"""Header blocks against the ``hpack`` library, and against anything."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from wayside.extproc.hpack import STATIC, Decoder, HpackError

names = st.sampled_from([name for name, _ in STATIC] + [b"x-a", b"x-b"]) | st.binary(max_size=20)
headers = st.lists(st.tuples(names, st.binary(max_size=60)), max_size=12)


@given(st.lists(st.tuples(headers, st.booleans(), st.sampled_from([None, 0, 100, 4096]))))
def test_it_reads_what_the_library_writes(
    blocks: list[tuple[list[tuple[bytes, bytes]], bool, int | None]],
) -> None:
    encoder, decoder = Encoder(), Decoder()
    for pairs, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        assert decoder.decode(encoder.encode(pairs, huffman=huffman)) == tuple(pairs)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_anything_else_is_an_hpack_error(blocks: list[bytes]) -> None:
    decoder = Decoder()
    for block in blocks:
        try:
            decoder.decode(block)
        except HpackError:
            return


def test_a_block_that_refers_to_the_table_is_not_remembered() -> None:
    decoder = Decoder()
    assert decoder.decode(b"\x40\x01a\x01b") == ((b"a", b"b"),)
    assert decoder.decode(b"\xbe") == ((b"a", b"b"),)
    assert decoder.decode(b"\x40\x01c\x01d") == ((b"c", b"d"),)
    assert decoder.decode(b"\xbe") == ((b"c", b"d"),)
    with pytest.raises(HpackError):
        decoder.decode(b"\x20\xbe")
