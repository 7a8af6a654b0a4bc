"""An answer on its way from one API's shape into another's."""

from __future__ import annotations

from typing import Protocol


class Stage(Protocol):
    """Translates one answer; made for one request.

    ``whole`` gets an answer that does not stream, successes and errors alike. Of a stream
    ``feed`` gets the bytes as they come, cut anywhere, and gives what can be said by now;
    ``finish`` gives the rest when the stream has ended as it should. A stream that was broken off
    gets no ``finish``. ``content_type`` is what the translated body is.
    """

    def whole(self, status: int, body: bytes) -> bytes: ...
    def feed(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
