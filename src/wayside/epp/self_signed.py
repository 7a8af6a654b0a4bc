"""A certificate that a picker signs for itself, so that gateways may speak TLS to it at once.

Whoever trusts it trusts nobody in particular (meshes are told to skip its verification), but what
is said is not readable on the way. Ours is made here because none of our dependencies makes any:
ECDSA over P-256 (FIPS 186-5; curve of SP 800-186) in an X.509 v3 certificate (RFC 5280), signed
once per start. It is not constant in time, and used for nothing else.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
import ssl
from typing import Final

from wayside.net.tls import show

_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]

_EC_KEY: Final = bytes.fromhex("06072a8648ce3d0201")
_P256: Final = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_SHA256: Final = bytes.fromhex("06082a8648ce3d040302")
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_SUBJECT_ALT_NAME: Final = bytes.fromhex("0603551d11")
_YEARS: Final = 10


def context(names: tuple[str, ...] = ("localhost",)) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for ``names``, made anew."""
    found = server_context()
    show(found, *pair(names))
    return found


def server_context() -> ssl.SSLContext:
    """TLS 1.2 and later, offering HTTP/2."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.set_alpn_protocols(["h2"])
    return found


def pair(names: tuple[str, ...]) -> tuple[str, str]:
    """A certificate and its key, in PEM."""
    secret = secrets.randbelow(_N - 1) + 1
    public = _times(secret, _G)
    point = b"\x04" + public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big")
    algorithm = _seq(_ECDSA_SHA256)
    name = _seq(_der(0x31, _seq(_COMMON_NAME + _der(0x0C, b"wayside endpoint picker"))))
    now = datetime.datetime.now(datetime.UTC)
    begins = now - datetime.timedelta(days=1)
    ends = now.replace(year=now.year + _YEARS, day=min(now.day, 28))
    alternatives = _seq(b"".join(_der(0x82, n.encode("ascii", "ignore")) for n in names))
    extensions = _seq(_seq(_SUBJECT_ALT_NAME + _der(0x04, alternatives)))
    body = _seq(
        _der(0xA0, _integer(2))
        + _integer(secrets.randbits(120) | 1 << 120)
        + algorithm
        + name
        + _seq(_time(begins) + _time(ends))
        + name
        + _seq(_seq(_EC_KEY + _P256) + _bits(point))
        + _der(0xA3, extensions)
    )
    certificate = _seq(body + algorithm + _bits(_signature(secret, body)))
    key = _seq(
        _integer(1)
        + _der(0x04, secret.to_bytes(32, "big"))
        + _der(0xA0, _P256)
        + _der(0xA1, _bits(point))
    )
    return _pem("CERTIFICATE", certificate), _pem("EC PRIVATE KEY", key)


# --- the curve ---------------------------------------------------------------------------------


def _plus(a: Point | None, b: Point | None) -> Point | None:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % _P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P) % _P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P) % _P
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _times(count: int, point: Point) -> Point:
    found: Point | None = None
    addend: Point | None = point
    while count:
        if count & 1:
            found = _plus(found, addend)
        addend = _plus(addend, addend)
        count >>= 1
    assert found is not None
    return found


def _signature(secret: int, message: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = secrets.randbelow(_N - 1) + 1
        r = _times(nonce, _G)[0] % _N
        s = pow(nonce, -1, _N) * (digest + r * secret) % _N
        if r and s:
            return _seq(_integer(r) + _integer(s))


# --- DER (X.690) -------------------------------------------------------------------------------


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _seq(content: bytes) -> bytes:
    return _der(0x30, content)


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _der(0x03, b"\x00" + content)


def _time(moment: datetime.datetime) -> bytes:
    """UTCTime, which reaches to 2049, or GeneralizedTime (RFC 5280 section 4.1.2.5)."""
    if moment.year < 2050:
        return _der(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return _der(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def _pem(what: str, der: bytes) -> str:
    lines = base64.encodebytes(der).decode("ascii").replace("\n", "")
    wrapped = "\n".join(lines[i : i + 64] for i in range(0, len(lines), 64))
    return f"-----BEGIN {what}-----\n{wrapped}\n-----END {what}-----\n"
