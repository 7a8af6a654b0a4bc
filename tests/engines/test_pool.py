"""The bounded pool: order of service, refusal, deadlines, batches. No test waits for a clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from wayside.engines.pool import Pool
from wayside.vocab.errors import AskFailed


class Held:
    """Work that waits until it is let go, and remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        self.begun.release()
        assert self.go.wait(20)
        return [10 * q for q in questions]


@pytest.fixture
def held() -> Iterator[Held]:
    work = Held()
    yield work
    work.go.set()


async def test_it_answers() -> None:
    pool: Pool[int, int] = Pool(lambda qs: [q + 1 for q in qs], name="it", workers=2)
    assert await asyncio.gather(*(pool.ask(i, 10) for i in range(20))) == list(range(1, 21))
    pool.close()
    pool.join(10)


def test_one_more_than_fits_is_refused_at_once(held: Held) -> None:
    pool = Pool(held, name="it", queue=2)
    first = pool.put(1)
    held.begun.acquire()
    waiting = [pool.put(2), pool.put(3)]
    with pytest.raises(AskFailed, match="'it' is busy: 2 asks wait already"):
        pool.put(4)
    held.go.set()
    assert [f.result(10) for f in (first, *waiting)] == [10, 20, 30]
    assert held.batches == [[1], [2], [3]]
    pool.close()


async def test_an_ask_past_its_deadline_is_never_begun_and_frees_its_place(held: Held) -> None:
    pool = Pool(held, name="it", queue=1)
    first = pool.put(1)
    held.begun.acquire()
    with pytest.raises(TimeoutError, match="'it' did not answer in 10 ms"):
        await pool.ask(2, 0.01)
    third = pool.put(3)
    held.go.set()
    assert (first.result(10), third.result(10)) == (10, 30)
    assert held.batches == [[1], [3]]
    pool.close()


def test_what_waits_is_answered_together(held: Held) -> None:
    pool = Pool(held, name="it", batch=3)
    futures = [pool.put(0)]
    held.begun.acquire()
    futures += [pool.put(i) for i in range(1, 6)]
    held.go.set()
    assert [f.result(10) for f in futures] == [0, 10, 20, 30, 40, 50]
    assert held.batches == [[0], [1, 2, 3], [4, 5]]
    pool.close()


def test_one_bad_question_does_not_fail_its_batch() -> None:
    go = threading.Event()

    def work(questions: Sequence[int]) -> list[float]:
        assert go.wait(20)
        return [1 / q for q in questions]

    pool = Pool(work, name="it", batch=8)
    futures = [pool.put(q) for q in (1, 2, 0, 4)]
    go.set()
    assert [futures[i].result(10) for i in (0, 1, 3)] == [1, 0.5, 0.25]
    with pytest.raises(AskFailed, match="'it' failed: ZeroDivisionError: division by zero"):
        futures[2].result(10)
    pool.close()


def test_an_error_that_the_runtime_knows_stays_as_it_is() -> None:
    def work(questions: Sequence[int]) -> list[int]:
        raise AskFailed("the model gave something that is not a number")

    pool = Pool(work, name="it")
    with pytest.raises(AskFailed, match=r"^the model gave"):
        pool.put(1).result(10)
    pool.close()


def test_too_few_answers_are_an_error_not_a_dead_thread() -> None:
    pool: Pool[int, int] = Pool(lambda qs: [] if qs == [1] else [7], name="it")
    with pytest.raises(AskFailed, match="0 answers to 1 questions"):
        pool.put(1).result(10)
    assert pool.put(2).result(10) == 7
    pool.close()


def test_closing_fails_what_waits_and_ends_the_threads(held: Held) -> None:
    pool = Pool(held, name="it")
    first = pool.put(1)
    held.begun.acquire()
    second = pool.put(2)
    pool.close()
    with pytest.raises(AskFailed, match="is closed"):
        second.result(10)
    with pytest.raises(AskFailed, match="is closed"):
        pool.put(3)
    held.go.set()
    assert first.result(10) == 10
    pool.join(10)
    assert not any(t.name.startswith("it-") and t.is_alive() for t in threading.enumerate())
