"""Accounts and keys in PostgreSQL, for routers on several machines.

The epoch is asked for once a second at most, when there is a request: a revocation by another
router counts after that second. A database that does not answer means that nobody can say who is
who, and not that nothing was revoked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from wayside.maas.keys import SCHEMA, Row, Statement
from wayside.vocab.errors import AskFailed, ConfigError

T = TypeVar("T")
FRESH_S: Final = 1.0
"""For how long the epoch is believed."""
DEADLINE_S: Final = 2.0
CONNECTIONS: Final = 8


class Postgres:
    """``url`` gives the database's URL anew for each pool: its password may turn."""

    def __init__(self, url: Callable[[], str], steady: Callable[[], float] = time.monotonic):
        """Raises :class:`ConfigError` where the package is missing."""
        try:
            import asyncpg
        except ImportError:
            raise ConfigError.one(
                "needs the package asyncpg",
                where="maas.database",
                fix="pip install 'wayside[postgres]'",
            ) from None
        self._asyncpg, self._url, self._steady = asyncpg, url, steady
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._epoch, self._asked_at = 0, float("-inf")

    def fresh(self) -> int | None:
        return self._epoch if self._steady() - self._asked_at < FRESH_S else None

    async def epoch(self) -> int:
        async with self._asking:
            found = self.fresh()
            if found is None:
                began = self._steady()
                rows = await self.read("SELECT n FROM maas_epoch WHERE one = 1")
                found = self._epoch = int(rows[0][0])
                self._asked_at = began
        return found

    async def read(self, sql: str, *args: Any) -> list[Row]:
        return await self._do(lambda db: db.fetch(sql, *args))

    async def change(self, *statements: Statement) -> list[Row]:
        async def write(db: Any) -> list[Row]:
            rows: list[Row] = []
            async with db.transaction():
                for sql, args in statements:
                    rows = await db.fetch(sql, *args)
            return rows

        rows = await self._do(write)
        if any("maas_epoch" in sql for sql, _ in statements):
            self._asked_at = float("-inf")  # our own revocation counts with the next request
        return rows

    def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run ``work`` with a connection, in time; what fails is told without any value."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                pool = await self._ready()
                async with pool.acquire() as db:
                    return await work(db)
        except (
            TimeoutError,
            OSError,
            self._asyncpg.PostgresError,
            self._asyncpg.InterfaceError,
        ) as error:
            raise AskFailed(f"maas.database: {type(error).__name__}") from None

    async def _ready(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._loop is loop:
            return self._pool
        async with self._opening:
            if self._pool is None or self._loop is not loop:
                pool = await self._asyncpg.create_pool(
                    self._url(), min_size=0, max_size=CONNECTIONS,
                    max_inactive_connection_lifetime=60.0,
                )  # fmt: skip
                try:
                    async with pool.acquire() as db, db.transaction():
                        await db.execute("SELECT pg_advisory_xact_lock(8151964)")
                        for statement in SCHEMA:
                            await db.execute(statement)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool, self._loop = pool, loop
        return self._pool
