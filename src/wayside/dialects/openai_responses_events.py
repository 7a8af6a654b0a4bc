"""Server-sent events taken apart, wherever their bytes were cut.

Source: the HTML standard, section 9.2.6, as far as chat streams use it: ``data`` lines, one event
ending with an empty line, comments skipped or kept aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wayside.dialects.stage import Unreadable

MAX_EVENT = 4 << 20
"""Bytes of one event that are held."""
_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\n\r\n|\r\n\n|\r\r")


class Splitter:
    """Gives the data of every event once all of it has come.

    With ``comments``, blocks of nothing but comments are collected there, for those who take them
    out again.
    """

    __slots__ = ("_held", "_searched", "_started", "comments")

    def __init__(self, comments: list[bytes] | None = None) -> None:
        self.comments = comments
        self._held = bytearray()
        self._searched = 0
        """Bytes of what is held in which no event ends."""
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that end in ``chunk``. Raises :class:`Unreadable`."""
        self._held += chunk
        if not self._started and len(self._held) >= 3:
            self._started = True
            if self._held[:3] == b"\xef\xbb\xbf":
                del self._held[:3]
        at, search = 0, self._searched
        while found := _BOUNDARY.search(self._held, search):
            if found[0].endswith(b"\r") and found.end() == len(self._held):
                break  # the next byte may be the rest of a line end
            raw = bytes(self._held[at : found.end()])
            data = _data(raw)
            at = search = found.end()
            if data:
                yield data
            elif self.comments is not None and raw.startswith(b":"):
                self.comments.append(raw)
        del self._held[:at]
        self._searched = max(0, len(self._held) - 3)
        if len(self._held) > MAX_EVENT:
            raise Unreadable("an event is too long")

    def finish(self) -> Iterator[bytes]:
        """The data of an event that the end of the stream ends."""
        data = _data(bytes(self._held))
        self._held.clear()
        if data:
            yield data


def _data(raw: bytes) -> bytes:
    """The data of one event, its lines joined."""
    lines = [line for line in raw.splitlines() if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
