"""With whom something kept for a request may be shared."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

from wayside.vocab.headers import CREDENTIALS, USER_KEYS
from wayside.vocab.prompt import Prompt

Scope = Literal["user", "team", "tenant", "global"]
_SCHEMES = ("", "bearer", "basic", "basic og==")
"""The last is an empty name with an empty password."""
_NARROWING: tuple[Scope, ...] = ("tenant", "team", "user")


class Sharers(NamedTuple):
    """``kind`` is the scope that was found, or ``key``; ``names`` say who, most general first."""

    kind: Literal["user", "team", "tenant", "global", "key"]
    names: tuple[str, ...] = ()


def sharers(prompt: Prompt, scope: Scope) -> Sharers | None:
    """Those of ``scope``, or of the next narrower one that the request tells; ``None`` where it
    shows neither who asks nor a key.

    At last it is everybody with the client's key, told by a digest of it (SHA-256): keys are too
    long to be found by trying. Those who bring a provider's key of their own share with nobody,
    whatever the ``scope``. Whoever is found is of their tenant, where there is one.
    """
    if any([prompt.headers.get(name) for name in USER_KEYS]):  # who pays alone has it alone
        scope = "user"
    if scope == "global":
        return Sharers("global")
    names: dict[Scope, tuple[str, ...]] = {
        "tenant": (prompt.tenant,) if prompt.tenant else (),
        "team": (prompt.tenant, prompt.team) if prompt.team else (),
        "user": (prompt.tenant, prompt.user) if prompt.user else (),
    }
    for kind in _NARROWING[_NARROWING.index(scope) :]:
        if names[kind]:
            return Sharers(kind, names[kind])
    keys = [_shown(prompt.headers.get(name, "")) for name in (*CREDENTIALS, *sorted(USER_KEYS))]
    if not any(keys):
        return None
    key = hashlib.sha256(repr(keys).encode("utf-8", "replace")).hexdigest()
    return Sharers("key", (prompt.tenant, prompt.team, key))


def _shown(credential: str) -> str:
    """A credential, or ``""`` for a scheme without one, as clients send that have no key."""
    return "" if credential.strip().lower() in _SCHEMES else credential
