"""The body of a server's answer on its way back: the client's name for the model, and counts."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from wayside.telemetry.meter import Meter
from wayside.vocab.usage import Tokens

_encode = msgspec.json.encode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_OPEN_ENDED: Final = re.compile(
    rb'"(?:m(?:o(?:d(?:e(?:l(?:"\s{0,8}(?::\s{0,8}(?:"[^"]{0,256})?)?)?)?)?)?)?)?\Z'
)
"""The end of a piece that may be the beginning of ``"model":"..."``."""
_LONGEST: Final = 300


class Names:
    """Says ``ours`` wherever a server says that its model is ``theirs``.

    ``"model":"..."`` cannot stand inside a JSON text, whose quotes are escaped, so that it is
    found without reading the JSON: at the top of an answer, in each event of a stream, and inside
    the objects in which newer APIs tell it.
    """

    __slots__ = ("_pattern", "_put")

    def __init__(self, theirs: str, ours: str) -> None:
        self._pattern = re.compile(rb'("model"\s{0,8}:\s{0,8})' + re.escape(_encode(theirs)))
        name = _encode(ours)
        self._put = lambda found: found[1] + name

    def whole(self, body: bytes) -> bytes:
        """A whole answer; unchanged if it is no JSON."""
        changed = self._pattern.sub(self._put, body)
        if changed == body:
            return body
        try:
            _check(body)
        except msgspec.MsgspecError:
            return body
        return changed

    def piece(self, body: bytes) -> tuple[bytes, bytes]:
        """A piece of a stream: what goes, and what waits for the next piece."""
        body = self._pattern.sub(self._put, body)
        ends = _OPEN_ENDED.search(body, max(0, len(body) - _LONGEST))
        if ends is None:
            return body, b""
        return body[: ends.start()], body[ends.start() :]


class Answer:
    """One answer. ``names`` is ``None`` where no name changes, ``meter`` where nobody counts.

    A stream goes on piece by piece. Anything else is held until it is whole, as the reference
    picker does, unless it grows beyond ``limit`` bytes: then it goes on as it comes.
    """

    __slots__ = ("_held", "_limit", "_names", "_stream", "ended", "meter")

    def __init__(
        self, *, stream: bool, names: Names | None, meter: Meter | None, limit: int
    ) -> None:
        self._stream, self._names, self.meter = stream, names, meter
        self._limit = limit
        self._held = bytearray()
        self.ended = False
        """All of it came."""

    def came(self, body: bytes, *, last: bool) -> bytes | None:
        """What goes on because this came; ``None``: nothing yet."""
        if self.meter is not None and body:
            self.meter.feed(body)
        if last:
            self.ended = True
        if self._stream:
            return self._pass(body, last)
        self._held += body  # one buffer: many small pieces would take many times their size
        if last:
            whole = self._taken()
            return self._names.whole(whole) if self._names is not None else whole
        if len(self._held) <= self._limit:
            return None
        return self.let_go()

    def let_go(self) -> bytes:
        """It goes on as it comes, what came so far first."""
        self._stream = True
        return self._pass(self._taken(), False)

    def _taken(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held

    def rest(self) -> bytes:
        """What is still held, as trailers end the answer."""
        self.ended = True
        held = self._taken()
        if self._stream or self._names is None:
            return held
        return self._names.whole(held)

    def _pass(self, body: bytes, last: bool) -> bytes:
        if self._names is None:
            return body
        if self._held:
            body = self._taken() + body
        goes, waits = self._names.piece(body)
        if last:
            return goes + waits
        self._held += waits
        return goes

    def took(self) -> Tokens | None:
        """What the server says that it took, if it was counted."""
        return self.meter.told() if self.meter is not None else None
