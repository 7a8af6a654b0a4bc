"""How a deployment fares: every object of its inventory, and the pods behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wayside.deploy import Object
from wayside.deploy.applying import inventory, waits
from wayside.deploy.applying.cluster import Cluster, whose
from wayside.deploy.applying.inventory import Entry
from wayside.vocab.objects import section, text

State = Literal["ready", "waiting", "there", "missing", "replaced", "let go"]


@dataclass(frozen=True, slots=True)
class Row:
    """One object."""

    what: str
    state: State
    detail: str = ""

    @property
    def well(self) -> bool:
        return self.state in ("ready", "there")


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment."""

    name: str
    namespace: str
    target: str
    rows: tuple[Row, ...]

    @property
    def well(self) -> bool:
        """Whether everything is there and ready."""
        return all(row.well for row in self.rows)


async def status(cluster: Cluster, name: str, namespace: str) -> Status | None:
    """What is known of a deployment; ``None`` where there is none."""
    known = await inventory.read(cluster, name, namespace)
    if known is None:
        return None
    rows = [await _row(cluster, entry, name) for entry in known.entries]
    return Status(name, namespace, known.target, tuple(rows))


async def _row(cluster: Cluster, entry: Entry, name: str) -> Row:
    resource = await inventory.resource_of(cluster, entry)
    found = resource and await cluster.get(resource, entry.name, entry.namespace)
    if not found:
        return Row(str(entry), "missing", "apply makes it anew")
    uid = text(section(found, "metadata").get("uid"))
    if entry.uid and uid != entry.uid:
        return Row(str(entry), "replaced", "somebody made another of that name")
    if whose(found) != name:
        return Row(str(entry), "let go", "its label says that it is ours no longer")
    return _ready(entry, found)


def _ready(entry: Entry, found: Object) -> Row:
    if entry.kind == "Deployment":
        done, told = waits.rolled_out(found)
        return Row(str(entry), "ready" if done else "waiting", told)
    if entry.kind == "PersistentVolumeClaim":
        phase = text(section(found, "status").get("phase"), "Pending")
        return Row(str(entry), "ready" if phase == "Bound" else "there", phase)
    for condition in waits.conditions(found):
        if condition.get("type") in ("Ready", "Programmed", "Accepted", "Available"):
            why = text(condition.get("message")) or text(condition.get("reason"))
            good = condition.get("status") == "True"
            return Row(str(entry), "ready" if good else "waiting", "" if good else why)
    return Row(str(entry), "there")
