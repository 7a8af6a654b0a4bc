"""What is fuzzed. Each target takes any bytes and raises only when it has found something.

A target's module is imported when it is asked for, so that a fuzzer can instrument what it
imports. An input is one seed file in ``tests/fuzz/corpus/<target>/``; every crash becomes one.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType

CORPUS = Path(__file__).parents[1] / "corpus"
NAMES = ("body", "headers", "sse", "extproc", "config", "usage", "address", "dialects", "tokens")
LIMIT_S = 3.0
"""CPU seconds for one input; longer is a hang."""

Target = Callable[[bytes], None]


class Finding(AssertionError):
    """Something that must not happen has happened."""


class Hang(BaseException):
    """An input took too long. No ``except Exception`` on the way may swallow it."""


def load(name: str) -> Target:
    """The target called ``name``, under the watchdog."""
    run: Target = importlib.import_module(f"{__name__}.{name}").run

    def guarded(data: bytes) -> None:
        with watched():
            run(data)

    return guarded


def words(name: str) -> tuple[bytes, ...]:
    """Byte strings that mean something to the target, for mutations."""
    found: tuple[bytes, ...] = importlib.import_module(f"{__name__}.{name}").WORDS
    return found


def seeds(name: str) -> list[bytes]:
    """The corpus, smallest first; for configurations, also those of the translation tests."""
    paths = list((CORPUS / name).glob("*"))
    if name == "config":
        paths += (CORPUS.parents[1] / "golden" / "translate").glob("*/*/in.*")
    return sorted((path.read_bytes() for path in sorted(paths)), key=len)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise :class:`Hang` in the main thread after ``LIMIT_S`` of CPU time.

    CPU time, because the machine is shared; SIGVTALRM, because libFuzzer owns SIGALRM.
    """

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def split(data: bytes, seed: int) -> list[bytes]:
    """``data`` in pieces: whole for 0, single bytes for 1, otherwise cut anywhere by ``seed``."""
    if seed == 0 or len(data) < 2:
        return [data] if data else []
    if seed == 1:
        return [data[i : i + 1] for i in range(len(data))]
    dice = random.Random(seed)
    cuts = sorted({dice.randrange(1, len(data)) for _ in range(dice.randrange(1, 9))})
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def check(fact: object, what: str, *details: object) -> None:
    """A :class:`Finding` unless ``fact`` holds."""
    if not fact:
        raise Finding(" | ".join([what, *[repr(d)[:2000] for d in details]]))
