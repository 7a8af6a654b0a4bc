"""Secrets that a router's pods need: which key of which object, and the file it becomes.

Nobody here ever holds a value. The configuration names a file, the kubelet puts the value there
and swaps it when the Secret changes, and the router reads the file again: a rotated password needs
neither a new configuration nor a restart, and the operator needs no right to read Secrets.

CA certificates are no secrets, and come the same way, from a Secret or a ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from wayside.translate.semantic_router_cache import SECRETS_DIR

VOLUME = "secrets"
"""Name of the pod's volume."""
READABLE = 0o440
"""For the pod's group (``fsGroup``) and nobody else."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, order=True)
class SecretUse:
    """One key of a Secret (or ConfigMap) of the router's namespace, as a file of its pods."""

    name: str
    key: str
    kind: Literal["Secret", "ConfigMap"] = "Secret"
    where: str = ""
    """The field of the SemanticRouter that asks for it, for messages."""
    optional: bool = False
    """Whether pods start without it."""

    @property
    def path(self) -> str:
        """Inside the volume. ConfigMaps have a folder of their own: one may be called as a Secret
        is."""
        folder = "" if self.kind == "Secret" else "configmaps/"
        return f"{folder}{self.name}/{self.key}"

    @property
    def file(self) -> str:
        """As the configuration names it."""
        return f"{SECRETS_DIR}/{self.path}"


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


def distinct(uses: Iterable[SecretUse]) -> tuple[SecretUse, ...]:
    """Each once, in an order that depends on nothing but what they are."""
    found: dict[tuple[str, str, str], SecretUse] = {}
    for one in sorted(uses):
        known = found.get((one.kind, one.name, one.key))
        optional = one.optional and (known is None or known.optional)
        found[one.kind, one.name, one.key] = replace(known or one, optional=optional)
    return tuple(found[key] for key in sorted(found))


def volume(uses: Iterable[SecretUse]) -> dict[str, Any] | None:
    """The pod's volume with all of them, or ``None`` if there are none.

    It is mounted whole at :data:`SECRETS_DIR`: a file mounted by ``subPath`` would never change.
    """
    sources: dict[tuple[str, str, bool], list[dict[str, str]]] = {}
    for one in distinct(uses):
        items = sources.setdefault((one.kind, one.name, one.optional), [])
        items.append({"key": one.key, "path": one.path})
    if not sources:
        return None
    listed: list[dict[str, Any]] = []
    for (kind, name, optional), items in sources.items():
        source: dict[str, Any] = {"name": name, "items": items}
        if optional:
            source["optional"] = True
        listed.append({"secret" if kind == "Secret" else "configMap": source})
    return {"name": VOLUME, "projected": {"defaultMode": READABLE, "sources": listed}}


def mount() -> dict[str, Any]:
    """Where the router's container finds :func:`volume`."""
    return {"name": VOLUME, "mountPath": SECRETS_DIR, "readOnly": True}
