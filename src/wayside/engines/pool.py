"""Threads that run a model beside the event loop, with a queue that has an end.

The number of waiting asks is bounded: one more is refused at once with a reason, because a queue
that grows answers everybody too late. Every ask has a deadline; one that passes it while waiting
is never begun. With ``batch`` above one a free thread takes all that wait, up to that many, and
answers them together; it never waits for company, so a lone ask pays nothing for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from wayside.vocab.errors import AskFailed, WaysideError

Q = TypeVar("Q")
A = TypeVar("A")


class Pool(Generic[Q, A]):
    """``workers`` daemon threads that answer questions with ``work``, at most ``batch`` at once.

    ``work`` gives one answer a question, in order. What it raises is told to all askers of that
    batch; when there were several, each is tried alone first, so that one bad text harms none.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[A]],
        *,
        name: str,
        workers: int = 1,
        queue: int = 64,
        batch: int = 1,
    ) -> None:
        self._work, self.name, self._queue, self._batch = work, name, queue, batch
        self._waiting: deque[tuple[Q, Future[A]]] = deque()
        self._there = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def ask(self, question: Q, deadline_s: float) -> A:
        """The answer. `AskFailed` when too many wait; `TimeoutError` after ``deadline_s``."""
        future = self.put(question)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise TimeoutError(
                f"engine {self.name!r} did not answer in {deadline_s * 1e3:.0f} ms"
            ) from error

    def put(self, question: Q) -> Future[A]:
        """Queue a question; cancelling the future before a thread takes it drops it."""
        future: Future[A] = Future()
        with self._there:
            if self._closed:
                raise AskFailed(f"engine {self.name!r} is closed")
            if len(self._waiting) >= self._queue:
                self._forget_cancelled()
            if len(self._waiting) >= self._queue:
                raise AskFailed(f"engine {self.name!r} is busy: {self._queue} asks wait already")
            self._waiting.append((question, future))
            self._there.notify()
        return future

    def close(self) -> None:
        """Refuse further questions, fail those that wait, and let the threads end."""
        with self._there:
            self._closed = True
            left, self._waiting = self._waiting, deque()
            self._there.notify_all()
        for _, future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(AskFailed(f"engine {self.name!r} is closed"))

    def join(self, timeout_s: float) -> None:
        """Wait for the threads of a closed pool to end."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _forget_cancelled(self) -> None:
        self._waiting = deque(pair for pair in self._waiting if not pair[1].cancelled())

    def _serve(self) -> None:
        while True:
            with self._there:
                while not self._waiting and not self._closed:
                    self._there.wait()
                if self._closed:
                    return
                count = min(self._batch, len(self._waiting))
                taken = [self._waiting.popleft() for _ in range(count)]
            alive = [pair for pair in taken if pair[1].set_running_or_notify_cancel()]
            if alive:
                self._answer(alive)

    def _answer(self, pairs: list[tuple[Q, Future[A]]]) -> None:
        try:
            answers = self._work([question for question, _ in pairs])
            if len(answers) != len(pairs):
                raise AskFailed(f"{len(answers)} answers to {len(pairs)} questions")
        except Exception as error:  # noqa: BLE001 - a thread that dies would answer nobody again
            if len(pairs) > 1:
                for pair in pairs:
                    self._answer([pair])
            else:
                pairs[0][1].set_exception(self._told(error))
            return
        for (_, future), answer in zip(pairs, answers, strict=True):
            future.set_result(answer)

    def _told(self, error: Exception) -> Exception:
        """The error as the runtime knows it; a library's own becomes a failed ask."""
        if isinstance(error, WaysideError | OSError | TimeoutError):
            return error
        first = str(error).strip().partition("\n")[0][:300]
        return AskFailed(f"engine {self.name!r} failed: {type(error).__name__}: {first}")
