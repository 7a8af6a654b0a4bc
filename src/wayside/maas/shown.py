"""What a client shows to prove itself, and what it must not say of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wayside.maas.jose import MAX_TOKEN
from wayside.vocab.errors import RequestError

_BEARER = re.compile(r"(?i)bearer +([A-Za-z0-9._~+/-]+=*)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_IDENTITY: Final = "x-maas-"
STRIPPED: Final = frozenset(("x-maas-model-executed", "x-maas-model-requested"))
"""Ours on answers; of a client they say nothing, and go no further."""
CHALLENGE: Final = (("www-authenticate", 'Bearer realm="maas"'),)


def unproven(message: str = "Authorization token required", code: str = "missing_token",
             ) -> RequestError:  # fmt: skip
    """401."""
    return RequestError(
        message, status=401, kind="authentication_error", code=code, headers=CHALLENGE
    )


def invalid() -> RequestError:
    """401 for every token that is not believed. Why, is nobody's business."""
    return unproven("The token is invalid or has expired.", "invalid_token")


def unknown() -> RequestError:
    """503: nobody can say now who that is."""
    return RequestError(
        "It cannot be told now who you are. Try again.",
        status=503,
        kind="server_error",
        code="identity_unavailable",
        headers=(("retry-after", "1"),),
    )


def forbidden(message: str, code: str = "not_allowed") -> RequestError:
    return RequestError(message, status=403, kind="permission_error", code=code)


def token(headers: Mapping[str, str]) -> str:
    """The one token of a request, in ``Authorization: Bearer`` or ``x-api-key``. Raises
    :class:`RequestError` (401) where there is none, where a header came twice (then its values
    are joined by commas), and where two headers differ."""
    bearer, key = headers.get("authorization"), headers.get("x-api-key")
    found = set()
    if bearer is not None:
        match = _BEARER.fullmatch(bearer) if len(bearer) <= MAX_TOKEN + 16 else None
        if match is None:
            raise unproven("Send one token: Authorization: Bearer ...", "malformed_token")
        found.add(match[1])
    if key is not None:
        if len(key) > MAX_TOKEN or not _TOKEN.fullmatch(key):
            raise unproven("Send one token: x-api-key: ...", "malformed_token")
        found.add(key)
    if not found:
        raise unproven()
    if len(found) > 1:
        raise unproven("Authorization and x-api-key differ; send one of them.", "two_tokens")
    return found.pop()


def refuse_identity(headers: Mapping[str, str]) -> None:
    """Who somebody is, is found out here, and never taken from the client. Raises
    :class:`RequestError` (403)."""
    for name in headers:
        if name.startswith(_IDENTITY) and name not in STRIPPED:
            raise forbidden(
                "Headers X-MaaS-* say who you are; that is not for you to send.",
                "identity_header",
            )
