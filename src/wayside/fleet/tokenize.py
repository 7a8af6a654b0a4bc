"""Asks model servers how they split prompts into tokens, when nobody waits for the answer.

Each server is asked one thing at a time, the newest first; what does not fit is not asked. One
that fails is left alone for a while. No request ever waits for this.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec

from wayside.fleet.page import PageError, Pages, beside
from wayside.fleet.replica import Replica, Secure
from wayside.fleet.resolve import Resolver
from wayside.settings.address import Address, parse_address
from wayside.vocab.endpoint import Endpoint

WAITING: Final = 4 << 20
"""Bytes of prompts that wait for a server; the oldest go where there are more."""
WAITING_ALL: Final = 32 << 20
"""The same for all servers together; what comes when that is there is not asked."""
TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 5.0
"""A server that failed is asked nothing for so long."""
NEVER_S: Final = 300.0
"""One that says it cannot (404, 405, 501), for so long."""

Learn = Callable[[Sequence[int]], None]
_Token = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Answer(msgspec.Struct):
    tokens: list[_Token]


def largest(body: bytes) -> int:
    """Bytes that an answer may have: a token is a byte of the prompt at least, or one of the chat
    template's, and seven digits with a comma."""
    return (64 << 10) + 8 * len(body)


_decode = msgspec.json.Decoder(_Answer).decode


class _Asked:
    __slots__ = ("bytes", "pages", "path", "quiet_until", "task", "waiting")

    def __init__(self, pages: Pages, path: str) -> None:
        self.pages, self.path = pages, path
        self.waiting: deque[tuple[bytes, Learn]] = deque()
        self.bytes = 0
        self.task: asyncio.Task[None] | None = None
        self.quiet_until = 0.0


class Tokenizers:
    """The ``/tokenize`` of servers (vLLM's). Call it as ``precise_prefix_cache`` does."""

    def __init__(self, told: Callable[[str], None] = lambda word: None) -> None:
        """``told`` hears a word per answer: ok, or why there is none."""
        self._told, self._resolver = told, Resolver()
        self._asked: dict[Endpoint, _Asked] = {}
        self.waiting = 0
        """Bytes of all prompts that wait."""

    def __call__(self, endpoint: Endpoint, body: bytes, learn: Learn) -> None:
        asked = self._asked.get(endpoint)
        if asked is None:
            address, secure = _address(endpoint)
            pages = Pages(address, secure, self._resolver)
            asked = self._asked[endpoint] = _Asked(pages, beside(address.base_path, "/tokenize"))
        loop = asyncio.get_running_loop()
        if loop.time() >= asked.quiet_until and self.waiting + len(body) <= WAITING_ALL:
            asked.waiting.append((body, learn))
            self._count(asked, len(body))
            while asked.bytes > WAITING and len(asked.waiting) > 1:
                self._count(asked, -len(asked.waiting.popleft()[0]))
            if asked.task is None:
                asked.task = loop.create_task(self._work(asked))

    def keep(self, endpoints: set[Endpoint]) -> None:
        """Others are gone."""
        for endpoint in self._asked.keys() - endpoints:
            self._drop(self._asked.pop(endpoint))

    def close(self) -> None:
        self.keep(set())

    def _count(self, asked: _Asked, size: int) -> None:
        asked.bytes += size
        self.waiting += size

    def _drop(self, asked: _Asked) -> None:
        asked.waiting.clear()
        self._count(asked, -asked.bytes)
        if asked.task is not None:
            asked.task.cancel()
        asked.pages.close()

    async def _work(self, asked: _Asked) -> None:
        try:
            while asked.waiting:
                body, learn = asked.waiting.pop()
                self._count(asked, -len(body))
                try:
                    learn(await self._tokens(asked, body))
                    self._told("ok")
                except PageError as error:
                    self._told(error.reason)
                    never = error.reason == "none"
                    asked.waiting.clear()
                    self._count(asked, -asked.bytes)
                    now = asyncio.get_running_loop().time()
                    asked.quiet_until = now + (NEVER_S if never else PAUSE_S)
        finally:
            asked.task = None

    async def _tokens(self, asked: _Asked, body: bytes) -> list[int]:
        answer = await asked.pages.post(asked.path, body, timeout_s=TIMEOUT_S, most=largest(body))
        if answer.status in (404, 405, 501):
            raise PageError("none", "has no /tokenize")
        if answer.status != 200:
            raise PageError("status", f"answered {answer.status}")
        try:
            return _decode(answer.body).tokens
        except msgspec.MsgspecError as error:
            raise PageError("body", str(error)) from error


def _address(endpoint: Endpoint) -> tuple[Address, Secure | None]:
    if isinstance(endpoint, Replica):
        return endpoint.address, endpoint.secure
    return parse_address(f"http://{endpoint.host_port}"), None
