"""Secrets that a router's pods need: which key of which object, and the file it becomes.

Nobody here ever holds a value. The configuration names a file, the kubelet puts the value there
and swaps it when the Secret changes, and the router reads the file again: a rotated password needs
neither a new configuration nor a restart, and the operator needs no right to read Secrets.

CA certificates are no secrets, and come the same way, from a Secret or a ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from wayside.manifests import mounted
from wayside.manifests.mounted import READABLE, Mounted, distinct
from wayside.translate.semantic_router_cache import SECRETS_DIR

VOLUME = "secrets"
"""Name of the pod's volume."""
__all__ = ["READABLE", "VOLUME", "SecretUse", "distinct", "mount", "use", "volume"]
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, order=True)
class SecretUse(Mounted):
    """One key of a Secret (or ConfigMap) of the router's namespace, as a file of its pods."""

    FOLDER: ClassVar[str] = SECRETS_DIR


def use(
    reference: Mapping[str, Any], where: str, kind: Literal["Secret", "ConfigMap"] = "Secret"
) -> SecretUse | str:
    """``{name, key}`` of a spec; or what is wrong with it. A name that is none would be a path out
    of the volume."""
    name, key = str(reference.get("name") or ""), str(reference.get("key") or "")
    if not _NAME.fullmatch(name):
        return f"{where}.name: {name[:80]!r} is not the name of a {kind}"
    if not _KEY.fullmatch(key) or key.startswith(".."):
        return f"{where}.key: {key[:80]!r} is not a key of a {kind}"
    return SecretUse(name, key, kind, where)


def volume(uses: Iterable[SecretUse]) -> dict[str, Any] | None:
    """The pod's volume with all of them, or ``None`` if there are none; to be mounted whole at
    :data:`SECRETS_DIR`."""
    return mounted.volume(tuple(uses), VOLUME)


def mount() -> dict[str, Any]:
    """Where the router's container finds :func:`volume`."""
    return {"name": VOLUME, "mountPath": SECRETS_DIR, "readOnly": True}
