"""Keys of Secrets (and ConfigMaps) that pods find as files.

Nobody here ever holds a value. The configuration names a file, the kubelet puts the value there
and swaps it when the Secret changes, and the router reads the file again: a rotated key needs
neither a new configuration nor a restart, and whoever writes the pod needs no right to read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal, TypeVar

READABLE: Final = 0o440
"""For the pod's group (``fsGroup``) and nobody else."""


@dataclass(frozen=True, slots=True, order=True)
class Mounted:
    """One key of a Secret (or ConfigMap) of the pod's namespace, as a file of its pods."""

    FOLDER: ClassVar[str] = "/etc/wayside/credentials"

    name: str
    key: str
    kind: Literal["Secret", "ConfigMap"] = "Secret"
    where: str = ""
    """The field that asks for it, for messages."""
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
        return f"{self.FOLDER}/{self.path}"


Some = TypeVar("Some", bound=Mounted)


def distinct(uses: Iterable[Some]) -> tuple[Some, ...]:
    """Each once, in an order that depends on nothing but what they are."""
    found: dict[tuple[str, str, str], Some] = {}
    for one in sorted(uses):
        known = found.get((one.kind, one.name, one.key))
        optional = one.optional and (known is None or known.optional)
        found[one.kind, one.name, one.key] = replace(known or one, optional=optional)
    return tuple(found[key] for key in sorted(found))


def volume(uses: Sequence[Mounted], name: str) -> dict[str, Any] | None:
    """The pod's volume with all of them, or ``None`` if there are none. It has to be mounted
    whole: a file mounted by ``subPath`` would never change."""
    sources: dict[tuple[str, str, bool], list[dict[str, str]]] = {}
    for one in distinct(uses):
        items = sources.setdefault((one.kind, one.name, one.optional), [])
        items.append({"key": one.key, "path": one.path})
    if not sources:
        return None
    listed: list[dict[str, Any]] = []
    for (kind, whose, optional), items in sources.items():
        source: dict[str, Any] = {"name": whose, "items": items}
        if optional:
            source["optional"] = True
        listed.append({"secret" if kind == "Secret" else "configMap": source})
    return {"name": name, "projected": {"defaultMode": READABLE, "sources": listed}}
