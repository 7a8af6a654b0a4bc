"""Which models the model servers of a cluster serve: each is asked, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from wayside.fleet.page import PageError, Pages
from wayside.fleet.resolve import Resolver
from wayside.settings.address import parse_address

ASK_AGAIN_S: Final = 2.0
"""A server that did not answer is asked again after so long, and after twice as long each time."""
ASK_SELDOM_S: Final = 20.0
"""One that did, or that never does."""
ASK_WITHIN_S: Final = 5.0
LOOK_S: Final = 0.1
MOST_BYTES: Final = 1 << 20
MOST_NAMES: Final = 256
"""Of one server; further ones are left out."""
AT_ONCE: Final = 32

Served = Mapping[str, tuple[str, ...]]
"""Base URL of a server -> the models that it says it serves."""
Ask = Callable[[str], Awaitable[tuple[str, ...] | None]]
"""What the server at a base URL says, ``None`` for no answer."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_models = msgspec.json.Decoder(_Models).decode


class Asker:
    """Asks one server. Adapters are models, too: who asks for one wants a server that has it."""

    def __init__(self, key: str = "") -> None:
        key = key.strip()
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._resolver = Resolver()

    async def __call__(self, url: str) -> tuple[str, ...] | None:
        pages = None
        try:
            pages = Pages(parse_address(url), None, self._resolver)
            answer = await pages.get(
                "/v1/models", timeout_s=ASK_WITHIN_S, most=MOST_BYTES, headers=self._headers
            )
            if answer.status != 200:
                return None
            return tuple(sorted({model.id for model in _models(answer.body).data}))
        except (PageError, msgspec.MsgspecError, ValueError):
            return None
        finally:
            if pages is not None:
                pages.close()


class Survey:
    """What everybody serves. ``changed`` hears of another answer, and must not wait; ``fault``
    of an ask that ended in a bug, which costs that answer."""

    def __init__(
        self, ask: Ask, changed: Callable[[], None], fault: Callable[[str], None]
    ) -> None:
        self._ask, self._changed, self._fault = ask, changed, fault
        self._served: dict[str, tuple[str, ...]] = {}
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def asked(self, url: str) -> bool:
        """Whether the first question is over."""
        return url in self._due

    def of(self, urls: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {url: self._served[url] for url in urls if url in self._served}

    async def run(self, urls: Callable[[], Iterable[str]]) -> None:
        """Ask the servers at ``urls``, as they come and go, until cancelled: new ones first, and
        a few that hang hold up nobody else."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                there = dict.fromkeys(urls())
                self._forget(there)
                waiting = [
                    url
                    for url in there
                    if url not in self._asking and self._due.get(url, 0.0) <= clock()
                ]
                waiting.sort(key=lambda url: self._due.get(url, 0.0))
                for url in waiting[: max(0, AT_ONCE - len(self._asking))]:
                    self._asking[url] = asyncio.create_task(self._one(url))
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._asking.values():
                task.cancel()

    def _forget(self, there: Mapping[str, None]) -> None:
        for url in [url for url in self._asking if url not in there]:
            self._asking.pop(url).cancel()
        for url in [url for url in self._due if url not in there]:
            del self._due[url]
            self._served.pop(url, None)
            self._failures.pop(url, None)

    async def _one(self, url: str) -> None:
        names = None
        try:
            names = await self._ask(url)
        except Exception as bug:  # noqa: BLE001 - one server must not end the asking of all
            self._fault(f"{url}: {type(bug).__name__}: {bug}")
        if self._asking.get(url) is not asyncio.current_task():
            return  # it has gone meanwhile
        del self._asking[url]
        self._failures[url] = 0 if names is not None else self._failures.get(url, 0) + 1
        rest = ASK_SELDOM_S
        if names is None:
            rest = min(rest, ASK_AGAIN_S * 2 ** min(8, self._failures[url] - 1))
        known = url in self._due
        self._due[url] = asyncio.get_running_loop().time() + rest
        if not known or (names is not None and names != self._served.get(url)):
            self._changed()
        if names is not None:
            self._served[url] = names
