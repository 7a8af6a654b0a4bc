"""Faults: what one request asked for in `x-sim-fault`, or what the dice gave it.

The header is a list of `name` or `name=value`, separated by `;` or `,`:

    status=CODE        answer that HTTP error         retry-after=SECONDS  with this header
    reset              TCP RST before the head        reset-after=K        ... after K chunks
    reset=body         TCP RST in the middle of the body
    close              TCP FIN before the head        close-after=K        ... after K chunks
    stall=SECONDS      hang before the head           stall-after=K        ... after K chunks
    slow=FACTOR        take FACTOR times as long      none                 not even by rate

A chunk is one event of a stream. An answer that is not streamed has no chunks: `-after` then
means the middle of its body.
"""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .refusal import Refusal
from .settings import FaultRates

HEADER = "x-sim-fault"
FOREVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection by `how`, before the head (`after` None) or after that many chunks."""

    how: Literal["reset", "close"]
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer; the default is nothing."""

    status: int | None = None
    retry_after_s: float | None = None
    cut: Cut | None = None
    stall_s: float = 0.0
    stall_after: int | None = None
    slow: float = 1.0

    @property
    def strikes(self) -> bool:
        """Whether anything goes wrong at all."""
        return self != NO_FAULT

    @property
    def stalls_head(self) -> bool:
        return self.stall_s > 0 and self.stall_after is None


NO_FAULT = Fault()


def parse_fault(header: str) -> Fault:
    """The fault a header asks for; a word it does not know is refused with 400."""
    fault = NO_FAULT
    for word in re.split(r"[;,]", header):
        name, _, value = (part.strip() for part in word.partition("="))
        if name:
            fault = _step(fault, name.lower(), value)
    return fault


def roll_fault(rates: FaultRates, dice: random.Random) -> Fault:
    """The fault the dice give. Each kind rolls once, always in the same order."""
    fault = NO_FAULT
    if (status := rates.status) and dice.random() < status.rate:
        fault = replace(fault, status=status.code, retry_after_s=status.retry_after_s)
    if (reset := rates.reset) and dice.random() < reset.rate:
        fault = replace(fault, cut=Cut("reset", reset.after))
    if (close := rates.close) and dice.random() < close.rate:
        fault = replace(fault, cut=Cut("close", close.after))
    if (stall := rates.stall) and dice.random() < stall.rate:
        fault = replace(fault, stall_s=stall.seconds, stall_after=stall.after)
    if (slow := rates.slow) and dice.random() < slow.rate:
        fault = replace(fault, slow=slow.factor)
    return fault


def _step(fault: Fault, name: str, value: str) -> Fault:
    step = _STEPS.get(name)
    if step is None:
        raise _unknown(name, f"use one of: {', '.join(_STEPS)}")
    return step(fault, value)


def _cut(how: Literal["reset", "close"]) -> Callable[[Fault, str], Fault]:
    places = {"": None, "head": None, "body": 1}

    def step(fault: Fault, value: str) -> Fault:
        if value not in places:
            raise _unknown(f"{how}={value}", f"use {how}, {how}=body or {how}-after=K")
        return replace(fault, cut=Cut(how, places[value]))

    return step


def _stall_after(fault: Fault, value: str) -> Fault:
    stall_s = fault.stall_s or FOREVER_S
    return replace(fault, stall_s=stall_s, stall_after=_whole("stall-after", value))


def _status(fault: Fault, value: str) -> Fault:
    status = _whole("status", value)
    if not 400 <= status <= 599:
        raise _unknown(f"status={value}", "use a code from 400 to 599")
    return replace(fault, status=status)


_STEPS: dict[str, Callable[[Fault, str], Fault]] = {
    "none": lambda fault, value: fault,
    "status": _status,
    "retry-after": lambda f, v: replace(f, retry_after_s=_number("retry-after", v)),
    "reset": _cut("reset"),
    "reset-after": lambda f, v: replace(f, cut=Cut("reset", _whole("reset-after", v))),
    "close": _cut("close"),
    "close-after": lambda f, v: replace(f, cut=Cut("close", _whole("close-after", v))),
    "stall": lambda f, v: replace(f, stall_s=_number("stall", v) if v else FOREVER_S),
    "stall-after": _stall_after,
    "slow": lambda f, v: replace(f, slow=_number("slow", v)),
}


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise _unknown(f"{name}={value}", f"{name} takes a whole number")
    return int(value)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1e6:
        raise _unknown(f"{name}={value}", f"{name} takes a number from 0 to 1e6")
    return number


def _unknown(word: str, fix: str) -> Refusal:
    return Refusal(400, f"{HEADER}: cannot read {word!r}; {fix}", param=HEADER)
