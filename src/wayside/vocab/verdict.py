"""What a signal says about a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class SignalRef(NamedTuple):
    """How a rule names a signal: ``language:en`` is ``SignalRef("language", "en")``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Whether the signal matched, how sure it is (0..1), and why, for people.

    ``value`` is the number the rule compared (tokens, a probability, a count), if there was one.
    ``unknown`` means nobody could tell: the decision's ``on_unknown`` says what that means.
    """

    matched: bool
    confidence: float = 1.0
    because: str = ""
    value: float | None = None
    unknown: bool = False


Verdicts = Mapping[SignalRef, Verdict]

NO = Verdict(False, 0.0)
