"""The console's door: who may come in, as whom, and by which pages.

Everything below ``/console`` passes here. Host names that are not ours are refused (DNS
rebinding), so are changes that another site's page sends (CSRF), and every answer says what a
browser may do with it. Nothing is sent to other hosts, and nobody else may read it (no CORS).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from wayside import __version__
from wayside.console.audit import Audit
from wayside.console.careful import SAFE, Careful
from wayside.console.inside import NOTE, WHO, Who
from wayside.console.sessions import LONGEST, RANKS, Attempts, Session, Sessions, Tokens
from wayside.console.static import Static
from wayside.gateway.api import ApiError, Body, Endpoint, Handler, error_answer, parsed
from wayside.settings.console import ConsoleSettings
from wayside.telemetry import Log

API: Final = "/api"
EVENTS: Final = "text/event-stream"
LOOK_S: Final = 2.0
"""How soon a stream of events ends after its session has."""
COOKIE: Final = "wayside_console"
CSRF: Final = "x-wayside-csrf"
About = Callable[[], Awaitable[dict[str, bool]]]
"""What this router has: ``Me.has``."""


class LoginBody(Body):
    token: str = Field(min_length=1, max_length=LONGEST)


class Provider(Protocol):
    """An identity provider: :class:`wayside.console.oidc.Oidc`."""

    name: str

    def routes(self, door: Door) -> list[BaseRoute]: ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the door remembers."""

    tokens: Tokens
    sessions: Sessions
    attempts: Attempts
    audit: Audit


