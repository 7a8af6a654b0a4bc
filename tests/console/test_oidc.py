"""Logging in with an identity provider: a small real one, with signed tokens."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.console.rig import Answer, Browser
from wayside.console import oidc as module
from wayside.console.audit import Audit
from wayside.console.door import Door, Keeping
from wayside.console.oidc import LOGIN_S, Oidc
from wayside.console.sessions import Attempts, Sessions, Tokens
from wayside.gateway.listener import serve_management
from wayside.maas.oidc import PAUSE_S
from wayside.runtime.keys import KeyRing
from wayside.settings.console import ConsoleOidcSettings, ConsoleSettings
from wayside.telemetry import Log

NOW = 1_800_000_000.0
RSA = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
SECRET = "the-secret-of-a-client"


class Provider:
    """Gives codes at ``/authorize`` and tokens for them, once each, at ``/token``."""

    def __init__(self) -> None:
        self.issuer = ""
        self.kid, self.key = "one", RSA[0]
        self.published = {"one": RSA[0]}
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.forms: list[dict[str, str]] = []
        self.auth: list[str] = []
        self.about: dict[str, Any] = {}

    async def configuration(self, _: web.Request) -> web.Response:
        at = self.issuer
        about = {"issuer": at, "authorization_endpoint": f"{at}/authorize",
                 "token_endpoint": f"{at}/token", "jwks_uri": f"{at}/keys"}  # fmt: skip
        return web.json_response({**about, **self.about})

    async def keys(self, _: web.Request) -> web.Response:
        rs = jwt.get_algorithm_by_name("RS256")
        found = [
            {**rs.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self.published.items()
        ]
        return web.Response(body=json.dumps({"keys": found}), content_type="application/json")

    def authorised(self, url: str) -> tuple[str, dict[str, str]]:
        """What a person does there: a code, and what the browser asked for."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return code, asked

    async def token(self, http: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await http.post()).items()}
        self.forms.append(form)
        self.auth.append(http.headers.get("authorization", ""))
        asked = self.codes.pop(form["code"], None)
        proof = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        said = {"iss": self.issuer, "aud": "console", "sub": "u-1", "preferred_username": "ada",
                "groups": ["platform"], "nonce": asked["nonce"], "iat": NOW, "exp": NOW + 300,
                **self.claims}  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        token = jwt.encode(said, self.key, algorithm="RS256", headers={"kid": self.kid})
        return web.json_response({"access_token": "opaque", "id_token": token})


class Site:
    """A door with this provider, and the clock it goes by."""

    def __init__(self, sso: Provider, url: str, log: io.StringIO, now: list[float]) -> None:
        self.sso, self.url, self.log, self.now = sso, url, log, now
        self.audit: Audit | None = None

    async def begun(self, browser: Browser) -> str:
        found = await browser("GET", "/oidc/login")
        assert found.status == 302, found.raw
        return found.headers["location"]

    async def login(self, browser: Browser) -> Answer:
        code, asked = self.sso.authorised(await self.begun(browser))
        return await browser("GET", f"/oidc/callback?code={code}&state={asked['state']}")


