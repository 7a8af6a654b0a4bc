"""Writes answers when they are due, and breaks them where a fault says so."""

import asyncio
from collections.abc import Callable

from .engine import Sequence
from .faults import Fault
from .life import Life
from .wire import Headers, Reply


class Written:
    """How many events of a stream went out."""

    def __init__(self) -> None:
        self.events = 0

    def write(self, reply: Reply, pieces: list[bytes]) -> None:
        reply.write(pieces)
        self.events += len(pieces)


class Player:
    """Writes the answers of one server. `early_head` sends a stream's head at once, as vLLM."""

    def __init__(self, *, clock: Callable[[], float], life: Life, early_head: bool) -> None:
        self._clock = clock
        self._life = life
        self._early_head = early_head

    async def play(
        self,
        reply: Reply,
        steps: list[list[bytes]],
        sequence: Sequence,
        headers: Headers,
        fault: Fault,
        written: Written,
    ) -> None:
        """Write each step's events when they are due; all that are due go in one write."""
        if self._early_head and not reply.started:
            reply.start(200, headers)
        cut_after = fault.cut.after if fault.cut else None
        ready: list[bytes] = []
        sent, late = 0, 0.0
        for number, events in enumerate(steps):
            due = sequence.due(number) + late
            if due > self._clock():
                if ready:
                    written.write(reply, ready)
                    ready = []
                    await reply.drain()
                await self.sleep_until(due)
            if not reply.started:
                reply.start(200, headers)
            for event in events:
                if fault.cut and sent == cut_after:
                    written.write(reply, ready)
                    await reply.cut(fault.cut.how)
                    return
                if sent == fault.stall_after:
                    written.write(reply, ready)
                    ready = []
                    late += fault.stall_s
                    await asyncio.sleep(fault.stall_s)
                ready.append(event)
                sent += 1
        written.write(reply, ready)
        if fault.cut:  # the stream was shorter than asked for: cut it where it would end
            await reply.cut(fault.cut.how)
            return
        await reply.drain()
        reply.end()

    async def send(self, reply: Reply, body: bytes, headers: Headers, fault: Fault) -> None:
        """Write a whole answer, unless a fault strikes in its middle."""
        if fault.cut:
            reply.half(200, body, headers)
            await reply.cut(fault.cut.how)
        elif fault.stall_after is not None:
            rest = reply.half(200, body, headers)
            await asyncio.sleep(fault.stall_s)
            reply.rest(rest)
        else:
            reply.whole(200, body, headers)

    async def sleep_until(self, when: float) -> None:
        delay = when - self._clock()
        if delay > 0:
            await asyncio.sleep(delay)
        await self._life.answers()
