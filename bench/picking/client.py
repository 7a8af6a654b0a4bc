"""Sends a load and takes down what became of each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from picking.load import Conversation, Turn

_JSON = {"content-type": "application/json", "authorization": "Bearer sk-bench"}


@dataclass(slots=True)
class Sample:
    """One request. Times are seconds after the load's start; ``first`` and ``end`` are 0 where
    there was no first token, no end. ``why`` says what went wrong, nothing when nothing did."""

    due: float
    sent: float
    answer: int
    first: float = 0.0
    end: float = 0.0
    why: str = ""
    late: float | None = None
    """How long after its moment the client woke to send it; ``None`` where the turn before it
    was the reason."""


class Client:
    """Plays conversations against ``url``."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.samples: list[Sample] = []
        self._session = session
        self._url = url + "/v1/chat/completions"
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start

    async def play(self, talks: Sequence[Conversation], until_s: float, patience_s: float) -> None:
        """Send all that is due before ``until_s``; wait ``patience_s`` more for answers."""
        self._start = time.monotonic()
        tasks = [asyncio.create_task(self._talk(talk, until_s)) for talk in talks]
        _, late = await asyncio.wait(tasks, timeout=until_s + patience_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _talk(self, talk: Conversation, until_s: float) -> None:
        headers = {**_JSON, **dict(talk.headers)}
        for turn in talk.turns:
            late = None
            if (ahead := turn.at - self.now()) > 0:
                await asyncio.sleep(ahead)
                late = self.now() - turn.at
            elif self.now() >= until_s:
                return
            await self._ask(turn, headers, late)

    async def _ask(self, turn: Turn, headers: dict[str, str], late: float | None) -> None:
        sample = Sample(turn.at, self.now(), turn.answer, late=late)
        self.samples.append(sample)
        try:
            async with self._session.post(self._url, data=turn.body, headers=headers) as response:
                if response.status != 200:
                    sample.why = f"status {response.status}"
                    await response.read()
                    return
                tail = b""
                async for data in response.content.iter_any():
                    if not sample.first and data:
                        sample.first = self.now()
                    tail = (tail + data)[-64:]
                if b"[DONE]" in tail:
                    sample.end = self.now()
                else:
                    sample.why = "cut off"
        except asyncio.CancelledError:
            sample.why = "unfinished"
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            sample.why = type(error).__name__
