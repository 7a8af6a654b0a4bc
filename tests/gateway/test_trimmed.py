"""Streams lose usage that nobody asked for without losing their framing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.gateway.chunks import Chunks
from wayside.gateway.trimmed import FramedTrimmer

WORD = b'data: {"choices":[{"delta":{"content":"w"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = WORD * 3 + USAGE + DONE


def framed(body: bytes, cuts: list[int]) -> bytes:
    """``body`` in chunks that end at ``cuts``."""
    edges = sorted({0, *cuts, len(body)})
    pieces = [body[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def passed(raw: bytes, reads: list[int]) -> tuple[bytes, list[bytes]]:
    """The data that a client takes from ``raw``, read in pieces, and what was written."""
    source, trimmer, client = Chunks(), FramedTrimmer("end"), Chunks(collect=True)
    written: list[bytes] = []
    edges = sorted({0, *reads, len(raw)})
    ended = -1
    for a, b in itertools.pairwise(edges):
        source.feed(raw[a:b])
        out = trimmer.feed(raw[a:b], boundary=source.at_boundary)
        written.append(out)
        assert ended < 0
        _, ended = client.feed(out)
        assert client.at_boundary or ended >= 0, "another chunk can be put after each write"
    assert ended >= 0 and client.data is not None
    return bytes(client.data), written


@given(
    st.lists(st.integers(1, len(STREAM)), max_size=8), st.lists(st.integers(1, 600), max_size=8)
)
def test_wherever_chunks_and_reads_end(cuts: list[int], reads: list[int]) -> None:
    raw = framed(STREAM, cuts)
    found, _ = passed(raw, [at for at in reads if at < len(raw)])
    assert found == WORD * 3 + DONE


def test_whole_events_in_whole_chunks_go_on_as_they_came() -> None:
    trimmer = FramedTrimmer("end")
    for event in (WORD, WORD.replace(b',"usage":null', b"")):
        piece = b"%x\r\n%b\r\n" % (len(event), event) * 3
        assert trimmer.feed(piece, boundary=True) is piece
    usage = b"%x\r\n%b\r\n" % (len(USAGE), USAGE)
    assert trimmer.feed(piece + usage + b"0\r\n\r\n", boundary=False) == piece + b"0\r\n\r\n"


def test_what_looks_like_a_chunk_inside_of_one_is_left_in_its_place() -> None:
    """A server that writes framing into its events must not break that of the answer."""
    inner = b"%x\r\n%b\r\n" % (len(USAGE), USAGE)
    body = WORD + b": " + inner + b"\n\n" + WORD + USAGE + DONE
    raw = framed(body, [])
    found, _ = passed(raw, [])
    assert found.count(WORD) == 2 and found.endswith(DONE) and USAGE not in found


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n"])
def test_either_line_end_will_do(ends: bytes) -> None:
    body = STREAM.replace(b"\n\n", ends)
    raw = framed(body, [len(WORD)])
    found, _ = passed(raw, [40, 90])
    assert found == (WORD * 3 + DONE).replace(b"\n\n", ends)


def test_an_event_that_never_ends_is_not_lost() -> None:
    raw = framed(WORD + b"data: half", [])
    assert passed(raw, [30])[0] == WORD + b"data: half"
