"""An answer on its way from one API's shape into another's.

OpenAI's chat completions stand in the middle: an answer of another API is first told in their
shape, then filtered and kept, then told in the shape that the client speaks. A request goes the
other way. What one API can say and the other cannot is a :class:`Loss`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

MAX_WARNINGS = 4096
"""Bytes of one header of losses (spec: vSR 1.8)."""


class Stage(Protocol):
    """Translates one answer; made for one request.

    ``whole`` gets an answer that does not stream, successes and errors alike; what it gives is
    JSON. Of a stream ``feed`` gets the bytes as they come, cut anywhere, and gives what can be
    said by now; ``finish`` gives the rest when the stream has ended as it should. A stream that
    was broken off gets no ``finish``. They raise :class:`Unreadable` for a success that is not
    what its API says; an error is told whatever its body is, and so is an error in a stream.
    """

    def whole(self, status: int, body: bytes) -> bytes: ...
    def feed(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class ServerStage(Stage, Protocol):
    """Tells a server's answer as a chat's. ``created`` (Unix seconds) is set before anything is
    fed: not every API says when an answer was made."""

    created: int


class Unreadable(Exception):
    """An answer is not what its API says; the message is for the operator's log."""


class Failed(Unreadable):
    """An answer came as a success and says that it failed. ``said`` is the error as OpenAI's API
    tells it, and ``status`` the one that goes with it."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(f"the server says that it failed: {said['error']['code']}")
        self.status, self.said = status, said


class Loss(NamedTuple):
    """Something that was said in one API and has no place in the other.

    ``info`` changes no answer, ``warning`` may change it. ``field`` is where it stood.
    """

    severity: Literal["info", "warning"]
    reason: str
    field: str

    def __str__(self) -> str:
        field = self.field.encode("ascii", "backslashreplace").decode()[:128]
        clean = "".join(c if c.isprintable() and c not in ";," else "_" for c in field)
        return f"{self.severity};{self.reason};{clean}"


def warnings_header(losses: Iterable[Loss]) -> str:
    """The losses as one header: ``severity;reason;field``, with commas between them; those that
    find no room in :data:`MAX_WARNINGS` bytes are left out."""
    told = ""
    for loss in dict.fromkeys(losses):
        more = f"{told},{loss}" if told else str(loss)
        if len(more) > MAX_WARNINGS:
            break
        told = more
    return told
