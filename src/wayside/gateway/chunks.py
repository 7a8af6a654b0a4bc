"""Follow chunked framing (RFC 9112 section 7.1) without changing it, to know where it ends."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]{0,250})?\r\n")
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
        while at < size:
            state = self._state
            if state == _AT_SIZE:
                at = self._size_line(piece, at)
            elif state == _IN_DATA:
                stop = at + self._need
                if stop > size:
                    if data is not None:
                        data += piece[at:]
                    self._need = stop - size
                    return size, -1
                if data is not None:
                    data += piece[at:stop]
                if piece[stop : stop + 2] == b"\r\n":  # the common case, in one step
                    self._state = _AT_SIZE
                    at = stop + 2
                else:
                    self._state = _AT_END_OF_DATA
                    at = stop
            elif state == _AT_END_OF_DATA:
                self._partial += piece[at : at + 2 - len(self._partial)]
                if not b"\r\n".startswith(self._partial):
                    raise BadChunk("a chunk is longer than its size")
                if len(self._partial) < 2:
                    return size, -1
                at += 2 if piece[at : at + 2] == b"\r\n" else 1
                self._partial = b""
                self._state = _AT_SIZE
            else:
                return at, self._trailers(piece, at)
        return size, -1

    def _size_line(self, piece: bytes, at: int) -> int:
        """Read a size, perhaps begun in an earlier piece; returns where its line ends."""
        held = len(self._partial)
        if held:
            piece = self._partial + piece[at : at + _LINE_MAX]
            shift, at = at - held, 0
        else:
            shift = 0
        match = _SIZE.match(piece, at)
        if match is None:
            rest = piece[at : at + _LINE_MAX]
            if b"\n" in rest or len(rest) == _LINE_MAX or not _could_begin(rest):
                raise BadChunk("a chunk's size is malformed")
            self._partial = rest
            return shift + at + len(rest)
        self._partial = b""
        self._need = int(match[1], 16)
        self.announced += self._need
        self._state = _IN_DATA if self._need else _IN_TRAILERS
        return shift + match.end()

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
            if not line.endswith(b"\r\n") or b"\0" in line or b"\r" in line[:-2]:
                raise BadChunk("a trailer is malformed")
            at = stop + 1
            if line == b"\r\n":
                self._state = _ENDED
                return at


def _could_begin(text: bytes) -> bool:
    return not text or text[:1] in b"0123456789abcdefABCDEF"
