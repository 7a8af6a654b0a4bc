"""``/maas-api``: tokens, API keys, tiers and models, as clients of Models-as-a-Service know them.

Served beside models on the data plane. A gateway that strips ``/maas-api`` may stand in front, so
tokens and keys are also at ``/v1/tokens`` and ``/v1/api-keys``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, TypedDict

import msgspec
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.gateway.api import Body, Endpoint
from wayside.gateway.further import Found as Answered
from wayside.gateway.further import Further, told
from wayside.maas import SHORTEST_NS, Maas, durations, shown
from wayside.maas.gate import HEALTH, JWKS, KEYS, LOOKUP, MODELS, TOKENS
from wayside.maas.keys import Key, Person, Taken, TooMany
from wayside.maas.lookup import looked_up
from wayside.settings import RouterSettings
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.outcome import Outcome, Reply, Request

MAX_BODY: Final = 1 << 20
MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1024
_NO_STORE: Final = (("cache-control", "no-store"),)
Handling = Callable[[Request, str], Coroutine[Any, Any, Outcome]]


class Groups(Body):
    """Those of somebody."""

    groups: Annotated[list[str], Field(min_length=1)]
    """By name."""


class Found(TypedDict):
    """The tier with the highest level that one of the groups is in."""

    tier: str
    displayName: str


class Bad(Exception):
    """400 as Models-as-a-Service says it: ``{"error": ..., ...}``."""

    def __init__(self, error: str, status: int = 400, **more: Any) -> None:
        super().__init__(error)
        self.status, self.body = status, {"error": error, **more}


class MaasApi:
    """``ready`` says of a configured model whether a server of it takes requests; ``created`` is
    when the router began."""

    def __init__(
        self,
        maas: Maas,
        settings: Callable[[], RouterSettings],
        ready: Callable[[str], bool],
        created: int,
    ) -> None:
        self._maas, self._settings = maas, settings
        self._ready, self._created = ready, created

    def add_to(self, further: Further) -> None:
        for path in JWKS:
            further.add("GET", path, lambda _, __: self._jwks())
        further.add("GET", HEALTH, lambda _, __: told({"status": "healthy"}))
        for path in TOKENS:
            further.add("POST", path, self._told(self._make_token))
            further.add("DELETE", path, self._told(self._revoke_tokens))
        for path in KEYS:
            further.add("POST", path, self._told(self._make_key))
            further.add("GET", path, self._told(self._list_keys))
            further.add("GET", f"{path}/{{id}}", self._told(self._get_key))
            further.add("DELETE", f"{path}/{{id}}", self._told(self._revoke_key))
        further.add("GET", MODELS, self._told(self._models))
        further.add("POST", LOOKUP, self._told(self._lookup))

    def endpoints(self) -> list[Endpoint]:
        """Of the management API, whose callers show no token: what Authorino asks."""

        async def lookup(http: HttpRequest) -> Response:
            raw = b""
            async for chunk in http.stream():
                raw += chunk
                if len(raw) > MAX_BODY:
                    return JSONResponse({"error": "bad_request", "message": "too large"}, 413)
            status, body = looked_up(self._maas.tiers, raw)
            return JSONResponse(body, status)

        return [
            Endpoint(
                "POST",
                "/v1/tiers/lookup",
                lookup,
                "Which tier some groups are in.",
                also=LOOKUP,
                body=Groups,
                answer=Found,
                refusals=((404, "no tier has any of the groups"),),
                example={"groups": ["system:authenticated"]},
            )
        ]

    def _told(self, handling: Handling) -> Callable[[Request, str], Answered]:
        """``handling``, and what goes wrong in it as clients of Models-as-a-Service expect it."""

        async def answered(request: Request, id: str) -> Outcome:
            try:
                if len(request.body) > MAX_BODY:
                    raise Bad(f"the body has more than {MAX_BODY} bytes", 413)
                return await handling(request, id)
            except Bad as bad:
                return told(bad.body, bad.status, _NO_STORE)
            except (AskFailed, OSError, TimeoutError) as error:
                self._maas.log("maas-api failed", level="error", error=str(error))
                raise shown.unknown() from None

        return answered

    # keys of ours

    def _jwks(self) -> Reply:
        return told(self._maas.jwks(), headers=(("cache-control", "public, max-age=60"),))

    # tokens

    async def _make_token(self, request: Request, _: str) -> Outcome:
        person = await self._himself(request)
        body = _object(request.body, ("expiration",))
        ns = self._expiration(body, self._maas.settings.token_ttl, "token")
        tier = self._maas.tier(person)
        if tier is None:
            raise Bad(_NO_TIER, 403)
        try:
            made = await self._maas.mint(person, tier, ns)
        except Taken:
            raise Bad("somebody else has an account of this name", 403) from None
        self._maas.log(
            "token made", user=person.user, tier=tier.name, key=made.jti, expires=made.expires_at
        )
        body = {
            "token": made.token,
            "expiration": durations.text(ns),
            "expiresAt": made.expires_at,
            "issuedAt": made.issued_at,
            "jti": made.jti,
        }
        return told(body, 201, _NO_STORE)

    async def _revoke_tokens(self, request: Request, _: str) -> Outcome:
        person, _ours = await self._maas.asker(request.headers)
        await self._maas.revoke(person)
        self._maas.log("tokens revoked", user=person.user)
        return msgspec.structs.replace(told({}, 204), body=b"")

    # API keys

    async def _make_key(self, request: Request, _: str) -> Outcome:
        person = await self._himself(request)
        body = _object(request.body, ("name", "description", "expiration"))
        name, description = body.get("name"), body.get("description") or ""
        if not isinstance(name, str) or not name.strip():
            raise Bad("token name is required for api keys")
        for key, text, most in (
            ("name", name, MAX_NAME),
            ("description", description, MAX_DESCRIPTION),
        ):
            if not isinstance(text, str) or len(text) > most or "\0" in text:
                raise Bad(f"{key}: a text of at most {most} characters is wanted")
        ns = self._expiration(body, self._maas.settings.key_ttl, "token")
        if self._maas.tier(person) is None:
            raise Bad(_NO_TIER, 403)
        now = int(self._maas.clock())
        ends = now + ns // durations.SECOND
        try:
            id, secret = await self._maas.keys.make(person, name, description, now, ends)
        except TooMany:
            raise Bad("you have as many keys as you may; revoke one", 403) from None
        self._maas.log("key made", user=person.user, key=id, name=name, expires=ends)
        body = {
            "token": secret,
            "expiration": durations.text(ns),
            "expiresAt": ends,
            "jti": id,
            "name": name,
            "description": description,
        }
        return told(body, 201, _NO_STORE)

    async def _list_keys(self, request: Request, _: str) -> Outcome:
        person, _ours = await self._maas.asker(request.headers)
        keys = await self._maas.keys.of(person.user)
        return told([self._shown(key) for key in keys], headers=_NO_STORE)

    async def _get_key(self, request: Request, id: str) -> Outcome:
        return told(self._shown(await self._key(request, id)), headers=_NO_STORE)

    async def _revoke_key(self, request: Request, id: str) -> Outcome:
        key = await self._key(request, id)
        if not await self._maas.keys.revoke(key.id, int(self._maas.clock())):
            raise Bad(_NO_KEY, 404)
        self._maas.log("key revoked", user=key.person.user, key=key.id)
        return msgspec.structs.replace(told({}, 204), body=b"")

    async def _key(self, request: Request, id: str) -> Key:
        """The key of whoever asks, or of anybody for administrators. Somebody else's is not told
        from one that is not there."""
        person, ours = await self._maas.asker(request.headers)
        key = await self._maas.keys.get(id)
        admin = not ours and self._maas.is_admin(person)
        if key is None or not (admin or key.person.user == person.user):
            raise Bad(_NO_KEY, 404)
        return key

    def _shown(self, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": key.id,
            "name": key.name,
            "description": key.description,
            "creationDate": _date(key.created_at),
            "expirationDate": _date(key.expires_at),
            "status": key.status(self._maas.clock()),
        }
        if key.used_at is not None:
            found["lastUsedDate"] = _date(key.used_at)
        return found

    # models and tiers

    async def _models(self, request: Request, _: str) -> Outcome:
        person, _ours = await self._maas.asker(request.headers)
        try:
            caller = await self._maas.caller(person)
        except (AskFailed, OSError, TimeoutError):
            raise RequestError(
                "Failed to retrieve LLM models", status=500, kind="server_error"
            ) from None
        models = self._settings().models
        root = _root(request.headers)
        data = [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": model.provider or "wayside",
                "url": f"{root}/{name}",
                "ready": self._ready(name),
                "modelDetails": {"description": model.description, "displayName": name},
            }
            for name, model in models.items()
            if caller.may(name)
        ]
        return told({"object": "list", "data": data}, headers=_NO_STORE)

    async def _lookup(self, request: Request, _: str) -> Outcome:
        """Where tokens are shown, for anybody who has one: it says what a group is worth."""
        await self._maas.asker(request.headers)
        status, body = looked_up(self._maas.tiers, request.body)
        return told(body, status)

    async def _himself(self, request: Request) -> Person:
        """Who asks with a token of their own: what we gave away makes no more of it, else whoever
        got hold of a short token would have one for ever."""
        person, ours = await self._maas.asker(request.headers)
        if ours:
            raise Bad("a token of maas-api makes no others; show who you are yourself", 403)
        return person

    def _expiration(self, body: Mapping[str, Any], default: str, what: str) -> int:
        """Nanoseconds for which the client wants it."""
        said = body.get("expiration")
        try:
            ns = durations.parse(default) if said is None else durations.read(said)
        except ValueError as error:
            raise Bad(str(error)) from None
        given = durations.text(ns)
        if ns <= 0:
            raise Bad("expiration must be positive")
        if ns < SHORTEST_NS:
            raise Bad(f"{what} expiration must be at least 10 minutes", provided_expiration=given)
        most = durations.parse(self._maas.settings.max_ttl)
        if ns > most:
            raise Bad(
                f"{what} expiration must be at most {durations.text(most)}",
                provided_expiration=given,
            )
        return ns


def _object(raw: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    """The body's fields; none of an empty body."""
    if not raw.strip():
        return {}
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise Bad("invalid request body: not JSON") from None
    if not isinstance(found, dict):
        raise Bad("invalid request body: a JSON object is wanted")
    unknown = sorted(found.keys() - set(known))
    if unknown:
        raise Bad(f"unknown field {unknown[0][:64]!r}; this takes {', '.join(known)}")
    return found


def _root(headers: Mapping[str, str]) -> str:
    """Where the client found us, as far as it says that."""
    host = headers.get("host", "localhost")
    proto = headers.get("x-forwarded-proto", "http")
    return f"{'https' if proto == 'https' else 'http'}://{host}"


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


_NO_KEY: Final = "API key not found"
_NO_TIER: Final = "you are in no tier: no group of yours is in one"