@asynccontextmanager
async def site(folder: Path, *, url: str = "", **more: Any) -> AsyncIterator[tuple[Site, Browser]]:
    sso = Provider()
    app = web.Application()
    app.router.add_get("/realm/.well-known/openid-configuration", sso.configuration)
    app.router.add_get("/realm/keys", sso.keys)
    app.router.add_post("/realm/token", sso.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    port = listener._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    sso.issuer = f"http://localhost:{port}/realm"
    rule = {"issuer": sso.issuer, "client_id": "console", "name": "Example",
            "roles": {"admin": ["platform"], "operator": ["ml"]}, **more}  # fmt: skip
    settings = ConsoleSettings.model_validate({"oidc": rule, "url": url})
    assert settings.oidc is not None
    output, now = io.StringIO(), [0.0]
    log, keys = Log(output, console=False), KeyRing({"CLIENT_SECRET": SECRET})
    oidc = Oidc(settings.oidc, url, keys, log, clock=lambda: NOW, steady=lambda: now[0])
    tokens = Tokens(settings, folder, keys)
    audit = Audit(folder, 100, log)
    keeping = Keeping(tokens, Sessions(9, 100.0, tokens.holds), Attempts(), audit)

    async def about() -> dict[str, bool]:
        return {}

    door = Door(settings, keeping, log, about, provider=oidc)
    mounted = Starlette(routes=[Mount("/console", app=door.app([]))])
    server = await serve_management(mounted, "127.0.0.1", 0)
    own = server.servers[0].sockets[0].getsockname()[1]
    found = Site(sso, f"http://127.0.0.1:{own}", output, now)
    found.audit = audit
    browser = Browser(found.url)
    try:
        yield found, browser
    finally:
        await browser.session.close()
        await server.stop()
        await runner.cleanup()


@pytest.fixture
async def s(tmp_path: Path) -> AsyncIterator[tuple[Site, Browser]]:
    async with site(tmp_path) as found:
        yield found


async def test_somebody_logs_in_and_has_the_role_of_their_group(
    s: tuple[Site, Browser],
) -> None:
    found, browser = s
    logins = (await browser("GET", "/api/logins")).body
    assert logins["oidc"] == {"url": "/console/oidc/login", "name": "Example"}
    where = await found.begun(browser)
    asked = parse_qs(urlsplit(where).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["response_type"] == ["code"]
    assert asked["redirect_uri"] == [f"{found.url}/console/oidc/callback"]
    (under_way,) = browser.set_cookies
    assert "HttpOnly" in under_way and "SameSite=lax" in under_way
    answer = await found.login(browser)
    # No redirect: the session's cookie is SameSite=Strict, and would not be sent along with one.
    assert answer.status == 200 and b'url=/console/"' in answer.raw
    me = (await browser("GET", "/api/me")).body
    assert (me["name"], me["role"]) == ("ada", "admin")
    assert any("SameSite=strict" in cookie for cookie in browser.set_cookies)
    assert found.audit is not None
    assert found.audit.newest(1)[0]["target"] == "single sign-on"


async def test_a_confidential_client_shows_its_secret_and_nobody_else_sees_it(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, client_secret={"env": "CLIENT_SECRET"}) as (found, browser):
        assert (await found.login(browser)).status == 200
        pair = base64.b64decode(found.sso.auth[0].removeprefix("Basic ")).decode()
        assert pair.split(":") == ["console", unquote(SECRET)]
        assert "client_secret" not in found.sso.forms[0]
        assert SECRET not in found.log.getvalue()


async def test_keys_that_rotate_are_taken_up(s: tuple[Site, Browser]) -> None:
    found, browser = s
    assert (await found.login(browser)).status == 200
    found.sso.kid, found.sso.key = "two", RSA[1]
    found.sso.published = {"two": RSA[1]}
    found.now[0] += PAUSE_S + 1
    assert (await found.login(browser)).status == 200
    found.sso.key = RSA[0]  # signed by a key that is no more, under the new one's name
    assert (await found.login(browser)).status == 403


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"nonce": "of-another-login"}, 403),
        ({"nonce": None}, 403),
        ({"aud": "another-client"}, 403),
        ({"aud": None}, 403),
        ({"aud": ["console", "other"]}, 403),
        ({"aud": ["console", "other"], "azp": "other"}, 403),
        ({"aud": ["console", "other"], "azp": "console"}, 200),
        ({"iss": "http://localhost/other"}, 403),
        ({"exp": NOW - 60}, 403),
        ({"iat": NOW + 600}, 403),
        ({"preferred_username": None}, 403),
        ({"groups": ["strangers"]}, 403),
        ({"groups": ["ml", "platform"]}, 200),
        ({"groups": "ml"}, 200),
    ],
)
async def test_only_a_token_for_us_and_for_this_login_is_believed(
    s: tuple[Site, Browser], claims: dict[str, Any], status: int
) -> None:
    found, browser = s
    found.sso.claims = claims
    assert (await found.login(browser)).status == status
    assert (await browser("GET", "/api/me")).status == (200 if status == 200 else 401)


