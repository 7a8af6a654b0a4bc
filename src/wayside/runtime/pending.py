"""What has to be waited for, and may be left before it has begun.

A client can be gone before the task that was made for its request takes the first step. Nothing
in a coroutine runs then when it is closed, so somebody else has to tidy up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Pending(Coroutine[Any, Any, T]):
    """``inner``; if it is closed before it has begun, ``left`` is called."""

    __slots__ = ("_inner", "_left")

    def __init__(self, inner: Coroutine[Any, Any, T], left: Callable[[], None]) -> None:
        self._inner, self._left = inner, left

    def __await__(self) -> Generator[Any, Any, T]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        begun = inspect.getcoroutinestate(self._inner) != inspect.CORO_CREATED
        self._inner.close()
        if not begun:
            left, self._left = self._left, _nothing
            left()


def _nothing() -> None:
    """It was told already."""
