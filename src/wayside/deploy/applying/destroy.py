"""Exactly what was created goes, the last first; whatever is left is told, with the reason.

An object goes if it is the one that was created: same uid, or, where a run was interrupted before
it could write that down, our label. Claims stay unless asked for, and so does a namespace that
something of somebody else's is in.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from wayside.deploy import Object
from wayside.deploy.applying import inventory
from wayside.deploy.applying.apply import Tell
from wayside.deploy.applying.cluster import Cluster, whose
from wayside.deploy.applying.inventory import Entry, Inventory
from wayside.deploy.applying.waits import Sleep
from wayside.kube.errors import Conflict, Forbidden, NotFound, Refused
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import NAMESPACES

_OWN_WORK: Final = frozenset({
    ("ServiceAccount", "default"), ("ServiceAccount", "builder"), ("ServiceAccount", "deployer"),
    ("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "openshift-service-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
})  # fmt: skip
"""What clusters themselves put into every namespace."""
_FLEETING: Final = ("events", "leases", "endpoints", "endpointslices", "pods", "replicasets",
                    "packagemanifests", "podmetrics")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is still there."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What became of a deployment."""

    deleted: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


async def destroy(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    tell: Tell,
    with_data: bool = False,
    timeout_s: float = 300.0,
    sleep: Sleep = asyncio.sleep,
) -> Destroyed | None:
    """Take a deployment away; ``None`` where there is none. Waits until everything is gone, or
    ``timeout_s`` seconds for each namespace and the rest."""
    known = await inventory.read(cluster, name, namespace)
    if known is None:
        return None
    run = _Run(cluster, known, tell, with_data)
    entries = list(reversed(known.entries))
    for entry in (each for each in entries if each.kind != "Namespace"):
        await run.one(entry)
    await run.gone(timeout_s, sleep)
    spaces = [each for each in entries if each.kind == "Namespace"]
    # The record is in the deployment's own namespace, which goes last, and with it.
    for entry in sorted(spaces, key=lambda each: each.name == namespace):
        if await run.space(entry, record=known.object_name) and entry.name == namespace:
            await inventory.forget(cluster, known)
            return run.result()
    left = known.without([each for each in known.entries if each not in run.kept])
    if left.entries:
        await inventory.write(cluster, left)
    else:
        await inventory.forget(cluster, known)
    return run.result()


class _Run:
    def __init__(self, cluster: Cluster, known: Inventory, tell: Tell, with_data: bool) -> None:
        self._cluster, self._known, self._tell = cluster, known, tell
        self._with_data = with_data
        self._deleted: list[Entry] = []
        self._left: list[Left] = []
        self.kept: set[Entry] = set()

    def result(self) -> Destroyed:
        return Destroyed(tuple(map(str, self._deleted)), tuple(self._left))

    def leave(self, entry: Entry, why: str, *, keep: bool = False) -> None:
        """``keep`` leaves it in the inventory: it is ours still."""
        self._left.append(Left(str(entry), why))
        self._tell("kept", f"{entry}: {why}")
        if keep:
            self.kept.add(entry)

    async def _found(self, entry: Entry) -> Object | None:
        """The object, if it is there and ours; told why not where it is another's."""
        resource = await inventory.resource_of(self._cluster, entry)
        if resource is None:
            return None
        found = await self._cluster.get(resource, entry.name, entry.namespace)
        if found is None:
            return None
        uid = text(section(found, "metadata").get("uid"))
        if entry.adopted:
            self.leave(entry, "it was there before us, and was taken over")
        elif entry.uid and uid != entry.uid:
            self.leave(entry, "it is another object of that name, made by somebody else")
        elif whose(found) != self._known.name:
            self.leave(entry, "its label says that it is ours no longer")
        else:
            return found
        return None

    async def one(self, entry: Entry) -> None:
        found = await self._found(entry)
        if found is None:
            return
        if entry.kind == "PersistentVolumeClaim" and not self._with_data:
            self.leave(entry, "data is kept; --with-data deletes it, too", keep=True)
            return
        await self._delete(entry, found)

    async def _delete(self, entry: Entry, found: Object) -> None:
        resource = await inventory.resource_of(self._cluster, entry)
        assert resource is not None
        uid = text(section(found, "metadata").get("uid"))
        try:
            await self._cluster.delete(resource, entry.name, entry.namespace, uid)
        except NotFound:
            return
        except Conflict:
            self.leave(entry, "somebody else made it anew meanwhile")
            return
        except Forbidden as error:
            self.leave(entry, error.message or str(error), keep=True)
            return
        self._deleted.append(entry)
        self._tell("deleted", str(entry))

    async def gone(self, timeout_s: float, sleep: Sleep) -> None:
        """Wait until what was deleted is no longer there: finalizers may hold it."""
        waiting = list(self._deleted)
        spent = 0.0
        while waiting:
            left = []
            for entry in waiting:
                resource = await inventory.resource_of(self._cluster, entry)
                found = resource and await self._cluster.get(resource, entry.name, entry.namespace)
                uid = found and text(section(found, "metadata").get("uid"))
                if found and (not entry.uid or uid == entry.uid):
                    left.append((entry, found))
            if not left:
                return
            if spent >= timeout_s:
                for entry, found in left:
                    self._deleted.remove(entry)
                    held = section(found, "metadata").get("finalizers") or []
                    self.leave(entry, f"is held by finalizers {', '.join(held)}", keep=True)
                return
            if spent == 0:
                self._tell("waiting", f"until {len(left)} objects are gone")
            pause = min(1.0, 0.1 + spent)
            await sleep(pause)
            spent += pause
            waiting = [entry for entry, _ in left]

    async def space(self, entry: Entry, *, record: str = "") -> bool:
        """Delete a namespace that we created, unless something is in it; ``record`` is the
        inventory, which may go with it. Whether it is being deleted."""
        found = await self._found(entry)
        if found is None:
            return False
        others = await self._inside(entry.name, record)
        if others:
            some = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            why = "something of ours is kept in it" if self.kept else "somebody uses it"
            self.leave(entry, f"{why}: {some}", keep=bool(self.kept))
            return False
        await self._delete(entry, found)
        return entry in self._deleted

    async def _inside(self, namespace: str, record: str) -> list[str]:
        """What is in a namespace that neither the cluster itself puts there nor is going."""
        found: list[str] = []
        for resource in await self._cluster.namespaced():
            if resource.plural in _FLEETING or resource == NAMESPACES:
                continue
            try:
                listed = await self._cluster.all(resource, namespace, metadata=True)
            except Refused:
                continue  # a kind that cannot be listed
            for each in listed:
                metadata = section(each, "metadata")
                name = text(metadata.get("name"))
                kind = await self._kind(resource.api_version, resource.plural)
                if (
                    sections(metadata.get("ownerReferences"))
                    or "deletionTimestamp" in metadata
                    or (kind, name) in _OWN_WORK
                    or (kind == "ConfigMap" and name == record)
                    or (kind == "RoleBinding" and name.startswith("system:"))
                    or (kind == "Secret" and "-dockercfg-" in name)
                ):
                    continue
                found.append(f"{kind} {name}")
        return sorted(found)

    async def _kind(self, api_version: str, plural: str) -> str:
        return await self._cluster.kind(api_version, plural) or plural
