"""When a certificate ends: the one thing of X.509 that Python does not tell of its own."""

from __future__ import annotations

import datetime
import re
import ssl
from typing import Final

_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_CONTEXT_0: Final = 0xA0
_PEM: Final = re.compile(
    r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END (?:X509 |TRUSTED )?CERTIFICATE",
    re.DOTALL,
)


def ends(pem: str) -> float:
    """When the first certificate of a PEM file ends, in seconds since 1970. ``ValueError`` for
    what has none."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate")
    der = ssl.PEM_cert_to_DER_cert(
        f"-----BEGIN CERTIFICATE-----{found[1]}-----END CERTIFICATE-----"
    )
    try:
        return not_after(der)
    except IndexError:
        raise ValueError("the certificate is cut off") from None


def not_after(der: bytes) -> float:
    """The same of a certificate in DER (RFC 5280 section 4.1)."""
    at, _ = _enter(der, 0, _SEQUENCE)  # Certificate
    at, _ = _enter(der, at, _SEQUENCE)  # TBSCertificate
    if der[at] == _CONTEXT_0:  # version
        at = _skip(der, at)
    for _ in range(3):  # serialNumber, signature, issuer
        at = _skip(der, at)
    at, _ = _enter(der, at, _SEQUENCE)  # Validity
    at = _skip(der, at)  # notBefore
    kind = der[at]
    if kind not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("the certificate does not say when it ends")
    at, end = _enter(der, at, kind)
    text = der[at:end].decode("ascii", "replace")
    if kind == _UTC_TIME:  # two digits of a year: 50 to 99 are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    moment = datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ")
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def _enter(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends."""
    if der[at] != tag:
        raise ValueError("this is no certificate")
    length = der[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    if at + length > len(der):
        raise ValueError("the certificate is cut off")
    return at, at + length


def _skip(der: bytes, at: int) -> int:
    """Where the next element begins."""
    return _enter(der, at, der[at])[1]
