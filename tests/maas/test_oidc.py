"""People whom an identity provider knows: a provider of our own, over https."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.maas.rig import ALICE, Clock, Rig, rig
from wayside.maas.oidc import Oidc
from wayside.settings.maas import OidcSettings
from wayside.vocab.errors import AskFailed, ConfigError

RSA = rsa.generate_private_key(65537, 2048)


class Provider:
    """Publishes ``keys`` (by kid) and signs with any of them; ``away``: nobody is there."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Any, str]] = {"rsa": (RSA, "RS256")}
        self.issuer = ""
        self.about: dict[str, Any] = {}
        self.asked: list[str] = []
        self.away = False
        self.clock = Clock()

    def jwks(self) -> dict[str, Any]:
        found = []
        for kid, (key, algorithm) in self.keys.items():
            kind = jwt.get_algorithm_by_name(algorithm)
            jwk = kind.to_jwk(key.public_key(), as_dict=True)
            found.append({**jwk, "kid": kid, "use": "sig", "alg": algorithm})
        return {"keys": [{"kty": "new", "kid": "?"}, "nonsense", *found]}

    def token(self, kid: str = "rsa", **claims: Any) -> str:
        key, algorithm = self.keys[kid]
        now = self.clock.now
        said = {"iss": self.issuer, "aud": "wayside", "sub": "u-1", "iat": now, "exp": now + 300,
                "groups": ["premium-user"], **claims}  # fmt: skip
        said = {k: v for k, v in said.items() if v is not None}
        return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


@asynccontextmanager
async def provider(folder: Path, *, tls: bool) -> AsyncIterator[Provider]:
    found = Provider()

    async def answer(request: web.Request) -> web.Response:
        found.asked.append(request.path)
        if found.away:
            return web.Response(status=500)
        if request.path == "/realm/.well-known/openid-configuration":
            about = {"issuer": found.issuer, "jwks_uri": f"{found.issuer}/keys?x=1"}
            return web.json_response({**about, **found.about})
        if request.path == "/realm/keys" and request.query_string == "x=1":
            return web.Response(body=json.dumps(found.jwks()), content_type="application/json")
        if request.path == "/elsewhere":
            raise web.HTTPFound("/realm/keys?x=1")
        return web.Response(status=404)

    context = None
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    found.issuer = f"{'https' if tls else 'http'}://localhost:{port}/realm"
    try:
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def sso(tmp_path: Path) -> AsyncIterator[Provider]:
    async with provider(tmp_path, tls=False) as found:
        yield found


def asking(sso: Provider, now: list[float] | None = None, **more: Any) -> Oidc:
    rule = OidcSettings(issuer=sso.issuer, audience="wayside", **more)
    steady = [0.0] if now is None else now
    return Oidc(rule, "maas.oidc[0]", clock=sso.clock, steady=lambda: steady[0])


async def test_somebody_of_a_provider_gets_a_token(tmp_path: Path) -> None:
    """A2-04: over https, with the provider's configuration found by itself."""
    async with provider(tmp_path, tls=True) as sso:
        rule = {"issuer": sso.issuer, "audience": "wayside", "ca_file": str(tmp_path / "ca.pem"),
                "user_prefix": "sso:"}  # fmt: skip
        r: Rig = rig(tmp_path / "maas", maas={"oidc": [rule]}, clock=sso.clock)
        shown = sso.token()
        caller = await r.maas.callers.find(await r.token(shown))
        assert caller is not None
        assert (caller.user, caller.tier) == ("sso:u-1", "premium")
        assert (await r.chat(shown)).status == 401  # it is not one of ours
        assert (await r.ask("POST", "/maas-api/v1/tokens", ALICE)).status == 201
        assert sso.asked == ["/realm/.well-known/openid-configuration", "/realm/keys"]
        await r.app.close()


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", RSA),
        ("PS512", RSA),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
async def test_algorithms_of_providers(sso: Provider, algorithm: str, key: Any) -> None:
    sso.keys = {"k": (key, algorithm)}
    person = await asking(sso).find(sso.token("k"))
    assert person is not None
    assert person.user == "u-1"


async def test_what_is_not_believed(sso: Provider) -> None:
    """A2-09: each of these is nobody's token."""
    oidc, now = asking(sso), sso.clock.now
    good = sso.token()
    assert await oidc.find(good) is not None
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    other = rsa.generate_private_key(65537, 2048)
    tries = {
        "another audience": sso.token(aud="other"),
        "no audience": sso.token(aud=None),
        "another issuer": sso.token(iss="https://evil.example.com"),
        "the issuer with a slash": sso.token(iss=sso.issuer + "/"),
        "expired": sso.token(exp=now - 31),
        "without end": sso.token(exp=None),
        "not yet": sso.token(nbf=now + 31),
        "from the future": sso.token(iat=now + 31),
        "nobody": sso.token(sub=None),
        "an empty name": sso.token(sub=""),
        "a name that is none": sso.token(sub=["u-1"]),
        "a name of the cluster's": sso.token(sub="system:admin"),
        "a name of two lines": sso.token(sub="a\nb"),
        "too long a name": sso.token(sub="a" * 254),
        "groups that are none": sso.token(groups={"a": 1}),
        "too many groups": sso.token(groups=["g"] * 1001),
        "another key": jwt.encode(claims, other, algorithm="RS256", headers={"kid": "rsa"}),
        "another algorithm": jwt.encode(claims, RSA, algorithm="RS512", headers={"kid": "rsa"}),
        "no such key": jwt.encode(claims, other, algorithm="RS256", headers={"kid": "x"}),
        "unsigned": jwt.encode(claims, None, algorithm="none", headers={"kid": "rsa"}),
        "a secret that is public": hs256(claims, pem),
        "changed": f"{head}.{body[:-2]}AA.{signature}",
        "a kid that is none": jwt.encode(
            claims, RSA, algorithm="RS256", headers={"jwk": {"kty": "RSA"}, "kid": ""}
        ),
    }
    for what, token in tries.items():
        assert await oidc.find(token) is None, what
    assert await oidc.find(good) is not None


