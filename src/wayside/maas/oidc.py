"""People whom an identity provider knows (OpenID Connect): its tokens are verified here, with the
keys that it publishes."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httptools
import msgspec

from wayside.maas.claims import check, text
from wayside.maas.jose import BadToken, ForeignKey, claims, head, verified
from wayside.maas.keys import Person
from wayside.maas.names import AUTHENTICATED
from wayside.net.h1 import Connection, TooLarge
from wayside.settings.address import Address, parse_address
from wayside.settings.maas import OidcSettings
from wayside.vocab.errors import AskFailed, ConfigError

LEEWAY_S: Final = 30.0
"""By so much clocks may differ."""
FRESH_S: Final = 600.0
"""Keys are asked for again after so long."""
STALE_S: Final = 3600.0
"""For so long they are believed while their publisher does not answer."""
PAUSE_S: Final = 10.0
"""Whatever tokens say: the publisher is not asked more often."""
DEADLINE_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
MAX_KEYS: Final = 100
MAX_GROUPS: Final = 1000
MAX_NAME: Final = 253
_SYSTEM: Final = "system:"
"""Names that begin so are the cluster's to give: among them are the groups of tiers' accounts."""


class Oidc:
    """One provider: :class:`~wayside.maas.people.People`."""

    def __init__(
        self,
        settings: OidcSettings,
        where: str,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises :class:`ConfigError` for certificates that cannot be read."""
        self._settings, self._clock, self._steady = settings, clock, steady
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise ConfigError.one(
                f"cannot read {settings.ca_file}: {error.strerror or error}",
                where=f"{where}.ca_file",
                fix="give a file of PEM certificates",
            ) from None
        self._keys: dict[str, ForeignKey] = {}
        self._read_at = self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._problem = ""

    async def find(self, token: str) -> Person | None:
        """``None`` for tokens of others, and those that are not good. Raises :class:`AskFailed`
        where the provider's keys cannot be had."""
        try:
            said = head(token)
            if claims(token).get("iss") != self._settings.issuer:
                return None
            key = await self._key(said)
            if key is None or said.get("alg") not in key.algorithms:
                return None
            found = verified(token, key.key, said["alg"])
            check(
                found,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                now=self._clock(),
                leeway_s=LEEWAY_S,
            )
            return self._person(found)
        except BadToken:
            return None

    def _person(self, found: Mapping[str, Any]) -> Person:
        rule = self._settings
        user = text(found, rule.user_claim)
        if len(user) > MAX_NAME or not user.isprintable() or user.startswith(_SYSTEM):
            raise BadToken("a name that cannot be anybody's")
        if rule.user_claim == "email" and found.get("email_verified") is not True:
            raise BadToken("an address that nobody verified")
        said = found.get(rule.groups_claim, [])
        groups = [said] if isinstance(said, str) else said
        if not isinstance(groups, list) or len(groups) > MAX_GROUPS:
            raise BadToken("groups that are no list, or too many")
        kept = [
            group
            for group in groups
            if isinstance(group, str) and group and not group.startswith(_SYSTEM)
        ]
        return Person(
            rule.user_prefix + user, tuple(dict.fromkeys((*kept, AUTHENTICATED))), rule.issuer
        )

    async def _key(self, said: Mapping[str, Any]) -> ForeignKey | None:
        """The key that a token names, or the only one where it names none."""
        kid = said.get("kid")
        if kid is not None and not isinstance(kid, str):
            return None
        now = self._steady()
        if now - self._read_at > FRESH_S or self._pick(kid) is None:
            await self._refresh()
        if self._steady() - self._read_at > STALE_S:
            raise AskFailed(f"the keys of {self._settings.issuer}: {self._problem}")
        return self._pick(kid)

    def _pick(self, kid: str | None) -> ForeignKey | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _refresh(self) -> None:
        """Ask for the keys, unless that was just done."""
        async with self._asking:
            if self._steady() - self._asked_at < PAUSE_S:
                return
            self._asked_at = self._steady()
            try:
                self._keys = await self._published()
            except (OSError, TimeoutError, ValueError, AskFailed) as error:
                self._problem = str(error) or type(error).__name__
                return
            self._read_at = self._steady()

    async def _published(self) -> dict[str, ForeignKey]:
        url = self._settings.jwks_url
        if not url:
            issuer = self._settings.issuer
            about = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if about.get("issuer") != issuer:
                raise AskFailed("its configuration is another issuer's")
            url = str(about.get("jwks_uri", ""))
            if not secure(url):
                raise AskFailed("its keys are not at an https address")
        found = (await self._get(url)).get("keys")
        if not isinstance(found, list) or len(found) > MAX_KEYS:
            raise AskFailed("it publishes no list of keys")
        keys = {}
        for jwk in found:
            try:
                key = ForeignKey(jwk)
            except (ValueError, TypeError, AttributeError, KeyError):
                continue  # for another purpose, or of a kind that is not known here
            keys[key.kid] = key
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        """The JSON object there. Redirects are not followed: it is known where the keys are."""
        plain, _, query = url.partition("?")
        address = parse_address(plain)
        target = (address.base_path or "/") + (f"?{query}" if query else "")
        request = (
            f"GET {target} HTTP/1.1\r\nhost: {address.authority}\r\naccept: application/json\r\n"
            "user-agent: wayside\r\nconnection: close\r\n\r\n"
        ).encode("latin-1", "replace")
        async with asyncio.timeout(DEADLINE_S):
            answer = await self._exchange(address, request)
        if answer.status != 200:
            raise AskFailed(f"{address.authority} answered {answer.status}")
        try:
            found = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            found = None
        if not isinstance(found, dict):
            raise AskFailed(f"{address.authority} answered no JSON object")
        return found

    async def _exchange(self, address: Address, request: bytes) -> Any:
        tls = self._tls if address.scheme == "https" else None
        connection = await Connection.open(address, tls, address.host if tls else None)
        try:
            return await connection.exchange(request, MAX_BYTES, None)
        except (TooLarge, httptools.HttpParserError):
            raise AskFailed(f"{address.authority} did not answer as was asked") from None
        finally:
            connection.drop()


def secure(url: str) -> bool:
    """https, or http that stays on this machine."""
    try:
        address = parse_address(url.partition("?")[0])
    except ValueError:
        return False
    return address.scheme == "https" or address.host in ("127.0.0.1", "::1", "localhost")
