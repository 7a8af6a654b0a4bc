"""What was made last, for callers that soon ask for the same again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

V = TypeVar("V")
MOST: Final = 16


class Recent(Generic[V]):
    """The values of at most ``most`` callers, each kept until its inputs are others.

    Inputs are compared by ``==``, so they need not be hashable; they and the values are shared,
    and nobody changes them. What is made is a function of its inputs alone: forgetting it costs
    time and nothing else.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._made: dict[Hashable, tuple[tuple[Any, ...], V]] = {}

    def get(self, whose: Hashable, inputs: tuple[Any, ...], make: Callable[[], V]) -> V:
        """What ``make()`` gave for equal inputs of ``whose`` the last time, or gives now."""
        known = self._made.pop(whose, None)
        if known is None or known[0] != inputs:
            known = (inputs, make())
        self._made[whose] = known
        if len(self._made) > self._most:
            del self._made[next(iter(self._made))]
        return known[1]