def hs256(claims: dict[str, Any], secret: bytes) -> str:
    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256", "kid": "rsa"}) + b"." + part(claims)
    mac = base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest()).rstrip(b"=")
    return (text + b"." + mac).decode()


async def test_groups_of_the_cluster_are_not_a_providers_to_give(sso: Provider) -> None:
    """A2-33: a group of a tier's own accounts would be that tier."""
    own = "system:serviceaccounts:maas-default-gateway-tier-enterprise"
    person = await asking(sso).find(sso.token(groups=[own, "system:masters", "dev", "", 5, "dev"]))
    assert person is not None
    assert person.groups == ("dev", "system:authenticated")
    alone = await asking(sso).find(sso.token(groups="dev"))
    assert alone is not None
    assert alone.groups == ("dev", "system:authenticated")


async def test_addresses_have_to_be_verified(sso: Provider) -> None:
    oidc = asking(sso, user_claim="email")
    assert await oidc.find(sso.token(email="a@b.c")) is None
    assert await oidc.find(sso.token(email="a@b.c", email_verified="true")) is None
    person = await oidc.find(sso.token(email="a@b.c", email_verified=True))
    assert person is not None
    assert person.user == "a@b.c"


async def test_keys_turn_and_nobody_makes_us_ask_more_often(sso: Provider) -> None:
    """Unknown keys are looked for, once in ten seconds."""
    now = [0.0]
    oidc = asking(sso, now, jwks_url=f"{sso.issuer}/keys?x=1")
    assert await oidc.find(sso.token()) is not None
    sso.keys["new"] = (ec.generate_private_key(ec.SECP256R1()), "ES256")
    fresh = sso.token("new")
    for _ in range(50):
        assert await oidc.find(fresh) is None
    assert len(sso.asked) == 1
    now[0] += 10
    assert await oidc.find(fresh) is not None
    assert len(sso.asked) == 2
    del sso.keys["rsa"]
    now[0] += 601
    assert await oidc.find(sso.token("new")) is not None
    assert list(oidc._keys) == ["new"]


async def test_a_provider_that_is_away(sso: Provider) -> None:
    """Its keys are believed for an hour; then, and at the beginning, nobody can say."""
    now = [0.0]
    oidc = asking(sso, now)
    assert await oidc.find(sso.token()) is not None
    sso.away = True
    now[0] += 3600
    assert await oidc.find(sso.token()) is not None
    now[0] += 1
    with pytest.raises(AskFailed):
        await oidc.find(sso.token())
    with pytest.raises(AskFailed):
        await asking(sso).find(sso.token())


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example.com"},
        {"jwks_uri": "http://169.254.169.254/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
async def test_a_configuration_of_somebody_else(sso: Provider, about: dict[str, Any]) -> None:
    """No address in it is asked that is not https."""
    sso.about = about
    with pytest.raises(AskFailed):
        await asking(sso).find(sso.token())


async def test_redirects_are_not_followed(sso: Provider) -> None:
    oidc = asking(sso, jwks_url=sso.issuer.replace("/realm", "/elsewhere"))
    with pytest.raises(AskFailed, match="302"):
        await oidc.find(sso.token())


@pytest.mark.parametrize(
    ("maas", "where"),
    [
        ({"oidc": [{"issuer": "http://sso.example.com", "audience": "x"}]}, "issuer.*https"),
        ({"oidc": [{"issuer": "https://a.example.com", "audience": "x"},
                   {"issuer": "https://b.example.com", "audience": "x"}]}, "user_prefix"),
        ({"oidc": [{"issuer": "https://a.example.com", "audience": "x"}],
          "kubernetes": {"kubeconfig": "/nowhere"}}, "user_prefix"),
        ({"users": [{"name": "a", "token": {"env": "SHORT"}}]}, "at least 16"),
        ({"users": [{"name": "a", "token": {"env": "NONE"}}]}, "not set"),
        ({"users": [{"name": "a", "token": {"env": "ALICE_TOKEN"}},
                    {"name": "b", "token": {"env": "ALICE_TOKEN"}}]}, "same token"),
        ({"token_ttl": "5m"}, "token_ttl"),
        ({"max_ttl": "forever"}, "max_ttl"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(tmp_path: Path, maas: dict[str, Any], where: str) -> None:
    """Named by their path, before anything listens; no secret is repeated."""
    with pytest.raises(ConfigError, match=where) as caught:
        rig(tmp_path, maas=maas, env={"SHORT": "tooshort"})
    assert "tooshort" not in str(caught.value)


async def test_a_users_file_is_followed(tmp_path: Path) -> None:
    """A rotated token counts at once, and the old one no more."""
    path = tmp_path / "alice"
    path.write_text("first-token-of-alice\n")
    users = [{"name": "alice", "token": {"file": str(path)}}]
    r = rig(tmp_path / "maas", maas={"users": users})
    assert (await r.ask("POST", "/v1/tokens", "first-token-of-alice")).status == 201
    path.write_text("")
    r.maas.refresh()
    assert (await r.ask("POST", "/v1/tokens", "first-token-of-alice")).status == 201
    path.write_text("second-token-of-alice")
    r.maas.refresh()
    assert (await r.ask("POST", "/v1/tokens", "first-token-of-alice")).status == 401
    assert (await r.ask("POST", "/v1/tokens", "second-token-of-alice")).status == 201
    await r.app.close()
