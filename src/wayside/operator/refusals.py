"""Writes that the server said no to, and when it is asked again.

It says no to the same thing again, so a child that was refused is left for a while, unless it or
what it shall be has changed. The time doubles with each refusal.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from wayside.kube.errors import Forbidden, Invalid, KubeError, NotFound, Refused
from wayside.operator.looks import Look
from wayside.resources import Trouble

FIRST_S: Final = 5.0
LONGEST_S: Final = 300.0
MAX_KEPT: Final = 20_000
"""The oldest are forgotten."""
Reason = Literal["NameTaken", "Refused", "Forbidden", "Absent", "Unreachable", "Invalid"]


@dataclass(slots=True)
class _Refusal:
    digest: str
    version: str
    pause_s: float
    until: float
    trouble: Trouble


class Refusals:
    """By child: what was refused (its digest, and the version of what was there)."""

    def __init__(self, dice: Callable[[], float] = random.random) -> None:
        self._kept: dict[Look, _Refusal] = {}
        self._dice = dice

    def of(self, look: Look, digest: str, version: str) -> tuple[Trouble, float] | None:
        """The trouble that this very write was, and for how many seconds it is left alone."""
        kept = self._kept.get(look)
        if kept is None or (kept.digest, kept.version) != (digest, version):
            return None
        left = kept.until - _now()
        return (kept.trouble, left) if left > 0 else None

    def add(
        self, look: Look, kind: str, error: KubeError, digest: str, version: str
    ) -> tuple[Trouble, float]:
        """The server said ``error``: as for :meth:`of`, from now on."""
        before, pause = self._kept.get(look), FIRST_S
        if before is not None and (before.digest, before.version) == (digest, version):
            pause = min(LONGEST_S, 2 * before.pause_s)
        due = pause * (1 - self._dice() / 4)
        said = error.message if isinstance(error, Refused) and error.message else str(error)
        trouble = Trouble(kind, look[2], _reason(error), said)
        remember(self._kept, look, _Refusal(digest, version, pause, _now() + due, trouble))
        return trouble, due

    def forget(self, look: Look) -> None:
        self._kept.pop(look, None)


def _reason(error: KubeError) -> Reason:
    if isinstance(error, Forbidden):
        return "Forbidden"
    if isinstance(error, NotFound):
        return "Absent"
    return "Invalid" if isinstance(error, Invalid) else "Refused"


def remember(memory: dict[Look, Any], look: Look, what: Any) -> None:
    """Keep ``what``, and no more than :data:`MAX_KEPT` of them."""
    memory.pop(look, None)
    memory[look] = what
    if len(memory) > MAX_KEPT:
        del memory[next(iter(memory))]


def _now() -> float:
    return asyncio.get_running_loop().time()
