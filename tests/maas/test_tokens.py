"""Tokens of our own: what is believed, what is not, and when they are over."""

from __future__ import annotations

import base64
import json
import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.maas.rig import ALICE, BOB, Rig, rig
from wayside.maas.jose import BadToken, SigningKey
from wayside.maas.tokens import FILE, Issuer, add_key
from wayside.vocab.errors import ConfigError


@pytest.fixture
def r(tmp_path: Path) -> Rig:
    return rig(tmp_path)


def signing(r: Rig) -> SigningKey:
    issuer = r.maas._issuer
    assert issuer is not None
    return next(iter(issuer._keys.values()))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def said(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def test_the_claims_are_those_of_a_service_account(r: Rig) -> None:
    """A2-04, A2-10, A2-13: and verify with the published key alone."""
    made = await r.ask("POST", "/maas-api/v1/tokens", ALICE, {"expiration": "10m"})
    assert made.status == 201
    assert made.json.keys() == {"token", "expiration", "expiresAt", "issuedAt", "jti"}
    assert made.json["expiration"] == "10m0s"
    assert made.json["expiresAt"] - made.json["issuedAt"] == 600
    assert made.headers["cache-control"] == "no-store"
    keys = (await r.ask("GET", "/.well-known/jwks.json")).json
    assert "d" not in keys["keys"][0]
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(made.json["token"])["kid"]]
    claims = jwt.decode(
        made.json["token"],
        key,
        algorithms=["EdDSA"],
        audience="maas-default-gateway-sa",
        options={"verify_exp": False},
    )
    space, name = claims["sub"].split(":")[2:]
    assert (space, name) == ("maas-default-gateway-tier-premium", "alice-522b276a")
    account = claims["kubernetes.io"]
    assert account["namespace"] == space
    assert account["serviceaccount"]["name"] == name
    assert account["serviceaccount"]["uid"]
    assert claims["jti"] == made.json["jti"]
    assert claims["iat"] == claims["nbf"] == made.json["issuedAt"]


async def test_who_asks_is_known_to_the_journey(r: Rig) -> None:
    """A2-04, A2-35, A2-36: with the models of the tier, and no others."""
    caller = await r.maas.callers.find(await r.token(ALICE))
    assert caller is not None
    assert (caller.user, caller.tier) == ("alice", "premium")
    assert "premium-user" in caller.groups
    assert caller.models == {"Model-A", "Model-B"}
    other = await r.maas.callers.find(await r.token(BOB))
    assert other is not None
    assert (other.tier, other.models) == ("free", {"Model-B"})