async def test_a_login_belongs_to_the_browser_that_began_it(s: tuple[Site, Browser]) -> None:
    """Somebody else's code, sent to a victim as a link, logs nobody in."""
    found, browser = s
    other = Browser(found.url)
    code, asked = found.sso.authorised(await found.begun(other))
    link = f"/oidc/callback?code={code}&state={asked['state']}"
    assert (await browser("GET", link)).status == 400
    await found.begun(browser)  # one that has begun a login of its own
    code, asked = found.sso.authorised(await found.begun(other))
    link = f"/oidc/callback?code={code}&state={asked['state']}"
    assert (await browser("GET", link)).status == 400
    assert (await other("GET", link)).status == 400  # it is used up
    assert (await browser("GET", "/api/me")).status == 401
    await other.session.close()


async def test_a_code_or_a_state_counts_once_and_not_for_ever(s: tuple[Site, Browser]) -> None:
    found, browser = s
    code, asked = found.sso.authorised(await found.begun(browser))
    link = f"/oidc/callback?code={code}&state={asked['state']}"
    assert (await browser("GET", link)).status == 200
    assert (await browser("GET", link)).status == 400
    code, asked = found.sso.authorised(await found.begun(browser))
    found.now[0] += LOGIN_S
    late = await browser("GET", f"/oidc/callback?code={code}&state={asked['state']}")
    assert late.status == 400 and b"took too long" in late.raw
    _, asked = found.sso.authorised(await found.begun(browser))
    wrong = await browser("GET", f"/oidc/callback?code=made-up&state={asked['state']}")
    assert wrong.status == 403
    _, asked = found.sso.authorised(await found.begun(browser))
    mixed = f"/oidc/callback?code=x&state={asked['state']}&iss=https://other.example"
    assert (await browser("GET", mixed)).status == 400
    _, asked = found.sso.authorised(await found.begun(browser))
    refused = f"/oidc/callback?error=<script>alert(1)</script>&state={asked['state']}"
    answer = await browser("GET", refused)
    assert answer.status == 403 and b"<script" not in answer.raw


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://other.example"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"token_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
)
async def test_a_provider_that_says_something_odd_is_not_asked(
    s: tuple[Site, Browser], about: dict[str, Any]
) -> None:
    found, browser = s
    found.sso.about = about
    assert (await browser("GET", "/oidc/login")).status == 503


async def test_logins_that_nobody_ends_are_bounded(
    s: tuple[Site, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    found, browser = s
    first, asked = found.sso.authorised(await found.begun(browser))
    for _ in range(3):
        await found.begun(browser)
    gone = await browser("GET", f"/oidc/callback?code={first}&state={asked['state']}")
    assert gone.status == 400


async def test_behind_a_proxy_the_redirect_uri_is_the_address_of_the_settings(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, url="https://router.example.com") as (found, browser):
        asked = parse_qs(urlsplit(await found.begun(browser)).query)
        assert asked["redirect_uri"] == ["https://router.example.com/console/oidc/callback"]
        assert "; secure" in browser.set_cookies[0].lower()


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"issuer": "http://sso.example.com"}, "https"),
        ({"scopes": ["profile"]}, "openid"),
        ({"roles": {}}, "nobody has a role"),
        ({"roles": {"root": ["x"]}}, "root"),
    ],
)
def test_settings_that_let_nobody_or_anybody_in_are_refused(
    rule: dict[str, Any], why: str
) -> None:
    good = {"issuer": "https://sso.example.com", "client_id": "x", "everyone": "viewer"}
    ConsoleOidcSettings.model_validate(good)
    if rule == {"roles": {}}:
        good.pop("everyone")
    with pytest.raises(ValidationError, match=why):
        ConsoleOidcSettings.model_validate({**good, **rule})
