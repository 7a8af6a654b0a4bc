"""PostgreSQL: documents in a table, and passages where the server has pgvector."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import Field, PositiveInt, field_validator

from wayside.catalog import catalog
from wayside.dialects import UNREADABLE, encode
from wayside.settings import Capability, CredentialSettings, Settings
from wayside.stores.base import Store, Tools
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.stores import (
    Contents,
    Delete,
    Get,
    Index,
    Listing,
    Passage,
    Put,
    Search,
    Unindex,
)

T = TypeVar("T")
SWEEP = 200
"""Expired rows that one write lets go."""


class PostgresSettings(Settings):
    """Example: ``{host: db, database: wayside, user: wayside, credential: {env: PGPASSWORD}}``"""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """A name, an address, or the folder of a Unix socket."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """Where it listens."""
    database: Annotated[str, Field(min_length=1, max_length=63)] = "wayside"
    """It must be there; tables are made in it."""
    user: Annotated[str, Field(min_length=1, max_length=63)] = "wayside"
    """Must be allowed to make tables, once."""
    credential: CredentialSettings | None = None
    """The password, by reference only; `header` and `prefix` mean nothing here."""
    tls: bool = False
    """Speak TLS, and verify the server's certificate."""
    ca_file: str | None = None
    """PEM bundle to verify it with; the system's where absent."""
    table: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,39}$")] = "wayside"
    """The beginning of the tables' names: `wayside_documents`, `wayside_passages`."""
    vectors: Annotated[int, Field(ge=2, le=16_000)] | None = None
    """The dimension of vectors; given, the store finds passages by meaning (pgvector)."""
    connections: Annotated[int, Field(ge=1, le=100)] = 8
    """At once."""
    deadline_ms: PositiveInt = 2_000
    """For each question."""

    @field_validator("host")
    @classmethod
    def _no_url(cls, value: str) -> str:
        if "://" in value or "@" in value:
            raise ValueError("write the host alone; user, database and credential are keys here")
        return value


