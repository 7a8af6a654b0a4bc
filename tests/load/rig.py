"""Load on a router that is a process: offered openly, measured by those who ask."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

LONG = os.environ.get("WAYSIDE_LOAD") == "long"
"""Minutes instead of seconds."""


@dataclass
class Seen:
    """What became of requests."""

    took: dict[int, list[float]] = field(default_factory=dict)
    """By status, seconds from the request's first byte to the answer's last."""
    lacking: int = 0
    """Refusals that do not say when to come back."""
    broken: int = 0

    def count(self, status: int) -> int:
        return len(self.took.get(status, ()))

    def total(self) -> int:
        return sum(map(len, self.took.values())) + self.broken


class Client:
    """Keep-alive connections to one port, as many as are needed at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, seen: Seen, text: str, model: str = "auto", path: str = "") -> int:
        """One request; ``path`` asks for a page instead."""
        if path:
            request = f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        else:
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]})
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: "
            request = f"{head}{len(body)}\r\n\r\n{body}".encode()
        began = time.perf_counter()
        try:
            while self._idle and self._idle[-1][0].at_eof():  # left idle for too long
                self._idle.pop()[1].close()
            if self._idle:
                link = self._idle.pop()
            else:
                link = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = link
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(answer[9:12])
            size = int(answer.partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError):
            seen.broken += 1
            return 0
        seen.took.setdefault(status, []).append(time.perf_counter() - began)
        seen.lacking += status == 429 and b"\r\nretry-after: " not in answer
        if b"connection: close" in answer:
            writer.close()
        else:
            self._idle.append(link)
        return status

    def close(self) -> None:
        for _, writer in self._idle:
            writer.transport.abort()


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank; 0 for nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Growth per second: the median of the slopes of all pairs (Theil and Sen), which a few wild
    samples do not move."""
    slopes = sorted(
        (b - a) / (t - s) for i, (s, a) in enumerate(samples) for t, b in samples[i + 1 :] if t > s
    )
    return slopes[len(slopes) // 2] if slopes else 0.0


async def offered(
    client: Client, seen: Seen, per_s: float, for_s: float, model: str = "auto"
) -> None:
    """``per_s`` requests a second, whether or not those before are answered."""
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    tasks: set[asyncio.Task[int]] = set()
    while (now := loop.time() - began) < for_s:
        while sent < per_s * now:
            sent += 1
            task = asyncio.create_task(client.ask(seen, _text(), model))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.005)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def saturated(client: Client, clients: int, for_s: float, model: str = "auto") -> float:
    """Requests a second that are answered when ``clients`` ask again at once."""
    loop = asyncio.get_running_loop()
    seen, until = Seen(), loop.time() + for_s

    async def again() -> None:
        while loop.time() < until:
            await client.ask(seen, _text(), model)

    await asyncio.gather(*(again() for _ in range(clients)))
    assert not seen.broken
    return seen.count(200) / for_s


async def lateness(found: list[float], stop: asyncio.Event) -> None:
    """How late this process's own event loop is, until ``stop``."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        found.append(loop.time() - due)


_count = itertools.count()


def _text() -> str:
    """Never the same twice, so that nothing is remembered."""
    n = next(_count)
    return f"Question {n}: what is the derivative of x to the power of {n * 7919 % 10_007}?" * 3
