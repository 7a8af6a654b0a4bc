"""What has to be there before anything is applied, and is it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from wayside.deploy import Need, Object
from wayside.deploy.applying.cluster import Cluster
from wayside.kube.errors import Forbidden
from wayside.vocab.objects import section, sections


@dataclass(frozen=True, slots=True)
class Finding:
    """One need, and whether it is met."""

    what: str
    state: Literal["met", "lacking", "unknown"]
    why: str = ""
    fix: str = ""
    level: Literal["error", "warning"] = "error"

    @property
    def blocks(self) -> bool:
        return self.state == "lacking" and self.level == "error"


async def preflight(cluster: Cluster, needs: Iterable[Need]) -> list[Finding]:
    """Each need, looked at. Nothing is written, and no value of a Secret is read."""
    return [await _look(cluster, need) for need in needs]


async def _look(cluster: Cluster, need: Need) -> Finding:
    try:
        state, why = await _state(cluster, need)
    except Forbidden as error:
        state, why = "unknown", error.message
    fix = need.fix if state != "met" else ""
    return Finding(need.what, state, why, fix, need.level)


async def _state(cluster: Cluster, need: Need) -> tuple[Literal["met", "lacking", "unknown"], str]:
    if need.resource is None:
        return "unknown", "nobody but you can tell"
    if not await cluster.has(need.resource):
        return "lacking", f"the cluster has no {need.resource}"
    if not need.name:
        return "met", ""
    found = await cluster.get(need.resource, need.name, need.namespace)
    where = f"{need.namespace}/{need.name}" if need.namespace else need.name
    if found is None:
        return "lacking", f"there is no {need.resource.plural} {where}"
    if need.keys:
        has = keys_of(found)
        if has is None:
            return "unknown", f"whether {where} has {', '.join(need.keys)} cannot be told"
        missing = [key for key in need.keys if key not in has]
        if missing:
            return "lacking", f"{where} has no key {', '.join(missing)}"
    if need.version:
        path, least = need.version
        value = _at(found, path)
        if not isinstance(value, str) or _number(value) < _number(least):
            return "lacking", f"{where} says {path} {value}, and {least} is the least"
    return "met", ""


def _at(found: Any, path: str) -> Any:
    """A field by its path. Keys may have dots of their own, as labels do: the longest that is
    there is taken."""
    if not path:
        return found
    keys = path.split(".")
    for n in range(len(keys), 0, -1) if isinstance(found, dict) else ():
        if (key := ".".join(keys[:n])) in found:
            return _at(found[key], ".".join(keys[n:]))
    return None


def keys_of(found: Object) -> set[str] | None:
    """The keys of a Secret by its metadata, which says who wrote which: its values are never
    asked for. ``None`` where nobody wrote that down."""
    keys: set[str] = set()
    told = False
    for entry in sections(section(found, "metadata").get("managedFields")):
        fields = section(entry, "fieldsV1")
        for part in ("f:data", "f:stringData"):
            if part in fields:
                told = True
                keys |= {k[2:] for k in section(fields, part) if k.startswith("f:")}
    return keys if told else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version)[:4])
