"""Logging in with an identity provider: OpenID Connect's authorisation code flow, with PKCE.

What comes back is believed when it belongs to a login that this browser began here (``state`` and
a cookie), when the provider itself gives a token for the code, and when that token is signed by
it, for us, and for this very login (``nonce``).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import quote, urlencode

import httptools
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wayside.console.door import Door
from wayside.console.inside import Who
from wayside.console.sessions import RANKS, hashed
from wayside.gateway.api import ApiError, Role
from wayside.maas import jose
from wayside.maas.oidc import Oidc as Verifier
from wayside.maas.oidc import secure
from wayside.net.h1 import Connection, TooLarge
from wayside.runtime.keys import KeyRing
from wayside.settings import CredentialSettings
from wayside.settings.address import parse_address
from wayside.settings.console import ConsoleOidcSettings
from wayside.settings.maas import OidcSettings
from wayside.telemetry import Log
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.outcome import Credential

LOGIN_S: Final = 600.0
"""A login has to come to its end in that time."""
MOST: Final = 500
"""Logins under way; the oldest is forgotten."""
ABOUT_S: Final = 3600.0
DEADLINE_S: Final = 10.0
MAX_BYTES: Final = 256 << 10
COOKIE: Final = "wayside_console_login"
_WHERE: Final = "management.console.oidc"
_LEFT: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Wayside console</title>'
    '<meta http-equiv="refresh" content="0;url=/console/">'
    '<p><a href="/console/">Go on to the console</a></p></html>'
)
"""The session's cookie is sent only with requests that begin at our own pages, so that a redirect
would arrive without it: this page makes the next request one of ours."""


@dataclass(frozen=True, slots=True)
class _Login:
    """One that is under way. ``browser`` is the hash of its cookie."""

    browser: str
    nonce: str
    verifier: str
    back: str
    ends: float


class Oidc:
    """One provider."""

    def __init__(
        self,
        settings: ConsoleOidcSettings,
        url: str,
        keys: KeyRing,
        log: Log,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``url`` is where people reach the console, where that is another address than ours.
        Raises :class:`ConfigError` for packages, secrets and certificates that are not there."""
        try:
            jose.available()
        except ConfigError as error:
            what = error.problems[0]
            raise ConfigError.one(what.what, where=_WHERE, fix=what.fix) from None
        self.name = settings.name
        self._settings, self._url, self._log, self._steady = settings, url, log, steady
        self._secret = _secret(settings, keys)
        self._verifier = Verifier(
            OidcSettings(
                issuer=settings.issuer,
                audience=settings.client_id,
                user_claim=settings.user_claim,
                groups_claim=settings.groups_claim,
                ca_file=settings.ca_file,
            ),
            _WHERE,
            clock=clock,
            steady=steady,
        )
        self._tls = ssl.create_default_context(cafile=settings.ca_file)
        self._under_way: OrderedDict[str, _Login] = OrderedDict()
        self._about: tuple[float, dict[str, Any]] = (float("-inf"), {})

    def routes(self, door: Door) -> list[BaseRoute]:
        """``/oidc/login`` begins a login, ``/oidc/callback`` ends it."""

        async def back(http: HttpRequest) -> Response:
            try:
                return await self._ended(http, door)
            except ApiError as error:
                self._log("login refused", level="warning", why=str(error))
                door.write(http, Who("", "viewer"), "log in", "single sign-on",
                           f"refused: {error.code}")  # fmt: skip
                return _page(error)

        async def begin(http: HttpRequest) -> Response:
            try:
                return await self._begun(http, door)
            except ApiError as error:
                self._log("login refused", level="warning", why=str(error))
                return _page(error)

        return [
            Route("/oidc/login", begin, methods=["GET"]),
            Route("/oidc/callback", back, methods=["GET"]),
        ]

    async def _begun(self, http: HttpRequest, door: Door) -> Response:
        """Send the browser to the provider."""
        about = await self._found()
        browser, state, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        verifier = secrets.token_urlsafe(48)
        back = self._back(http)
        while len(self._under_way) >= MOST:
            self._under_way.popitem(last=False)
        ends = self._steady() + LOGIN_S
        self._under_way[state] = _Login(hashed(browser), nonce, verifier, back, ends)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        there = str(about["authorization_endpoint"])
        answer = RedirectResponse(f"{there}{'&' if '?' in there else '?'}{urlencode(query)}", 302)
        answer.set_cookie(
            COOKIE,
            browser,
            max_age=int(LOGIN_S),
            path="/console/oidc",
            secure=door.secure(http),
            httponly=True,
            samesite="lax",  # it comes back by a link of the provider's
        )
        answer.headers["cache-control"] = "no-store"
        return answer

    async def _ended(self, http: HttpRequest, door: Door) -> Response:
        """Let somebody in whom the provider sends back. Raises :class:`ApiError`."""
        query = http.query_params
        login = self._under_way.pop(query.get("state", ""), None)
        browser = hashed(http.cookies.get(COOKIE, ""))
        if login is None or login.ends <= self._steady():
            raise ApiError(400, "LOGIN_UNKNOWN", "this login is not known, or took too long")
        if not hmac.compare_digest(browser, login.browser):
            raise ApiError(400, "LOGIN_UNKNOWN", "this login was begun in another browser")
        if "error" in query:
            raise ApiError(403, "LOGIN_FAILED", "the identity provider did not log you in")
        issuer = query.get("iss")  # RFC 9207: another provider's answer, mixed up
        if issuer is not None and issuer != self._settings.issuer:
            raise ApiError(400, "LOGIN_FAILED", "the answer is another provider's")
        token = await self._exchanged(query.get("code", ""), login)
        who = await self._believed(token, login.nonce)
        told = await door.let_in(http, who)
        answer = HTMLResponse(_LEFT, headers={"cache-control": "no-store"})
        for name, value in told.raw_headers:
            if name == b"set-cookie":
                answer.raw_headers.append((name, value))
        answer.delete_cookie(COOKIE, path="/console/oidc")
        return answer

    async def _believed(self, token: str, nonce: str) -> Who:
        """Who ``token`` says has logged in just now."""
        try:
            person = await self._verifier.find(token)
        except AskFailed as error:
            raise ApiError(503, "PROVIDER_UNAVAILABLE", str(error)) from None
        if person is None:
            raise ApiError(403, "LOGIN_FAILED", "the provider's token is not good, or not for us")
        claims = jose.claims(token)
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise ApiError(403, "LOGIN_FAILED", "the provider's token is for another login")
        azp, meant = claims.get("azp"), claims.get("aud")
        several = isinstance(meant, list) and len(meant) > 1
        if azp != self._settings.client_id and (azp is not None or several):
            raise ApiError(403, "LOGIN_FAILED", "the provider's token is for another client")
        role = self._role(person.groups)
        if role is None:
            said = f"{person.user} has no role here: ask for a group that has one"
            raise ApiError(403, "NO_ROLE", said)
        return Who(person.user, role)

    def _role(self, groups: tuple[str, ...]) -> Role | None:
        """The highest of the roles that ``groups`` have."""
        rule = self._settings
        found = [role for role, names in rule.roles.items() if not set(names).isdisjoint(groups)]
        found += [rule.everyone] if rule.everyone is not None else []
        return max(found, key=lambda role: RANKS[role], default=None)

    async def _exchanged(self, code: str, login: _Login) -> str:
        """The token that the provider gives for ``code``."""
        about = await self._found()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.back,
            "client_id": self._settings.client_id,
            "code_verifier": login.verifier,
        }
        header = ""
        if self._secret is not None:
            methods = about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in methods:
                pair = f"{quote(self._settings.client_id, '')}:{quote(self._secret.value, '')}"
                header = f"authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
            else:
                form["client_secret"] = self._secret.value
        found = await self._asked("POST", str(about["token_endpoint"]), urlencode(form), header)
        token = found.get("id_token")
        if not isinstance(token, str):
            raise ApiError(403, "LOGIN_FAILED", "the provider gave no token for the login")
        return token

    async def _found(self) -> dict[str, Any]:
        """What the provider publishes about itself, of the last hour."""
        read_at, about = self._about
        if self._steady() - read_at < ABOUT_S:
            return about
        issuer = self._settings.issuer
        about = await self._asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        ends = ("authorization_endpoint", "token_endpoint")
        if about.get("issuer") != issuer or not all(secure(str(about.get(e, ""))) for e in ends):
            said = "its configuration is another issuer's, or its addresses are not https"
            raise ApiError(503, "PROVIDER_UNAVAILABLE", said)
        self._about = self._steady(), about
        return about

    async def _asked(
        self, method: str, url: str, form: str = "", header: str = ""
    ) -> dict[str, Any]:
        """The JSON object that the provider answers. Raises :class:`ApiError` 503, or 403 where it
        refuses."""
        plain, _, query = url.partition("?")
        address = parse_address(plain)
        target = (address.base_path or "/") + (f"?{query}" if query else "")
        request = (
            f"{method} {target} HTTP/1.1\r\nhost: {address.authority}\r\n"
            "accept: application/json\r\nuser-agent: wayside\r\nconnection: close\r\n"
            f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(form)}\r\n"
            f"{header}\r\n{form}"
        ).encode("latin-1", "replace")
        tls = self._tls if address.scheme == "https" else None
        try:
            async with asyncio.timeout(DEADLINE_S):
                connection = await Connection.open(address, tls, address.host if tls else None)
                try:
                    answer = await connection.exchange(request, MAX_BYTES, None)
                finally:
                    connection.drop()
        except (OSError, TimeoutError, TooLarge, httptools.HttpParserError) as error:
            why = str(error) or type(error).__name__
            raise ApiError(503, "PROVIDER_UNAVAILABLE", f"{address.authority}: {why}") from None
        if 400 <= answer.status < 500 and method == "POST":
            raise ApiError(403, "LOGIN_FAILED", "the provider does not take the login's code")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            said = f"{address.authority} answered {answer.status}, or no JSON object"
            raise ApiError(503, "PROVIDER_UNAVAILABLE", said)
        return found

    def _back(self, http: HttpRequest) -> str:
        """The redirect URI: where the browser reaches us, as it says or as the settings do."""
        base = self._url or f"{http.url.scheme}://{http.headers.get('host', '')}"
        return f"{base}/console/oidc/callback"


def _secret(settings: ConsoleOidcSettings, keys: KeyRing) -> Credential | None:
    said = settings.client_secret
    if said is None:
        return None
    source = CredentialSettings(env=said.env, file=said.file, prefix="")
    return keys.resolve(source, f"{_WHERE}.client_secret")


def _page(error: ApiError) -> Response:
    """A person is looking, not a program."""
    said = escape(str(error))
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Wayside console</title>'
        f"<h1>Not logged in</h1><p>{said[:1].upper()}{said[1:]}.</p>"
        '<p><a href="/console/">Back to the login</a></p></html>',
        status_code=error.status,
        headers={"cache-control": "no-store"},
    )
