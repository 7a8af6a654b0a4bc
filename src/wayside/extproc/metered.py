"""The body of one answer, as Envoy shows it: counted, and without usage nobody asked for.

Envoy shows an answer in pieces, each of which goes on once it was answered; none is held. That
costs one message per piece, which :class:`~wayside.settings.ExtProcSettings` can spare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wayside.dialects.answers import STREAM
from wayside.dialects.trim import Trimmer
from wayside.vocab.outcome import Forward, Trim


class Meter(Protocol):
    """Counts what an answer took as its body goes by."""

    stream: bool

    @property
    def ended(self) -> bool:
        """Whether the answer says itself that this was all."""
        ...

    def feed(self, data: bytes) -> None: ...


class Asked:
    """What is to be known of a request when its answer begins."""

    __slots__ = ("leads", "sent", "trim")

    def __init__(self, forward: Forward) -> None:
        self.leads = forward.target.protocol == "anthropic"
        self.sent = len(forward.body)
        self.trim: Trim = forward.trim


def is_stream(headers: Mapping[str, str]) -> bool:
    """Whether an answer with these headers is one of events."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == STREAM


class Metered:
    """One answer on its way."""

    __slots__ = ("_meter", "_trimmer", "shown", "whole")

    def __init__(self, meter: Meter, trim: Trim) -> None:
        self._meter = meter
        self._trimmer = Trimmer(trim) if trim else None
        self.shown = self.whole = False
        """Whether any of it was shown, and whether all of it was."""

    def came(self, body: bytes, *, last: bool) -> None:
        """A piece of what the model's server says."""
        self._meter.feed(body)
        self.shown = True
        self.whole = self.whole or last

    def goes(self, body: bytes, *, last: bool) -> bytes:
        """A piece as the client gets it."""
        if self._trimmer is None:
            return body
        body = self._trimmer.feed(body)
        return body + self._trimmer.rest() if last else body

    @property
    def trims(self) -> bool:
        return self._trimmer is not None

    @property
    def broken(self) -> bool:
        """Whether it was over before its end."""
        return self.shown and not self.whole and not self._meter.ended