async def test_it_lets_in_until_it_is_over(r: Rig) -> None:
    """A2-08, A2-09: clock control; also where it is remembered."""
    token = await r.token()
    assert (await r.chat()).status == 401
    for _ in range(3):
        assert (await r.chat(token)).status == 200
    r.clock.now += 599
    assert (await r.chat(token)).status == 200
    r.clock.now += 1
    answer = await r.chat(token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_one_that_is_not_valid_yet(r: Rig) -> None:
    """A2-09."""
    token = await r.token()
    r.clock.now -= 60
    assert (await r.chat(token)).status == 401


async def test_revoked_ones_are_void_at_once_everywhere(r: Rig, tmp_path: Path) -> None:
    """A2-06, A2-09: in another process that shares the folder, with the next request; others'
    tokens are not touched."""
    other = rig(tmp_path)
    tokens = [await r.token(), await r.token(), (await r.key())["token"]]
    bobs = await r.token(BOB)
    for token in (*tokens, bobs):
        assert (await r.chat(token)).status == (await other.chat(token)).status == 200
    gone = await r.ask("DELETE", "/maas-api/v1/tokens", ALICE)
    assert (gone.status, gone.body) == (204, b"")
    for token in tokens:
        assert (await r.chat(token)).status == (await other.chat(token)).status == 401
    assert (await other.chat(bobs)).status == 200
    assert (await r.chat(await other.token())).status == 200


def mangled(r: Rig, token: str) -> dict[str, str]:
    """The tricks of those who have one good token, and the public key."""
    head, body, signature = token.split(".")
    claims, key = said(token), signing(r)
    pem = key.public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def part(value: Any) -> str:
        return b64(json.dumps(value).encode())

    def stranger(extra: dict[str, Any]) -> str:
        mine = Ed25519PrivateKey.generate()
        header = {"kid": key.kid, **extra}
        return jwt.encode(claims, mine, algorithm="EdDSA", headers=header)

    def hmac_with(secret: bytes) -> str:
        import hashlib
        import hmac

        text = f"{part({'alg': 'HS256', 'kid': key.kid})}.{body}"
        return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    raw = key.public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = last[last.index(signature[-1]) ^ 1]  # other bits that decoders ignore
    enterprise = json.loads(json.dumps(claims).replace("premium", "enterprise"))
    return {
        "alg none": f"{part({'alg': 'none', 'kid': key.kid})}.{body}.",
        "alg None": f"{part({'alg': 'None', 'kid': key.kid})}.{body}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{token}.x",
        "HS256 with the PEM": hmac_with(pem),
        "HS256 with the raw key": hmac_with(raw),
        "another key of the same name": stranger({}),
        "its own jwk": stranger({"jwk": {"kty": "OKP"}}),
        "jku": stranger({"jku": "http://127.0.0.1:1/keys"}),
        "a kid that is a path": stranger({"kid": "../../dev/null"}),
        "another tier": f"{head}.{part(enterprise)}.{signature}",
        "bits that are ignored": f"{head}.{body}.{signature[:-1]}{twin}",
        "padding": f"{head}.{body}.{signature}=",
        "crit": key._jws.encode(
            json.dumps(claims).encode(),
            key._private,
            algorithm="EdDSA",
            headers={"kid": key.kid, "crit": ["exp"]},
        ),
        "no kid": jwt.encode(claims, key._private, algorithm="EdDSA"),
        "a claim is no object": key.sign({**claims, "kubernetes.io": "x"}),
        "too long": f"{token[:-3]}{'A' * 9000}",
    }


def forged(r: Rig, token: str) -> dict[str, str]:
    """Signed with the right key, as nobody else can: what is said has to be right as well."""
    claims, key = said(token), signing(r)

    def without(name: str) -> str:
        return key.sign({k: v for k, v in claims.items() if k != name})

    return {
        "wrong audience": key.sign({**claims, "aud": ["https://kubernetes.default.svc"]}),
        "audience as a part": key.sign({**claims, "aud": "maas-default-gateway-sa-2"}),
        "another instance's": key.sign({**claims, "aud": ["acme-sa"], "iss": "wayside/acme"}),
        "wrong issuer": key.sign({**claims, "iss": "https://evil.example.com"}),
        "expired": key.sign({**claims, "exp": r.clock.now - 1}),
        "never expires": without("exp"),
        "expires as a text": key.sign({**claims, "exp": "2999"}),
        "not yet valid": key.sign({**claims, "nbf": r.clock.now + 60}),
        "from the future": key.sign({**claims, "iat": r.clock.now + 60}),
        "sub of another": key.sign({**claims, "sub": "system:serviceaccount:a:b"}),
        "no audience": without("aud"),
        "no sub": without("sub"),
        "no jti": without("jti"),
        "another uid": key.sign({
            **claims,
            "kubernetes.io": {**claims["kubernetes.io"],
                              "serviceaccount": {"name": "alice-522b276a", "uid": "x"}},
        }),
    }  # fmt: skip


async def test_what_is_not_believed_is_answered_alike(r: Rig) -> None:
    """A2-09: 401 with the same words, whatever is wrong; the good one still works after all."""
    token = await r.token()
    answers = {}
    for what, tried in {**mangled(r, token), **forged(r, token)}.items():
        answer = await r.chat(tried)
        assert answer.status == 401, what
        if answer.json["error"]["code"] != "malformed_token":
            answers[what] = answer.body
    assert len(answers) > 25
    assert len(set(answers.values())) == 1
    assert (await r.chat(token)).status == 200


async def test_every_byte_counts(r: Rig) -> None:
    """A2-09: no token that differs from a good one anywhere is believed."""
    token = await r.token()
    assert (await r.chat(token)).status == 200
    for at in range(0, len(token), 7):
        other = "A" if token[at] != "A" else "B"
        assert (await r.chat(token[:at] + other + token[at + 1 :])).status == 401, at
    assert (await r.chat(token[:-1])).status == 401


async def test_somebody_who_left_the_settings_has_no_tokens(r: Rig) -> None:
    """A2-09: the settings say who there is, for tokens and keys alike."""
    token, key = await r.token(), (await r.key())["token"]
    r.reload({"maas": {"users": [u for u in r.document["maas"]["users"] if u["name"] != "alice"]}})
    for shown in (token, key, ALICE):
        assert (await r.chat(shown)).status == 401
    assert (await r.ask("POST", "/maas-api/v1/tokens", ALICE)).status == 401
    assert (await r.chat(await r.token(BOB))).status == 200
    await r.app.close()


def test_keys_are_for_this_user_alone_and_survive_a_restart(tmp_path: Path) -> None:
    first = Issuer(tmp_path, "i")
    mode = (tmp_path / FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    token = first.mint("i-tier-free", "a", "u", 600).token
    assert Issuer(tmp_path, "i").verify(token).name == "a"
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="everybody") as caught:
        Issuer(tmp_path, "i")
    assert "PRIVATE" not in str(caught.value)


def test_two_keys_live(tmp_path: Path) -> None:
    """A2-09: rotation keeps the tokens of the key before; the one before that is gone."""
    issuer = Issuer(tmp_path, "i")
    tokens = [issuer.mint("i-tier-free", "a", "u", 600).token]
    for turn in range(2):
        _, gone = add_key(tmp_path)
        assert len(gone) == turn
        issuer._looked = float("-inf")
        tokens.append(issuer.mint("i-tier-free", "a", "u", 600).token)
        assert len(issuer.jwks()["keys"]) == 2
    assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 3
    with pytest.raises(BadToken):
        issuer.verify(tokens[0])
    for token in tokens[1:]:
        assert issuer.verify(token).name == "a"


def test_processes_that_begin_together_have_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map(kids_of, [tmp_path] * 4, chunksize=1)
    assert len({tuple(kids) for kids in found}) == 1
    assert len(found[0]) == 1


def kids_of(folder: Path) -> list[str]:
    return [key["kid"] for key in Issuer(folder, "i").jwks()["keys"]]


def test_a_file_that_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for text in ("", "{}", '{"keys": []}', '{"keys": [{"kid": "a", "pem": "x"}]}'):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match=r"maas\.folder"):
            Issuer(tmp_path, "i")


async def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"pip install 'wayside\[maas\]'"):
        rig(tmp_path)


def test_nothing_of_it_is_imported_without_it() -> None:
    """A router without maas loads none of it."""
    code = (
        "import sys, io\nfrom wayside.cli.app import App\nfrom wayside.cli.files import read\n"
        "app = App(read(b'models: {m: {endpoints: [\"http://127.0.0.1:1\"]}}', 'x', env={}))\n"
        "assert app.runtime.gate is None\n"
        "print([m for m in sys.modules if m.startswith(('wayside.maas', 'jwt', 'cryptography'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
