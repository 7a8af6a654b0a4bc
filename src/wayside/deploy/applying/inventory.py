"""What a deployment created, written down in its namespace before it is created.

A ConfigMap ``wayside-deployment-<name>`` holds one entry for each object, in the order of
creation. An entry without ``uid`` was about to be created: a run that was interrupted leaves it,
and the object, if there is one, is known by its label.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from wayside.deploy import DEPLOYMENT, MANAGER, Object
from wayside.deploy.applying.cluster import Cluster
from wayside.kube.errors import Conflict, NotFound
from wayside.manifests.meta import INSTANCE, MANAGED_BY, NAME, instance
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.objects import section, text, texts
from wayside.vocab.resource import CONFIG_MAPS, Resource

FORMAT = 1
_KEY = "inventory.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object that this deployment has, or is about to have."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    adopted: bool = False
    """It was there before, and was taken over: it is never deleted."""
    step: str = ""

    @classmethod
    def of(cls, found: Mapping[str, Any], *, step: str = "", adopted: bool = False) -> Entry:
        metadata = section(found, "metadata")
        return cls(
            text(found.get("apiVersion")),
            text(found.get("kind")),
            text(metadata.get("name")),
            text(metadata.get("namespace")),
            text(metadata.get("uid")),
            adopted,
            step,
        )

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Which object: a version of its API is none of it."""
        group = self.api_version.rpartition("/")[0]
        return group, self.kind, self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that a deployment has, in the order in which it came."""

    name: str
    namespace: str
    target: str = ""
    entries: tuple[Entry, ...] = ()
    version: str = field(default="", compare=False)
    """Of the ConfigMap when it was read or written; empty: there was none."""

    def entry(self, found: Mapping[str, Any]) -> Entry | None:
        key = Entry.of(found).key
        return next((each for each in self.entries if each.key == key), None)

    def having(self, entries: Iterable[Entry]) -> Inventory:
        """With these; one that is known keeps its place, and stays adopted if it was."""
        known = {each.key: each for each in self.entries}
        for one in entries:
            old = known.get(one.key)
            if old is not None:
                one = replace(one, uid=one.uid or old.uid, adopted=old.adopted)
            known[one.key] = one
        return replace(self, entries=tuple(known.values()))

    def without(self, entries: Iterable[Entry]) -> Inventory:
        gone = {each.key for each in entries}
        return replace(self, entries=tuple(e for e in self.entries if e.key not in gone))

    @property
    def object_name(self) -> str:
        return object_name(self.name)


def object_name(name: str) -> str:
    """The ConfigMap of a deployment."""
    return f"wayside-deployment-{name}"


async def read(cluster: Cluster, name: str, namespace: str) -> Inventory | None:
    """The inventory of a deployment; ``None`` where there is none. Raises :class:`ConfigError`
    for one that cannot be read: nothing may be deleted by guesswork."""
    found = await cluster.get(CONFIG_MAPS, object_name(name), namespace)
    return None if found is None else _parsed(found, name, namespace)


def _parsed(found: Object, name: str, namespace: str) -> Inventory:
    where = f"ConfigMap {namespace}/{object_name(name)}"
    try:
        held = json.loads(texts(section(found, "data")).get(_KEY, ""))
        if held["format"] != FORMAT:
            raise ConfigError.one(
                f"is of format {held['format']}", where=where, fix="use the wayside that wrote it"
            )
        entries = tuple(map(_entry, held["objects"]))
        version = text(section(found, "metadata").get("resourceVersion"))
        return Inventory(name, namespace, str(held["target"]), entries, version)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError.one(
            f"is no inventory of ours: {error}",
            where=where,
            fix="restore it; or delete it and apply, which finds what is there by its labels",
        ) from None


def _entry(held: Any) -> Entry:
    """Raises ``TypeError`` for one that :meth:`Entry.of` never made."""
    made = Entry(**held)
    for each in fields(Entry):
        value = getattr(made, each.name)
        if not isinstance(value, bool if each.name == "adopted" else str):
            raise TypeError(f"{each.name} {str(value)[:40]!r} of an object")
    if not (made.api_version and made.kind and made.name):
        raise ValueError("an object without a kind or a name")
    return made


def body(inventory: Inventory) -> Object:
    """The ConfigMap."""
    held = {
        "format": FORMAT,
        "target": inventory.target,
        "objects": [asdict(each) for each in inventory.entries],
    }
    labels = {
        NAME: "wayside-deployment",
        INSTANCE: instance(inventory.name),
        MANAGED_BY: MANAGER,
        DEPLOYMENT: inventory.name,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory.object_name,
            "namespace": inventory.namespace,
            "labels": labels,
        },
        "data": {_KEY: json.dumps(held, indent=1) + "\n"},
    }


async def write(cluster: Cluster, inventory: Inventory) -> Inventory:
    """Write it down, if it is still as it was read. Raises ``NotFound`` where its namespace is not
    there yet, and :class:`AskFailed` where another run is at work on the same deployment."""
    held = body(inventory)
    try:
        made = await cluster.apply(CONFIG_MAPS, at_version(held, inventory.version), force=True)
    except Conflict:
        raise AskFailed(
            f"somebody else is at work on {inventory.namespace}/{inventory.name} "
            f"({inventory.object_name} changed meanwhile); run the same command again once they "
            "are done"
        ) from None
    return replace(inventory, version=text(section(made, "metadata").get("resourceVersion")))


def at_version(body: Object, version: str) -> Object:
    """The object to be applied only if it is of this version, or, without one, not there: the
    first version is that of no object."""
    return {**body, "metadata": {**body["metadata"], "resourceVersion": version or "1"}}


async def forget(cluster: Cluster, inventory: Inventory) -> None:
    """Delete the ConfigMap itself."""
    found = await cluster.get(CONFIG_MAPS, inventory.object_name, inventory.namespace)
    if found is None:
        return
    uid = text(section(found, "metadata").get("uid"))
    try:
        await cluster.delete(CONFIG_MAPS, inventory.object_name, inventory.namespace, uid)
    except (NotFound, Conflict):
        return


async def resource_of(cluster: Cluster, entry: Entry) -> Resource | None:
    """Where an entry's object is kept; ``None`` if the cluster has its kind no longer."""
    return await cluster.resource(entry.api_version, entry.kind)
