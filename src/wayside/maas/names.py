"""What people and tiers are called on the Kubernetes side of Models-as-a-Service, whether there is
a cluster or not: tokens name them, and gateways of others take those names apart again."""

from __future__ import annotations

import hashlib
import re
from typing import Final

MOST: Final = 63
"""Characters of a DNS label."""
_OTHERS = re.compile(r"[^a-z0-9-]+")
_DASHES = re.compile(r"-+")
GROUP: Final = "system:serviceaccounts"
AUTHENTICATED: Final = "system:authenticated"


def account(user: str) -> str:
    """The ServiceAccount of ``user``: what is left of the name, and eight digits of its SHA-1,
    which keep apart those of whom the same is left. Two names that differ may still meet there
    (32 bits, and whoever chooses a name may search); who uses this asks whose it is."""
    low = "".join(letter.lower()[0] for letter in user)  # as Go does it: one by one
    name = _DASHES.sub("-", _OTHERS.sub("-", low)).strip("-") or "user"
    digest = hashlib.sha1(user.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    suffix = digest.hexdigest()[:8]
    return f"{name[: MOST - 1 - len(suffix)].strip('-')}-{suffix}"


def namespace(instance: str, tier: str) -> str:
    """Where the users of a tier have their ServiceAccounts."""
    return f"{instance}-tier-{tier}"


def tier_of(instance: str, space: str) -> str | None:
    """The tier whose namespace ``space`` is; ``None`` for another instance's, and for anything
    else."""
    prefix = namespace(instance, "")
    return space.removeprefix(prefix) if space.startswith(prefix) and space != prefix else None


def audience(instance: str) -> str:
    """What the tokens of an instance are for."""
    return f"{instance}-sa"


def groups(space: str) -> tuple[str, ...]:
    """The groups of a ServiceAccount there, as Kubernetes has them."""
    return (GROUP, f"{GROUP}:{space}", AUTHENTICATED)


def subject(space: str, name: str) -> str:
    return f"system:serviceaccount:{space}:{name}"


def parts(sub: str) -> tuple[str, str] | None:
    """The namespace and the name of a ServiceAccount; ``None`` for whom is none."""
    said = sub.split(":")
    if len(said) != 4 or said[:2] != ["system", "serviceaccount"] or not all(said):
        return None
    return said[2], said[3]
