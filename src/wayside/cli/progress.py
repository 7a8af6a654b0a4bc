"""A bar on a terminal while something takes its time; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wayside.cli.console import escape

EVERY = 16
"""Steps between two drawings: a step may take microseconds."""


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Gives what is to be called after each of ``total`` steps. Drawn on standard error, so that
    what a command prints stays as it is."""
    out = Console(stderr=True)
    if not out.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as bars:
        task = bars.add_task(escape(what), total=total)
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if done % EVERY == 0 or done == total:
                bars.update(task, completed=done)

        yield step


def clock(step: Callable[[], None]) -> Callable[[], float]:
    """A clock in seconds for measurements of two readings each; ``step`` is called after every
    second one, once its time has been read, so that drawing is in no measurement."""
    ends = False

    def read() -> float:
        nonlocal ends
        now = perf_counter()
        if ends:
            step()
        ends = not ends
        return now

    return read
