"""Follow chunked framing (RFC 9112 section 7.1) without changing it, to know where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

END: Final = b"0\r\n\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]{0,250})?\r\n")
_BEGUN_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t]*;?|[ \t]*;[\t\x20-\x7e\x80-\xff]{0,250})\r?")
_TRAILER = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_LINE_MAX = 300
_TRAILERS_MAX = 8192

_AT_SIZE, _IN_DATA, _AT_END_OF_DATA, _IN_TRAILERS, _ENDED = range(5)


class BadChunk(ValueError):
    """Framing that cannot be followed."""


class Chunks:
    """Fed pieces as they arrive, split anywhere.

    ``announced`` is the bytes of data so far, those still to come in this chunk included.
    ``data`` collects them when asked to.
    """

    __slots__ = ("_need", "_partial", "_state", "_trailed", "announced", "data")

    def __init__(self, *, collect: bool = False) -> None:
        self.data: bytearray | None = bytearray() if collect else None
        self.announced = 0
        self._state = _AT_SIZE
        self._need = 0
        self._partial = b""
        self._trailed = 0

    @property
    def at_boundary(self) -> bool:
        """Whether another chunk could begin here."""
        return self._state == _AT_SIZE and not self._partial

    def feed(self, piece: bytes, at: int = 0) -> tuple[int, int]:
        """Follow ``piece`` from ``at``; returns ``(good, end)``.

        Up to ``good`` the bytes are chunks, the last-chunk line included; what follows is
        trailers. ``end`` is where the message ends, -1 while it does not. Raises
        :class:`BadChunk`.
        """
        size = len(piece)
        data = self.data
        if data is None and self._state == _AT_SIZE and not self._partial:
            at = self._skip_whole_chunks(piece, at)
        while at < size:
            state = self._state
            if state == _AT_SIZE:
                # Nearly always a whole line is here, and often the chunk after it.
                match = None if self._partial else _SIZE.match(piece, at)
                if match is None:
                    at = self._split_size_line(piece, at)
                else:
                    at = match.end()
                    self._size_is(match[1])
            elif state == _IN_DATA:
                stop = at + self._need
                if stop > size:
                    if data is not None:
                        data += piece[at:]
                    self._need = stop - size
                    return size, -1
                if data is not None:
                    data += piece[at:stop]
                if piece[stop : stop + 2] == b"\r\n":
                    self._state = _AT_SIZE
                    at = stop + 2
                else:
                    self._state = _AT_END_OF_DATA
                    at = stop
            elif state == _AT_END_OF_DATA:
                at = self._end_of_data(piece, at)
            else:
                return at, self._trailers(piece, at)
        return size, -1

    def _skip_whole_chunks(self, piece: bytes, at: int) -> int:
        """The common case of a stream, and nothing else: chunks that are here from end to end."""
        while (match := _SIZE.match(piece, at)) is not None:
            need = int(match[1], 16)
            stop = match.end() + need
            if not need or piece[stop : stop + 2] != b"\r\n":
                break
            self.announced += need
            at = stop + 2
        return at

    def _size_is(self, digits: bytes) -> None:
        self._need = need = int(digits, 16)
        self.announced += need
        self._state = _IN_DATA if need else _IN_TRAILERS

    def _split_size_line(self, piece: bytes, at: int) -> int:
        """Read a size whose line was or is cut by the end of a piece; returns where it ends."""
        held = len(self._partial)
        line = self._partial + piece[at : at + _LINE_MAX]
        match = _SIZE.match(line)
        if match is None:
            if len(line) >= _LINE_MAX or not _BEGUN_SIZE.fullmatch(line):
                raise BadChunk("a chunk's size is malformed")
            self._partial = line
            return at + len(line) - held
        self._partial = b""
        self._size_is(match[1])
        return at + match.end() - held

    def _end_of_data(self, piece: bytes, at: int) -> int:
        wanted = 2 - len(self._partial)
        self._partial += piece[at : at + wanted]
        if not b"\r\n".startswith(self._partial):
            raise BadChunk("a chunk is longer than its size")
        if len(self._partial) == 2:
            self._partial = b""
            self._state = _AT_SIZE
        return min(at + wanted, len(piece))

    def _trailers(self, piece: bytes, at: int) -> int:
        """Skip trailer fields, which are not passed on. Returns where they end, or -1."""
        while True:
            stop = piece.find(b"\n", at)
            part = piece[at:] if stop < 0 else piece[at : stop + 1]
            self._trailed += len(part)
            if self._trailed > _TRAILERS_MAX:
                raise BadChunk("the trailers are too long")
            self._partial += part
            if stop < 0:
                return -1
            line, self._partial = self._partial, b""
            if not _TRAILER.fullmatch(line):
                raise BadChunk("a trailer is malformed")
            at = stop + 1
            if line == b"\r\n":
                self._state = _ENDED
                return at


def whole_chunks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Of bytes that begin where a chunk does: where each chunk begins, where its data does, and
    where it ends. The chunk that ends a body is none of them. ``ends`` is -1, once and last, where
    the bytes are not whole chunks to their end."""
    at, size = 0, len(data)
    while at < size:
        match = _SIZE.match(data, at)
        if match is None:
            break
        body = match.end()
        need = int(match[1], 16)
        if not need:
            if data[at:] == END:
                return
            break
        ends = body + need + 2
        if data[ends - 2 : ends] != b"\r\n" or ends > size:
            break
        yield at, body, ends
        at = ends
    if at < size:
        yield at, at, -1
