"""An answer on its way through its tap: pieces in, in order; what may go on, out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from wayside.vocab.ask import Flow
from wayside.vocab.outcome import Ended, Tap

T = TypeVar("T")

HELD_MAX = 1 << 20
"""Bytes that wait for an engine before the model's server is no longer read."""


class Drive(Protocol):
    """Runs a flow to its end, at once where no engine has to be waited for."""

    def __call__(self, flow: Flow[T]) -> T | Awaitable[T]: ...


class Watch:
    """Feeds one tap. Callbacks come in order and never after :meth:`cancel`.

    ``released`` gets what the client may have now; ``ended`` comes last; ``failed`` instead of
    it when a filter has a bug. ``crowded`` says whether the source should pause.
    """

    __slots__ = (
        "_crowded",
        "_drive",
        "_ended",
        "_failed",
        "_over",
        "_released",
        "_size",
        "_source_ended",
        "_tap",
        "_task",
        "_waiting",
    )

    def __init__(
        self,
        tap: Tap,
        drive: Drive,
        *,
        released: Callable[[bytes], None],
        ended: Callable[[Ended], None],
        failed: Callable[[], None],
        crowded: Callable[[bool], None],
    ) -> None:
        self._tap, self._drive = tap, drive
        self._released, self._ended = released, ended
        self._failed, self._crowded = failed, crowded
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._source_ended = self._over = False
        self._task: asyncio.Task[None] | None = None

    @property
    def stopped(self) -> bool:
        """Whether a filter ended the answer: nothing more will be released."""
        return bool(self._tap.reason)

    @property
    def detail(self) -> str:
        """What an engine that did not answer said."""
        return self._tap.detail

    def push(self, data: bytes) -> None:
        """The next bytes of the answer."""
        if self._over or not data:
            return
        if self._task is None:
            self._step(self._tap.feed(data), self._release)
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size > HELD_MAX:
            self._crowded(True)

    def end(self) -> None:
        """The answer is complete."""
        self._source_ended = True
        if self._task is None and not self._over:
            self._step(self._tap.finish(), self._finish)

    def cancel(self) -> None:
        """Nobody wants the rest."""
        self._over = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _step(self, flow: Flow[Any], then: Callable[[Any], None]) -> None:
        try:
            found = self._drive(flow)
        except Exception:  # noqa: BLE001 - a bug in a filter costs one answer
            self._fault()
            return
        if isinstance(found, bytes | Ended):
            then(found)
        else:
            self._task = asyncio.ensure_future(self._wait(found, then))

    async def _wait(self, pending: Awaitable[Any], then: Callable[[Any], None]) -> None:
        try:
            found = await pending
        except Exception:  # noqa: BLE001 - as above
            self._task = None
            self._fault()
            return
        self._task = None
        then(found)
        while self._task is None and not self._over and self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._crowded(False)
            self._step(self._tap.feed(data), self._release)
        if self._task is None and not self._over and self._source_ended:
            self._step(self._tap.finish(), self._finish)

    def _release(self, data: bytes) -> None:
        if data and not self._over:
            self._released(data)

    def _finish(self, ended: Ended) -> None:
        if not self._over:
            self._over = True
            self._ended(ended)

    def _fault(self) -> None:
        if not self._over:
            self._over = True
            self._failed()