class Door:
    """Makes the application out of endpoints."""

    def __init__(
        self,
        settings: ConsoleSettings,
        keeping: Keeping,
        log: Log,
        about: About,
        *,
        provider: Provider | None = None,
        static: Static | None = None,
    ) -> None:
        self._settings, self._keeping, self._log, self._about = settings, keeping, log, about
        self._provider, self._static = provider, static or Static()

    def app(self, endpoints: Iterable[Endpoint]) -> ASGIApp:
        """Everything below ``/console``."""
        routes: list[BaseRoute] = [
            Route(f"{API}/logins", self._guarded(self._logins), methods=["GET"]),
            Route(f"{API}/login", self._guarded(self._login), methods=["POST"]),
            Route(f"{API}/logout", self._guarded(self._logout), methods=["POST"]),
            Route(f"{API}/me", self._guarded(self._me), methods=["GET"]),
        ]
        routes += [
            Route(API + e.path, self._guarded(self._behind(e)), methods=[e.method])
            for e in [*endpoints, *self._keeping.audit.endpoints()]
        ]
        if self._provider is not None:
            routes += self._provider.routes(self)
        routes.append(Route(API + "/{path:path}", _nothing))
        routes.append(Route("/{path:path}", self._static.answer, methods=["GET"]))
        handlers: Any = {HTTPException: _http_error}
        return Careful(Starlette(routes=routes, exception_handlers=handlers), self._settings.url)

    # who

    async def _logins(self, _: HttpRequest) -> Response:
        told: dict[str, Any] = {"token": True}
        if self._provider is not None:
            told["oidc"] = {"url": "/console/oidc/login", "name": self._provider.name}
        return JSONResponse(told)

    async def _login(self, http: HttpRequest) -> Response:
        attempts, address = self._keeping.attempts, address_of(http)
        wait = attempts.wait_s(address)
        if wait > 0:
            said = f"too many logins failed: try again in {wait:.0f} s"
            refused = error_answer(429, "TOO_MANY_LOGINS", said)
            refused.headers["retry-after"] = str(int(wait) + 1)
            return refused
        body = await parsed(http, LoginBody)
        found = self._keeping.tokens.find(body.token.strip())
        if found is None:
            attempts.failed(address)
            self.write(http, Who("", "viewer"), "log in", "with a token", "refused: LOGIN_FAILED")
            raise ApiError(401, "LOGIN_FAILED", "this is no token that logs in here")
        who, by = found
        return await self.let_in(http, who, by)

    async def let_in(self, http: HttpRequest, who: Who, by: str = "") -> Response:
        """Begin a session: the answer is ``Me``, with a cookie."""
        key, session = self._keeping.sessions.begin(who, by)
        self.write(http, who, "log in", "with a token" if by else "single sign-on", "done")
        answer = JSONResponse(await self._told(session))
        answer.set_cookie(
            self._cookie(http),
            key,
            max_age=int(self._settings.session_s),
            path="/console",
            secure=self.secure(http),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _logout(self, http: HttpRequest) -> Response:
        session = self._session(http)
        self._unforged(http, session)
        self._keeping.sessions.end(http.cookies.get(self._cookie(http), ""))
        self.write(http, session.who, "log out", "", "done")
        answer = JSONResponse({"logged_out": True})
        answer.delete_cookie(self._cookie(http), path="/console")
        return answer

    async def _me(self, http: HttpRequest) -> Response:
        return JSONResponse(await self._told(self._session(http)))

    async def _told(self, session: Session) -> dict[str, Any]:
        return {
            "name": session.who.name,
            "role": session.who.role,
            "csrf": session.csrf,
            "version": __version__,
            "has": await self._about(),
        }

    def _ended(self, http: HttpRequest) -> bool:
        """Whether the session of ``http`` has ended since."""
        key = http.cookies.get(self._cookie(http), "")
        return self._keeping.sessions.find(key) is None

    def _session(self, http: HttpRequest) -> Session:
        """Raises :class:`ApiError` 401 where nobody is logged in."""
        found = self._keeping.sessions.find(http.cookies.get(self._cookie(http), ""))
        if found is None:
            raise ApiError(401, "NOT_LOGGED_IN", "log in first, at /console/")
        return found

    def secure(self, http: HttpRequest) -> bool:
        """Whether the browser reaches us by TLS."""
        return http.url.scheme == "https" or self._settings.url.startswith("https:")

    @staticmethod
    def _cookie(http: HttpRequest) -> str:
        """Browsers keep cookies by host: two routers of one machine differ by their ports."""
        return f"{COOKIE}_{http.url.port or http.url.scheme}"

    # what

    def _behind(self, endpoint: Endpoint) -> Handler:
        """``endpoint`` for those whose role suffices; what changes something is written down."""
        writes = endpoint.method not in SAFE and endpoint.role != "viewer"
        what = endpoint.deed or f"{endpoint.method} {endpoint.path}"

        async def behind(http: HttpRequest) -> Response:
            session = self._session(http)
            if endpoint.method not in SAFE:
                self._unforged(http, session)
            who = session.who
            http.scope[WHO] = who
            try:
                if RANKS[who.role] < RANKS[endpoint.role]:
                    said = f"this needs the role {endpoint.role}; yours is {who.role}"
                    raise ApiError(403, "ROLE_NEEDED", said)
                answer = await endpoint.handler(http)
                if endpoint.media == EVENTS:
                    answer = _WhileLoggedIn(answer, lambda: self._ended(http))
            except ApiError as error:
                if writes:
                    self.write(http, who, what, None, f"refused: {error.code}")
                raise
            if writes and http.scope.get(NOTE, "") is not None:
                self.write(http, who, what, None, _outcome(answer))
            return answer

        return behind

    def write(
        self, http: HttpRequest, who: Who, what: str, target: str | None, outcome: str
    ) -> None:
        """Into the audit. Without a ``target``, what the endpoint said it is, or the path."""
        if target is None:
            target = http.scope.get(NOTE) or http.url.path.removeprefix("/console/api")
        self._keeping.audit.add(
            who=who.name,
            role=who.role,
            what=what,
            target=target,
            outcome=outcome,
            from_=address_of(http),
        )

    def _unforged(self, http: HttpRequest, session: Session) -> None:
        said = http.headers.get(CSRF, "")
        if not _same(said, session.csrf):
            raise ApiError(403, "CSRF", f"the header {CSRF} is missing or not this session's")

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(http: HttpRequest) -> Response:
            try:
                answer = await handler(http)
            except ApiError as error:
                answer = error_answer(error.status, error.code, str(error))
            except ClientDisconnect:
                answer = error_answer(400, "INVALID_INPUT", "the client left")
            except Exception as error:  # noqa: BLE001 - one bad request ends here, in JSON
                frame = traceback.extract_tb(error.__traceback__)[-1]
                self._log(
                    "console failed",
                    level="error",
                    path=http.url.path,
                    error=type(error).__name__,  # its text may quote a prompt
                    at=f"{frame.filename}:{frame.lineno}",
                )
                answer = error_answer(500, "INTERNAL_ERROR", "this is a bug; the log says more")
            return answer

        return guarded


class _WhileLoggedIn(Response):
    """An answer that goes on and on, and ends with the session."""

    def __init__(self, answer: Response, ended: Callable[[], bool]) -> None:
        self._answer, self._over = answer, ended
        self.status_code = answer.status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        going = asyncio.ensure_future(self._answer(scope, receive, send))
        try:
            while not going.done() and not self._over():
                await asyncio.wait({going}, timeout=LOOK_S)
        finally:
            over = not going.done()
            going.cancel()
            with suppress(asyncio.CancelledError):
                await going
        if over:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def address_of(http: HttpRequest) -> str:
    """Where it comes from, as far as the connection says."""
    return http.client.host if http.client else ""


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode())


def _outcome(answer: Response) -> str:
    if answer.status_code < 400:
        return "done"
    try:
        return f"refused: {json.loads(bytes(answer.body))['error']['code']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"refused: {answer.status_code}"


async def _nothing(http: HttpRequest) -> Response:
    return error_answer(404, "NOT_FOUND", "there is no such thing in the console's API")


async def _http_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "INVALID_INPUT")
    answer = error_answer(error.status_code, code, error.detail)
    answer.headers.update(error.headers or {})
    return answer
