"""A stream without the usage that only we asked for, in the chunks it comes in.

Nearly every piece that is read from a model's server is some whole chunks with some whole events
and no usage: those go on as they are. What is anything else is taken apart, and put in new chunks.
"""

from __future__ import annotations

from wayside.dialects.trim import Trimmer, said_at
from wayside.gateway.chunks import Chunks, whole_chunks
from wayside.vocab.outcome import Trim

_ENDS = (b"\n\n\r\n", b"\r\n\r\n\r\n")
"""How a chunk ends whose last bytes end an event."""


class FramedTrimmer:
    """What it passes on so far is always whole chunks, which end where an event ends."""

    __slots__ = ("_chunks", "_end", "_trimmer")

    def __init__(self, trim: Trim) -> None:
        self._trimmer = Trimmer(trim)
        self._end = trim == "end"
        self._chunks: Chunks | None = None
        """Follows what is taken apart."""

    def feed(self, data: bytes, *, boundary: bool) -> bytes:
        """What of the body, framing and all, may go on now that ``data`` has come.

        ``boundary``: another chunk would begin after it. Its framing was checked before.
        """
        chunks = self._chunks
        if chunks is None:
            at = said_at(data)
            if at < 0 and boundary and data.endswith(_ENDS):
                return data
            if at >= 0 and self._end and (rest := _without_chunk(data, at)) is not None:
                return rest
            self._chunks = chunks = Chunks(collect=True)
        held = chunks.data
        assert held is not None
        _, end = chunks.feed(data)
        plain = self._trimmer.feed(bytes(held))
        held.clear()
        if end >= 0:
            plain += self._trimmer.rest()
        elif chunks.at_boundary and not self._trimmer.holds:
            self._chunks = None
        out = b"%x\r\n%b\r\n" % (len(plain), plain) if plain else b""
        return out + b"0\r\n\r\n" if end >= 0 else out


def _without_chunk(data: bytes, key: int) -> bytes | None:
    """``data`` without the chunk around ``key``, where that is the usage of a stream and nothing
    else, and all chunks are whole and end where events do; ``None`` where anything is otherwise.
    """
    found: tuple[int, int] | None = None
    for begins, body, ends in whole_chunks(data):
        if ends < 0:
            return None
        if not data.endswith(b"\n\n", body, ends - 2) and body != ends - 2:
            return None
        if body <= key < ends:
            event = data[body : ends - 2]
            alone = b'"choices":[]' in event or b'"choices": []' in event
            if not alone or event.find(b"\n\n") != len(event) - 2:
                return None
            found = begins, ends
        elif said_at(data[body:ends]) >= 0:
            return None
    return None if found is None else data[: found[0]] + data[found[1] :]
