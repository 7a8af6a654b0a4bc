"""Counters that several routers share, in a Redis or Valkey server: one step for each question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wayside.maas.counters import LATE, Full, Granted, Limit
from wayside.stores.redis import RedisStore
from wayside.stores.redis_limits import RESERVE_LIMITS, SETTLE_LIMITS
from wayside.stores.redis_scripts import SCRIPTS, digest
from wayside.vocab.errors import AskFailed


def _servers_own() -> str:
    return ""


class RedisCounters:
    """``store`` is asked for at each question, since a reload may replace it; ``clock`` gives the
    time in milliseconds where it is not to be the server's, which all routers agree on."""

    at_once = False

    def __init__(
        self,
        store: Callable[[], RedisStore],
        hold_s: float,
        clock: Callable[[], int | str] = _servers_own,
    ) -> None:
        self._store, self.hold_s, self._clock = store, hold_s, clock

    async def reserve(
        self,
        account: str,
        id: str,
        limits: Sequence[Limit],
        amounts: Sequence[int],
        *,
        strict: bool,
    ) -> Granted | Full:
        asked: list[str | int] = []
        for limit, amount in zip(limits, amounts, strict=True):
            asked += (limit.kind, limit.size, limit.window_s, amount)
        reply = await self._ask(
            RESERVE_LIMITS,
            account,
            id,
            round(self.hold_s * 1000),
            int(strict),
            LATE,
            *asked,
        )
        said, *numbers = reply
        if said == b"full":
            at, left, wait, busy = numbers
            return Full(at, left, wait / 1000, bool(busy))
        return Granted(
            tuple(numbers[::3]),
            tuple([(n, ms / 1000) for n, ms in zip(numbers[1::3], numbers[2::3], strict=True)]),
        )

    async def settle(self, account: str, id: str, took: Mapping[str, int] | None) -> None:
        amounts = ("", "") if took is None else (took.get("tokens", 0), took.get("budget", 0))
        await self._ask(SETTLE_LIMITS, account, id, *amounts)

    async def _ask(self, script: str, account: str, id: str, *arguments: str | int) -> Any:
        server = self._store().server
        key = f"{server.keys.prefix}:limits:{digest(account)}"
        (reply,) = await server.link.ask(
            ("EVALSHA", SCRIPTS[script], 1, key, self._clock(), id, *arguments)
        )
        if script == RESERVE_LIMITS and not isinstance(server.wrote(reply), list):
            raise AskFailed(f"{server.link.place}: an answer that cannot be read")
        return server.wrote(reply)
