"""What an answer took, as its bytes go by: kept is only what counting needs."""

from __future__ import annotations

import re
from typing import Final

from wayside.vocab.usage import BYTES_PER_TOKEN, NOTHING, Tokens, estimated, tokens_in

TAIL: Final = 4096
"""Bytes of an answer's end in which its usage is looked for."""
LEAD: Final = 2048
"""Bytes of its beginning, where its API counts the input there."""
KEPT: Final = 1024
"""Bytes kept of a usage that was said before the end."""
LAST: Final = 128
"""Bytes in which the last event of a stream stands."""

_CHUNK_BETWEEN = re.compile(rb"\r\n[0-9A-Fa-f]+(?:;[^\r\n]*)?\r\n")
_BEGINNINGS: Final = 2
"""Events of a stream that bring no token: the one that says the role, and the one that ends it."""


class Meter:
    """Fed the body of one answer as it comes, framed in chunks or not.

    ``asked`` is what its prompt is taken for where the server does not say. ``leads``: its API
    counts the input in the first event.
    """

    __slots__ = ("_at", "asked", "events", "lead", "leads", "size", "stream", "tail")

    def __init__(self, *, stream: bool, leads: bool = False, asked: int = 0) -> None:
        self.stream, self.leads, self.asked = stream, leads, asked
        self.lead = self.tail = b""
        self.size = self.events = 0
        self._at = b""

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self.stream:
            # A blank line ends an event; inside one no line end can stand unescaped.
            self.events += data.count(b"\n\n") or data.count(b"\r\n\r\n")
        elif self._at or b'"usage":' in data:
            self._keep(data)
        if self.leads and len(self.lead) < LEAD:
            self.lead += data[: LEAD - len(self.lead)]
        self.tail = data if len(data) >= TAIL else self.tail[-TAIL:] + data

    def _keep(self, data: bytes) -> None:
        """Usage that stands before much else of a whole answer."""
        at = data.rfind(b'"usage":')
        if at >= 0:
            self._at = data[at : at + KEPT]
        elif len(self._at) < KEPT:
            self._at += data[: KEPT - len(self._at)]

    @property
    def end(self) -> bytes:
        """The last bytes of the body, without its framing."""
        return unframed(self.lead + self.tail[-TAIL:])

    @property
    def ended(self) -> bool:
        """Whether the answer says itself that this was all: a stream by its last event."""
        if not self.stream:
            return self.told() is not None
        last = self.tail[-LAST:]
        return b"[DONE]" in last or b"message_stop" in last

    def told(self) -> Tokens | None:
        """What the server says that it took, as far as the answer came."""
        found = None
        if not self.lead:  # nearly always it stands whole near the end
            at = self.tail.rfind(b'"usage":')
            found = tokens_in(unframed(self.tail[at:])) if at >= 0 else None
        if found is None:
            found = tokens_in(self.end)
        return tokens_in(unframed(self._at)) if found is None and self._at else found

    def took(self, *, broken: bool) -> Tokens:
        """The server's counts where they can be believed, else an estimate that says so.

        ``broken``: not all of the answer came, so what was said last may not be all.
        """
        found = self.told()
        if found is None:
            return self._estimate("broken" if broken else "missing")
        events = self.events - _BEGINNINGS
        prompt, completion, why = found.prompt, found.completion, ""
        if broken and events > completion:
            completion, why = events, "broken"
        elif self.stream and not completion and events > _BEGINNINGS:
            completion, why = events, "zero"
        if not prompt and self.asked:
            prompt, why = self.asked, why or "zero"
        if not why:
            return found
        return Tokens(
            prompt, completion, found.cached, found.written, found.reasoning, estimated=why
        )

    def _estimate(self, why: str) -> Tokens:
        if not self.size:
            return NOTHING
        if self.stream:
            return Tokens(self.asked, max(self.events - _BEGINNINGS, 0), estimated=why)
        if self.size <= len(self.tail):
            return estimated(unframed(self.tail), self.asked, why)
        return Tokens(self.asked, self.size // BYTES_PER_TOKEN, estimated=why)


def unframed(body: bytes) -> bytes:
    """Without the sizes between chunks, where there are any."""
    return _CHUNK_BETWEEN.sub(b"", body) if b"\r\n" in body else body
