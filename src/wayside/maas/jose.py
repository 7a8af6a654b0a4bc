"""Signatures of tokens (JWS, RFC 7515) by PyJWT and cryptography: the only file that knows them.

Only the signature is checked here, over exactly the bytes that came; what a token says is checked
by :mod:`wayside.maas.claims`.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from wayside.vocab.errors import ConfigError

OURS: Final = "EdDSA"
"""Short, quick to make and to check, and one message has one signature: nobody can turn a token
into another one that is valid, too."""
THEIRS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", OURS)
)
"""Of identity providers. None is symmetric: a public key is never a shared secret."""
_FAMILY: Final = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
MAX_TOKEN: Final = 8192
MIN_RSA: Final = 2048


class BadToken(ValueError):
    """Not believed; the text is for our own log, never for the client."""


def available() -> None:
    """Raises :class:`ConfigError` where the packages are missing."""
    _jwt()


def _jwt() -> Any:
    try:
        import jwt
        import jwt.algorithms

        if not jwt.algorithms.has_crypto:
            raise ImportError
    except ImportError:
        raise ConfigError.one(
            "needs the packages PyJWT and cryptography",
            where="maas",
            fix="pip install 'wayside[maas]'",
        ) from None
    return jwt


def generate() -> tuple[str, str]:
    """A new signing key: its name, and the key as PEM (PKCS #8)."""
    _jwt()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secrets.token_urlsafe(12), pem.decode()


class SigningKey:
    """One of ours. Nothing prints it."""

    def __init__(self, kid: str, pem: str) -> None:
        """Raises ``ValueError`` for what is no Ed25519 key."""
        jwt = _jwt()
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = serialization.load_pem_private_key(pem.encode(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")  # noqa: TRY004 - of a file's content
        self.kid, self._private = kid, private
        self.public = private.public_key()
        self._jws = jwt.PyJWS()
        self.jwk: dict[str, Any] = {
            **jwt.algorithms.OKPAlgorithm.to_jwk(self.public, as_dict=True),
            "kid": kid,
            "alg": OURS,
            "use": "sig",
        }

    def __repr__(self) -> str:
        return f"SigningKey({self.kid}: ***)"

    def sign(self, claims: Mapping[str, Any]) -> str:
        """``claims`` as a token."""
        payload = json.dumps(claims, separators=(",", ":")).encode()
        token: str = self._jws.encode(
            payload, self._private, algorithm=OURS, headers={"kid": self.kid, "typ": "JWT"}
        )
        return token


def head(token: str) -> dict[str, Any]:
    """What a token says of its own signature; nothing of that is proven. Raises
    :class:`BadToken`."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise BadToken("too long, or not ASCII")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("not three parts")
    found = _json(parts[0])
    if "crit" in found or "b64" in found:  # extensions that change what is signed
        raise BadToken("extensions that are not understood")
    _bytes(parts[2])
    return found


def claims(token: str) -> dict[str, Any]:
    """What a token says, unproven: to find out whose keys it is to be checked with."""
    return _json(token.split(".")[1])


def verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    """The claims of ``token``, whose signature is by ``key`` with ``algorithm`` and no other.
    Raises :class:`BadToken`."""
    if head(token).get("alg") != algorithm or algorithm not in THEIRS:
        raise BadToken("another algorithm than the key's")
    jwt = _jwt()
    try:
        payload = jwt.PyJWS().decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadToken(type(error).__name__) from None
    return _object(payload)


class ForeignKey:
    """A public key of an identity provider, and the algorithms that are for it."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` for keys that are not for signatures, or weak."""
        jwt = _jwt()
        family = _FAMILY.get(str(jwk.get("kty")))
        if family is None or jwk.get("use", "sig") != "sig" or "d" in jwk:
            raise ValueError("not a public key for signatures")
        try:
            made = jwt.PyJWK(dict(jwk), algorithm=jwk.get("alg") or _default(jwk))
        except jwt.PyJWTError as error:
            raise ValueError(type(error).__name__) from None
        if getattr(made.key, "key_size", MIN_RSA) < MIN_RSA and jwk["kty"] == "RSA":
            raise ValueError(f"an RSA key of fewer than {MIN_RSA} bits")
        if hasattr(made.key, "private_bytes"):
            raise ValueError("a private key")
        self.kid, self.key = str(jwk.get("kid", "")), made.key
        said = jwk.get("alg")
        able = {a for a in THEIRS if a.startswith(family)}
        curve = jwk.get("crv")
        if jwk["kty"] == "EC":
            able = {a for a in able if _CURVES[a] == curve}
        self.algorithms = frozenset(able & {said} if said else able)


def _default(jwk: Mapping[str, Any]) -> str:
    if jwk.get("kty") == "EC":
        return next((a for a, curve in _CURVES.items() if curve == jwk.get("crv")), "ES256")
    return "RS256" if jwk.get("kty") == "RSA" else OURS


def _json(part: str) -> dict[str, Any]:
    return _object(_bytes(part))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadToken("not JSON") from None
    if not isinstance(found, dict):
        raise BadToken("no JSON object")
    return found


def _bytes(part: str) -> bytes:
    """base64url without padding, as there is one way to write it: a token that was changed in
    bits which decoders ignore is another token."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise BadToken("not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise BadToken("not base64url as it is written")
    return raw