@catalog.register("store", "postgres", settings=PostgresSettings, stability="alpha")
class PostgresStore(Store):
    """A PostgreSQL server: documents, and with pgvector passages found by meaning."""

    capabilities: frozenset[Capability] = frozenset({"documents"})

    @classmethod
    def capabilities_of(cls, rule: PostgresSettings) -> frozenset[Capability]:
        more: frozenset[Capability] = frozenset({"search", "index"})
        return cls.capabilities | more if rule.vectors else cls.capabilities

    def __init__(self, rule: PostgresSettings, tools: Tools) -> None:
        try:
            import asyncpg
        except ImportError as error:
            raise AskFailed(
                "needs the package asyncpg: pip install 'wayside[postgres]'"
            ) from error
        self._asyncpg, self._rule, self._name = asyncpg, rule, tools.name
        self._password: Callable[[], str] | None = None
        if rule.credential is not None:
            where = f"stores.{tools.name}.postgres.credential"
            credential = tools.keys(rule.credential, where)
            self._password = lambda: credential.value  # read anew for each connection: it may turn
        self._tls = _tls(rule, tools.name)
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    # documents

    async def get(self, question: Get) -> bytes | None:
        return await self._do(lambda db: db.fetchval(
            f"SELECT value FROM {self._documents} WHERE space = $1 AND key = $2 "
            "AND (until IS NULL OR until > now())",
            question.space, question.key,
        ))  # fmt: skip

    async def put(self, question: Put) -> None:
        async def write(db: Any) -> None:
            await db.execute(
                f"INSERT INTO {self._documents} (space, key, value, kept_at, until) VALUES "
                "($1, $2, $3, clock_timestamp(), now() + $4 * interval '1 second') "
                "ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, "
                "kept_at = excluded.kept_at, until = excluded.until",
                question.space, question.key, question.value, question.ttl_s,
            )  # fmt: skip
            await self._sweep(db, self._documents, question.space, question.most)

        await self._do(write)

    async def delete(self, question: Delete) -> bool:
        found = await self._do(lambda db: db.execute(
            f"DELETE FROM {self._documents} WHERE space = $1 AND key = $2",
            question.space, question.key,
        ))  # fmt: skip
        return _count(found) > 0

    async def listing(self, question: Listing) -> tuple[tuple[str, bytes], ...]:
        rows = await self._do(lambda db: db.fetch(
            f"SELECT key, value FROM {self._documents} WHERE space = $1 "
            "AND (until IS NULL OR until > now()) ORDER BY kept_at DESC LIMIT $2 OFFSET $3",
            question.space, question.limit, question.offset,
        ))  # fmt: skip
        return tuple((row["key"], row["value"]) for row in rows)

    # passages

    async def search(self, question: Search) -> tuple[Passage, ...]:
        if question.vector is None:
            raise AskFailed("postgres finds by vectors; set embeds: true")
        vector = _vector(question.vector)
        rows = await self._do(lambda db: db.fetch(
            f"SELECT key, text, metadata, 1 - (vector <=> $2::vector) AS score "
            f"FROM {self._passages} WHERE space = $1 AND (until IS NULL OR until > now()) "
            "ORDER BY vector <=> $2::vector LIMIT $3",
            question.space, vector, question.most,
        ))  # fmt: skip
        return tuple(
            _passage(row, row["score"]) for row in rows if row["score"] >= question.threshold
        )

    async def contents(self, question: Contents) -> tuple[Passage, ...]:
        rows = await self._do(lambda db: db.fetch(
            f"SELECT key, text, metadata FROM {self._passages} WHERE space = $1 "
            "AND (until IS NULL OR until > now()) ORDER BY kept_at DESC LIMIT $2 OFFSET $3",
            question.space, question.limit, question.offset,
        ))  # fmt: skip
        return tuple(_passage(row, 0.0) for row in rows)

    async def index(self, question: Index) -> None:
        async def write(db: Any) -> None:
            await db.execute(
                f"INSERT INTO {self._passages} "
                "(space, key, text, metadata, vector, kept_at, until) VALUES "
                "($1, $2, $3, $4, $5::vector, clock_timestamp(), "
                "now() + $6 * interval '1 second') ON CONFLICT (space, key) DO UPDATE SET "
                "text = excluded.text, metadata = excluded.metadata, vector = excluded.vector, "
                "kept_at = excluded.kept_at, until = excluded.until",
                question.space, question.key, question.text, encode(question.metadata),
                _vector(question.vector), question.ttl_s,
            )  # fmt: skip
            await self._sweep(db, self._passages, question.space, question.most)

        await self._do(write)

    async def unindex(self, question: Unindex) -> int:
        found = await self._do(lambda db: db.execute(
            f"DELETE FROM {self._passages} WHERE space = $1 AND ($2 = '' OR key = $2)",
            question.space, question.key,
        ))  # fmt: skip
        return _count(found)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    @property
    def _documents(self) -> str:
        return f"{self._rule.table}_documents"

    @property
    def _passages(self) -> str:
        return f"{self._rule.table}_passages"

    async def _sweep(self, db: Any, table: str, space: str, most: int | None) -> None:
        """Let go of some of what has expired, and of the oldest beyond ``most``."""
        await db.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} "
            "WHERE until <= now() LIMIT $1))",
            SWEEP,
        )
        if most is not None:
            await db.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} "
                "WHERE space = $1 ORDER BY kept_at DESC OFFSET $2 LIMIT $3))",
                space, most, SWEEP,
            )  # fmt: skip

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run ``work`` with a connection, in time; what fails is told without any value."""
        try:
            async with asyncio.timeout(self._rule.deadline_ms / 1e3):
                pool = await self._ready()
                async with pool.acquire() as db:
                    return await work(db)
        except TimeoutError as error:
            what = f"store {self._name!r} did not answer in {self._rule.deadline_ms} ms"
            raise TimeoutError(what) from error
        except self._asyncpg.PostgresError as error:
            kind = type(error).__name__
            raise AskFailed(f"store {self._name!r}: {kind} {error.sqlstate}") from error
        except self._asyncpg.InterfaceError as error:
            raise AskFailed(f"store {self._name!r}: {type(error).__name__}") from error

    async def _ready(self) -> Any:
        """The pool of connections, made and its tables with it when it is first wanted."""
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._loop is loop:
            return self._pool
        async with self._opening:
            if self._pool is None or self._loop is not loop:
                rule = self._rule
                pool = await self._asyncpg.create_pool(
                    host=rule.host, port=rule.port, database=rule.database, user=rule.user,
                    password=self._password, ssl=self._tls, min_size=0, max_size=rule.connections,
                    max_inactive_connection_lifetime=60.0,
                )  # fmt: skip
                try:
                    async with pool.acquire() as db:
                        await self._migrate(db)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool, self._loop = pool, loop
        return self._pool

    async def _migrate(self, db: Any) -> None:
        """Make what is not there, all or nothing; two routers at once wait for each other."""
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(8151963)")
            for table, columns in self._tables():
                await db.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (space text NOT NULL, key text NOT NULL, "
                    f"{columns}, kept_at timestamptz NOT NULL, until timestamptz, "
                    "PRIMARY KEY (space, key))"
                )
                await db.execute(
                    f"CREATE INDEX IF NOT EXISTS {table}_newest ON {table} (space, kept_at DESC)"
                )
                await db.execute(
                    f"CREATE INDEX IF NOT EXISTS {table}_until ON {table} (until) "
                    "WHERE until IS NOT NULL"
                )

    def _tables(self) -> list[tuple[str, str]]:
        tables = [(self._documents, "value bytea NOT NULL")]
        if self._rule.vectors is not None:
            vector = f"vector vector({self._rule.vectors}) NOT NULL"
            columns = f"text text NOT NULL, metadata bytea NOT NULL, {vector}"
            tables.append((self._passages, columns))
        return tables


def _tls(rule: PostgresSettings, name: str) -> ssl.SSLContext | bool:
    if not rule.tls:
        return False
    try:
        return ssl.create_default_context(cafile=rule.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError.one(
            f"cannot read {rule.ca_file}: {error.strerror or error}",
            where=f"stores.{name}.postgres.ca_file",
            fix="give a file of PEM certificates",
        ) from error


def _vector(vector: tuple[float, ...]) -> str:
    return "[" + ",".join(f"{x:.7g}" for x in vector) + "]"


def _passage(row: Any, score: float) -> Passage:
    try:
        metadata = msgspec.json.decode(row["metadata"], type=dict[str, Any])
    except UNREADABLE:
        metadata = {}
    return Passage(row["key"], row["text"], float(score), metadata)


def _count(status: str) -> int:
    """The number in ``DELETE 3``."""
    number = status.rpartition(" ")[2]
    return int(number) if number.isdigit() else 0
