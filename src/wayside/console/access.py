"""Who may ask models: tiers, keys, and what was used. Keys are made here for programs."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any, Final

from pydantic import Field, PositiveFloat
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from typing_extensions import TypedDict

from wayside.console.inside import Inside, note, who
from wayside.console.shapes import Access, AccessKey, AccessTier, AccessUsage, TierLimit
from wayside.console.sums import currency_of
from wayside.console.told import told
from wayside.gateway.api import ApiError, Body, Endpoint, parsed
from wayside.maas import SHORTEST_NS, Maas, durations, names
from wayside.maas.keys import Key, Person, TooMany
from wayside.maas.people import CONSOLE, MADE_HERE
from wayside.maas.tiers import allowed
from wayside.maas.usage import Question, added_up
from wayside.settings.maas import TierSettings
from wayside.settings.problems import suggest
from wayside.vocab.errors import AskFailed

KEYS: Final = 1_000
USED: Final = 500
"""Lines of usage, those with the most tokens first."""
DAYS: Final = 30
"""For so long back."""


class NewKey(Body):
    """A key for a program."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What it is for; keys of the same name share what they may take."""
    tier: str = Field(max_length=64)
    """Which models, and how much: a tier's name."""
    expires_s: PositiveFloat | None = None
    """Seconds until it is over; `maas.key_ttl` when absent."""


class Made(TypedDict):
    """The key, which is never told again."""

    key: str


class AccessData:
    """From :mod:`wayside.maas`, where that is configured."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def endpoints(self) -> list[Endpoint]:
        off = (404, "This router has no maas, and asks nobody who they are.")
        away = (503, "The keys cannot be read or written now.")
        return [
            Endpoint("GET", "/access", self._get, "Tiers, keys, and what was used.",
                     answer=Access, refusals=(off, away)),
            Endpoint("POST", "/access/keys", self._make, "A key for a program, told once.",
                     role="admin", deed="make a key", body=NewKey, answer=Made,
                     refusals=(off, away),
                     example={"name": "nightly-report", "tier": "free"}),
            Endpoint("DELETE", "/access/keys/{id}", self._revoke, "It is void from now on.",
                     role="admin", deed="revoke a key", refusals=(off, away)),
        ]  # fmt: skip

    async def _get(self, _: HttpRequest) -> Response:
        maas = self._maas()
        keys = await _known(maas.keys.everybody(KEYS))
        answer: Access = {
            "tiers": [self._tier(tier) for tier in maas.tiers.all],
            "keys": [_key(maas, key) for key in keys],
            "usage": await self._usage(maas),
            "currency": currency_of(self._inside.telemetry.prices),
        }
        return told(answer)

    async def _make(self, http: HttpRequest) -> Response:
        maas, body = self._maas(), await parsed(http, NewKey)
        tiers = [tier.name for tier in maas.tiers.all]
        if body.tier not in tiers:
            raise ApiError(400, "INVALID_INPUT", f"tier: no {body.tier!r}; "
                           + suggest(body.tier, tiers, "tiers"))  # fmt: skip
        now = int(maas.clock())
        ends = now + _seconds(maas, body.expires_s)
        # The group of the tier's own ServiceAccounts is in no other tier, whatever people's are.
        space = names.namespace(maas.instance, body.tier)
        person = Person(MADE_HERE + body.name, (f"{names.GROUP}:{space}",), CONSOLE)
        by = f"made in the console by {who(http).name}"
        try:
            id, secret = await _known(maas.keys.make(person, body.name, by, now, ends))
        except TooMany:
            said = f"name: {body.name!r} has as many keys as it may have; revoke one"
            raise ApiError(400, "INVALID_INPUT", said) from None
        note(http, f"key {id} ({body.name}, tier {body.tier})")
        maas.log("key made", user=person.user, key=id, name=body.name, by=who(http).name)
        answer: Made = {"key": secret}
        return told(answer)

    async def _revoke(self, http: HttpRequest) -> Response:
        maas, id = self._maas(), http.path_params["id"]
        note(http, f"key {id[:64]}")
        if not await _known(maas.keys.revoke(id, int(maas.clock()))):
            raise ApiError(404, "KEY_NOT_FOUND", "no such key that is not revoked already")
        maas.log("key revoked", key=id, by=who(http).name)
        return told({"revoked": True})

    def _maas(self) -> Maas:
        if self._inside.maas is None:
            said = "this router asks nobody who they are; configure maas to have tiers and keys"
            raise ApiError(404, "NO_MAAS", said)
        return self._inside.maas

    def _tier(self, tier: TierSettings) -> AccessTier:
        limits: list[TierLimit] = []
        for what in ("requests", "tokens", "budgets"):
            limits += [
                {"what": what, "amount": float(limit.limit), "window": limit.window}
                for limit in getattr(tier, what)
            ]
        return {
            "name": tier.name,
            "level": tier.level,
            "groups": list(tier.groups),
            "models": sorted(allowed(self._inside.settings().models, tier.name)),
            "limits": limits,
        }

    async def _usage(self, maas: Maas) -> list[AccessUsage]:
        """Of the last thirty days; nothing where no ledger is kept."""
        ledger = maas.metering.ledger
        if ledger is None:
            return []
        by = ("user", "tier", "model")
        question = Question(by=by, since=maas.clock() - DAYS * 86_400, limit=USED)

        def read() -> list[dict[str, Any]]:
            ledger.flushed()
            return added_up(ledger.path, question)

        try:
            rows = await asyncio.to_thread(read)
        except FileNotFoundError:
            return []  # nobody has asked anything yet
        except (OSError, sqlite3.Error) as error:
            maas.log("usage not read", level="error", why=str(error))
            raise ApiError(503, "NO_USAGE", "usage cannot be read now") from None
        main = currency_of(self._inside.telemetry.prices)
        return [
            {
                "who": row["user"],
                "tier": row["tier"],
                "model": row["model"],
                "requests": row["requests"],
                "prompt_tokens": row["prompt_tokens"],
                "completion_tokens": row["completion_tokens"],
                "cost": row["cost"] if row["currency"] in ("", main) else 0.0,
            }
            for row in rows
        ]


async def _known(asking: Any) -> Any:
    """What the keys' database says. Raises :class:`ApiError` (503) where it says nothing."""
    try:
        return await asking
    except (AskFailed, OSError, TimeoutError) as error:
        raise ApiError(503, "KEYS_UNAVAILABLE", f"keys cannot be asked now: {error}") from None


def _seconds(maas: Maas, wanted: float | None) -> int:
    """How long a new key is good for. Raises :class:`ApiError`."""
    if wanted is None:
        return durations.parse(maas.settings.key_ttl) // durations.SECOND
    least = SHORTEST_NS // durations.SECOND
    most = durations.parse(maas.settings.max_ttl) // durations.SECOND
    if not least <= wanted <= most:
        said = f"expires_s: from {least} to {most} (maas.max_ttl)"
        raise ApiError(400, "INVALID_INPUT", said)
    return int(wanted)


def _key(maas: Maas, key: Key) -> AccessKey:
    tier = maas.tiers.lookup(key.person.groups)
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.person.user,
        "tier": tier.name if tier else "",
        "created": key.created_at,
        "expires": key.expires_at,
        "last_used": key.used_at,
        "revoked": key.revoked_at is not None,
    }
