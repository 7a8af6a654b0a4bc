"""Workers that make passes over the objects of one kind, and when each is passed over again."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from wayside.kube.watch import Key, Log
from wayside.operator.gauges import Gauges
from wayside.operator.keeping import Keeping, Retry, Tools
from wayside.operator.queue import Queue
from wayside.resources import Kind

AT_ONCE: Final = 5
"""Passes that somebody else's write came in between of, before the next one waits."""


class Controller:
    """One kind at work: its queue, and what a worker does with a key of it."""

    def __init__(self, kind: Kind, gauges: Gauges, tools: Tools, log: Log, workers: int) -> None:
        """``workers``: how many :meth:`work` at once, to be shown."""
        self.kind, self.name = kind, kind.kind.lower()
        both = (self.name, self.name)
        self.queue: Queue[Key] = Queue(
            waited=lambda s: gauges.wait_s.observe(both, s),
            worked=lambda s: gauges.work_s.observe(both, s),
        )
        self.keeping = Keeping(kind, tools)
        self._gauges, self._log = gauges, log
        self._conflicts: dict[Key, int] = {}
        gauges.follow(self.name, self.queue, workers)

    async def work(self) -> None:
        """Pass over what is in the queue until cancelled."""
        while True:
            key = await self.queue.get()
            began, result = _now(), "error"
            try:
                result = await self._pass(key)
            finally:
                self.queue.done(key)
                self._gauges.passes.add((self.name, result))
                self._gauges.pass_s.observe((self.name,), _now() - began)
            await asyncio.sleep(0)  # the Lease is renewed between two passes that write nothing

    async def _pass(self, key: Key) -> str:
        """One pass, and when the next one is; how it went."""
        queue = self.queue
        try:
            again_s = await self.keeping.look_after(*key, queue.failures(key))
        except Retry as retry:
            tries = self._conflicts.get(key, 0)
            if retry.at_once and tries < AT_ONCE:
                self._conflicts[key] = tries + 1
                queue.add(key)
                return "requeue"
            self._failed(key, str(retry), retry.after_s)
            return "error"
        except Exception as bug:  # noqa: BLE001 - one object must not end the work on all
            self._failed(key, f"{type(bug).__name__}: {bug}", 0.0)
            return "error"
        queue.succeeded(key)
        self._conflicts.pop(key, None)
        if again_s is None:
            return "success"
        queue.after(key, again_s * (0.9 + 0.2 * random.random()))
        return "requeue_after"

    def _failed(self, key: Key, why: str, after_s: float) -> None:
        failures = self.queue.retry(key, after_s)
        self._conflicts.pop(key, None)
        self._gauges.errors.add((self.name,))
        self._log(
            "pass failed",
            level="warning" if failures > 1 else "info",
            kind=self.kind.kind,
            object="/".join(key),
            failures=failures,
            why=why,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
