"""What is kept of people: their accounts, whose ``uid`` tokens name, and their API keys, hashed.

``epoch`` is counted up whenever something is revoked. What was believed in an earlier epoch is
looked at again, so that a revocation takes effect with the next request, in every process that
shares the database.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

PREFIX: Final = "sk-oai-"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MOST_KEYS: Final = 100
"""Of one user, at once."""
KEPT_S: Final = 30 * 86_400
"""For how long a key that is over is still told of."""

Row = Sequence[Any]
Statement = tuple[str, tuple[Any, ...]]

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS maas_epoch (one BIGINT PRIMARY KEY, n BIGINT NOT NULL)",
    "INSERT INTO maas_epoch (one, n) VALUES (1, 1) ON CONFLICT (one) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS maas_accounts (space TEXT NOT NULL, name TEXT NOT NULL, "
    "username TEXT NOT NULL, source TEXT NOT NULL, member_of TEXT NOT NULL, uid TEXT NOT NULL, "
    "PRIMARY KEY (space, name))",
    "CREATE TABLE IF NOT EXISTS maas_keys (id TEXT PRIMARY KEY, username TEXT NOT NULL, "
    "source TEXT NOT NULL, member_of TEXT NOT NULL, name TEXT NOT NULL, "
    "description TEXT NOT NULL, hash TEXT NOT NULL, created_at BIGINT NOT NULL, "
    "expires_at BIGINT NOT NULL, revoked_at BIGINT, used_at BIGINT)",
    "CREATE INDEX IF NOT EXISTS maas_keys_of ON maas_keys (username, created_at)",
)


class Database(Protocol):
    """SQL with ``$1`` for arguments. Raises :class:`AskFailed` where it does not answer."""

    def fresh(self) -> int | None:
        """The epoch, where it is known without waiting."""
        ...

    async def epoch(self) -> int: ...
    async def read(self, sql: str, *args: Any) -> list[Row]: ...
    async def change(self, *statements: Statement) -> list[Row]:
        """All of them or none; what the last one returns."""
        ...

    def close(self) -> None: ...


class Person(NamedTuple):
    """Somebody who proved who they are. ``source`` is who says so: ``users``, an issuer's URL,
    ``kubernetes``."""

    user: str
    groups: tuple[str, ...]
    source: str


class Held(NamedTuple):
    """An account, as it is kept."""

    person: Person
    uid: str


class Key(NamedTuple):
    """An API key, as it is kept: never the key. Times in seconds since 1970."""

    id: str
    person: Person
    name: str
    description: str
    hash: str
    created_at: int
    expires_at: int
    revoked_at: int | None
    used_at: int | None

    def status(self, now: float) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"


class Taken(Exception):
    """The account's name is somebody else's."""


class TooMany(Exception):
    """This user has :data:`MOST_KEYS` already."""


class Keys:
    """Accounts and keys in ``database``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.fresh, self.epoch, self.close = database.fresh, database.epoch, database.close

    # accounts

    async def uid(self, space: str, name: str, person: Person) -> str:
        """The account's, which is made where there is none. Raises :class:`Taken`."""
        rows = await self._db.change((
            "INSERT INTO maas_accounts (space, name, username, source, member_of, uid) "
            "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (space, name) DO UPDATE "
            "SET member_of = excluded.member_of "
            "WHERE maas_accounts.username = excluded.username "
            "AND maas_accounts.source = excluded.source RETURNING uid",
            (space, name, person.user, person.source, _text(person.groups), str(uuid.uuid4())),
        ))  # fmt: skip
        if not rows:
            raise Taken(name)
        return str(rows[0][0])

    async def account(self, space: str, name: str) -> Held | None:
        rows = await self._db.read(
            "SELECT username, member_of, source, uid FROM maas_accounts "
            "WHERE space = $1 AND name = $2",
            space, name,
        )  # fmt: skip
        if not rows:
            return None
        user, groups, source, uid = rows[0]
        return Held(Person(user, _groups(groups), source), uid)

    async def lives(self, uid: str) -> bool:
        """Whether the account with this ``uid`` was not revoked."""
        return bool(await self._db.read("SELECT 1 FROM maas_accounts WHERE uid = $1", uid))

    async def revoke_all(self, user: str, now: int) -> None:
        """Every token and every key of ``user`` is void from now on."""
        await self._db.change(
            ("DELETE FROM maas_accounts WHERE username = $1", (user,)),
            ("UPDATE maas_keys SET revoked_at = $2 WHERE username = $1 AND revoked_at IS NULL "
             "AND expires_at > $2", (user, now)),
            _NEXT_EPOCH,
        )  # fmt: skip

    # keys

    async def make(
        self, person: Person, name: str, description: str, now: int, expires_at: int
    ) -> tuple[str, str]:
        """A new key: its id, and the key itself, which is never told again. Raises
        :class:`TooMany`."""
        id, secret = base62(12), base62(32)
        rows = await self._db.change(
            ("DELETE FROM maas_keys WHERE username = $1 AND (expires_at <= $2 OR revoked_at "
             "IS NOT NULL) AND (expires_at < $3 OR revoked_at < $3 OR id NOT IN (SELECT id FROM "
             "maas_keys WHERE username = $1 ORDER BY created_at DESC, id LIMIT $4))",
             (person.user, now, now - KEPT_S, MOST_KEYS)),
            ("INSERT INTO maas_keys (id, username, source, member_of, name, description, hash, "
             "created_at, expires_at) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), "
             "CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), "
             "CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT) "
             "WHERE (SELECT count(*) FROM maas_keys WHERE username = CAST($2 AS TEXT) "
             "AND revoked_at IS NULL AND expires_at > CAST($8 AS BIGINT)) "
             "< CAST($10 AS BIGINT) RETURNING id",
             (id, person.user, person.source, _text(person.groups), name, description,
              hashed(id, secret), now, expires_at, MOST_KEYS)),
        )  # fmt: skip
        if not rows:
            raise TooMany(person.user)
        return id, f"{PREFIX}{id}_{secret}"

    async def of(self, user: str) -> list[Key]:
        """The newest first."""
        rows = await self._db.read(
            f"{_KEY} WHERE username = $1 ORDER BY created_at DESC, id LIMIT {10 * MOST_KEYS}", user
        )
        return [_key(row) for row in rows]

    async def get(self, id: str) -> Key | None:
        rows = await self._db.read(f"{_KEY} WHERE id = $1", id)
        return _key(rows[0]) if rows else None

    async def find(self, shown: str) -> Key | None:
        """The key that ``shown`` is, whatever its status; ``None`` for what is no key of ours."""
        id, _, secret = shown.removeprefix(PREFIX).partition("_")
        key = await self.get(id) if secret and shown.startswith(PREFIX) else None
        wanted = key.hash if key else "0" * 64
        return key if hmac.compare_digest(wanted, hashed(id, secret)) else None

    async def revoke(self, id: str, now: int) -> bool:
        """Whether there was such a key that was not revoked yet."""
        rows = await self._db.change(
            ("UPDATE maas_epoch SET n = n + 1 WHERE one = 1", ()),
            ("UPDATE maas_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL "
             "RETURNING id", (id, now)),
        )  # fmt: skip
        return bool(rows)

    async def used(self, id: str, now: int) -> None:
        await self._db.change(("UPDATE maas_keys SET used_at = $2 WHERE id = $1", (id, now)))

    async def everybody(self, limit: int) -> list[Key]:
        """For administrators: the newest first."""
        rows = await self._db.read(f"{_KEY} ORDER BY created_at DESC, id LIMIT $1", limit)
        return [_key(row) for row in rows]


def hashed(id: str, secret: str) -> str:
    """What is kept of a key. Its secret has 256 bits, so that nothing slower is needed."""
    return hashlib.sha256(f"{id}\0{secret}".encode("utf-8", "surrogatepass")).hexdigest()


def base62(count: int) -> str:
    """``count`` random bytes as letters and digits; the same length each time."""
    n = int.from_bytes(secrets.token_bytes(count))
    digits = []
    for _ in range(-(-count * 8 * 1000 // 5954)):  # log2(62) is 5.954
        n, digit = divmod(n, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


_NEXT_EPOCH: Final[Statement] = ("UPDATE maas_epoch SET n = n + 1 WHERE one = 1", ())
_KEY: Final = (
    "SELECT id, username, member_of, source, name, description, hash, created_at, expires_at, "
    "revoked_at, used_at FROM maas_keys"
)


def _key(row: Row) -> Key:
    id, user, groups, source, *rest = row
    return Key(id, Person(user, _groups(groups), source), *rest)


def _text(groups: Sequence[str]) -> str:
    return json.dumps(list(groups))


def _groups(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
