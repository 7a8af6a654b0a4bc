"""What a token says, checked: who it is from, what it is for, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wayside.maas.jose import BadToken


class Expired(BadToken):
    """It was good once."""


def check(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audience: str,
    now: float,
    leeway_s: float = 0,
    early_s: float = 0,
) -> float:
    """When it ends. Raises :class:`BadToken` for another's, for another purpose, and for those
    whose time is over or has not come; each of ``iss``, ``aud``, ``exp`` has to be there.
    ``leeway_s`` is for both ends, ``early_s`` for the beginning."""
    if claims.get("iss") != issuer:
        raise BadToken("another issuer")
    said = claims.get("aud")
    meant = said if isinstance(said, list) else [said]
    if audience not in meant:
        raise BadToken("for another audience")
    ends = moment(claims, "exp")
    if ends is None:
        raise BadToken("without exp")
    for name in ("nbf", "iat"):
        begins = moment(claims, name)
        if begins is not None and begins > now + max(leeway_s, early_s):
            raise BadToken("not valid yet")
    if ends <= now - leeway_s:
        raise Expired("expired")
    return ends


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A time of a token, in seconds since 1970."""
    said = claims.get(name)
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < 1e12:
        raise BadToken(f"{name} is no time")
    return float(said)


def text(claims: Mapping[str, Any], *path: str) -> str:
    """The text at ``path``; raises :class:`BadToken` where there is none."""
    found: Any = claims
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        raise BadToken(f"without {'.'.join(path)}")
    return found
