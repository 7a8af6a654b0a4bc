"""What applying would do, asked of the API server itself: a server-side apply that writes nothing
says what every object would be, defaults, webhooks and other people's fields and all."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from wayside.deploy import MANAGER, Object, Step, Target
from wayside.deploy.applying import inventory
from wayside.deploy.applying.cluster import Cluster, called, whose
from wayside.deploy.applying.diff import Change, changes
from wayside.deploy.applying.inventory import Entry, Inventory
from wayside.deploy.applying.scene import Live, steps
from wayside.deploy.intent import Intent
from wayside.kube.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from wayside.manifests.meta import MANAGED_BY
from wayside.vocab.errors import ConfigError
from wayside.vocab.objects import section, sections, text, texts
from wayside.vocab.resource import NAMESPACES, Resource

Action = Literal["create", "change", "same", "keep", "delete", "foreign", "conflict", "refused"]
BLOCKS: Final = ("foreign", "conflict", "refused")
"""What keeps a deployment from being applied."""
KEPT: Final = ("PersistentVolumeClaim", "Namespace")
"""Kinds that are never deleted because an intent no longer asks for them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of one object."""

    action: Action
    entry: Entry
    body: Object = field(default_factory=dict)
    """What would be applied."""
    resource: Resource | None = None
    changes: tuple[Change, ...] = ()
    why: str = ""
    """For people: why it is left alone, or what is in the way and what to do."""

    def __str__(self) -> str:
        return str(self.entry)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step, and its objects."""

    title: str
    planned: tuple[Planned, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that applying would do."""

    steps: tuple[StepPlan, ...]
    pending: str = ""
    """Why later steps are not known: they need what earlier ones would make."""

    def __iter__(self) -> Iterator[Planned]:
        return (each for step in self.steps for each in step.planned)

    @property
    def blocked(self) -> tuple[Planned, ...]:
        return tuple(each for each in self if each.action in BLOCKS)

    @property
    def changed(self) -> bool:
        """Whether anything would be written or deleted."""
        return bool(self.pending) or any(e.action in ("create", "change", "delete") for e in self)


class Planner:
    """Plans objects of one deployment."""

    def __init__(
        self,
        cluster: Cluster,
        intent: Intent,
        known: Inventory | None,
        *,
        adopt: bool = False,
        force: bool = False,
    ) -> None:
        """``adopt`` takes over objects that are there and somebody else's, ``force`` fields that
        another field manager owns."""
        self._cluster, self._intent, self._known = cluster, intent, known
        self._adopt, self.force = adopt, force

    async def step(self, step: Step) -> StepPlan:
        """What becomes of each object of a step."""
        bodies = [body for manifest in step.manifests for body in manifest.objects]
        planned = [await self._object(body, step.title) for body in bodies]
        return StepPlan(step.title, tuple(planned), step.notes)

    async def _object(self, body: Object, title: str) -> Planned:
        entry = Entry.of(body, step=title)
        resource = await self._cluster.resource(entry.api_version, entry.kind)
        if resource is None:
            why = f"the cluster has no {entry.kind} of {entry.api_version}; install what brings it"
            return Planned("refused", entry, body, why=why)
        live = await self._cluster.get(resource, entry.name, entry.namespace)
        if live is None:
            return await self._created(body, entry, resource)
        adopted = False
        if whose(live) != self._intent.name:
            if resource == NAMESPACES and not self._adopt:
                return Planned("keep", entry, body, resource, why=_lacks(live, body))
            if not self._adopt:
                return Planned("foreign", entry, body, resource, why=_foreign(live))
            adopted = True
        before = self._known.entry(body) if self._known else None
        adopted = adopted or (before is not None and before.adopted)
        uid = text(section(live, "metadata").get("uid"))
        entry = Entry.of({**body, "metadata": {**body["metadata"], "uid": uid}}, step=title,
                         adopted=adopted)  # fmt: skip
        body = leaving_replicas(body, live)
        return await self._changed(body, entry, resource, live)

    async def _created(self, body: Object, entry: Entry, resource: Resource) -> Planned:
        try:
            await self._cluster.apply(resource, body, dry_run=True)
        except NotFound:
            pass  # its namespace is one of those that are to be created
        except (BadRequest, Invalid, Forbidden, Conflict) as error:
            return Planned("refused", entry, body, resource, why=str(error))
        return Planned("create", entry, body, resource)

    async def _changed(
        self, body: Object, entry: Entry, resource: Resource, live: Object
    ) -> Planned:
        try:
            then = await self._cluster.apply(resource, body, force=self.force, dry_run=True)
        except Conflict as error:
            why = f"{error.message}; --force-conflicts takes the fields over"
            return Planned("conflict", entry, body, resource, why=why)
        except (BadRequest, Invalid, Forbidden) as error:
            return Planned("refused", entry, body, resource, why=str(error))
        found = tuple(changes(live, then))
        return Planned("change" if found else "same", entry, body, resource, found)


async def plan(
    target: Target,
    intent: Intent,
    cluster: Cluster,
    scene: Live,
    *,
    adopt: bool = False,
    force: bool = False,
) -> Plan:
    """What applying would do now. Nothing is written."""
    known = await inventory.read(cluster, intent.name, intent.namespace)
    planner = Planner(cluster, intent, known, adopt=adopt, force=force)
    made: list[StepPlan] = []
    pending = ""
    try:
        async for step in steps(target, intent, scene):
            made.append(await planner.step(step))
    except ConfigError as error:
        if not any(p.action == "create" for step in made for p in step.planned):
            raise
        pending = str(error)
    else:
        scene.check()
    if known is not None and not pending:
        gone = superfluous(known, [p for step in made for p in step.planned])
        if gone:
            made.append(StepPlan("what is asked for no longer", gone))
    return Plan(tuple(made), pending)


def superfluous(known: Inventory, planned: list[Planned]) -> tuple[Planned, ...]:
    """What an earlier run created and this one does not ask for, last created first. Claims and
    namespaces are kept, for what is in them; adopted objects are let be."""
    wanted = {each.entry.key for each in planned}
    found = []
    for entry in reversed(known.entries):
        if entry.key in wanted:
            continue
        if entry.kind in KEPT or entry.adopted:
            why = "it was there before" if entry.adopted else "for what is in it"
            found.append(Planned("keep", entry, why=f"kept, {why}; no longer asked for"))
        else:
            found.append(Planned("delete", entry))
    return tuple(found)


def leaving_replicas(body: Object, live: Object) -> Object:
    """A Deployment that leaves its replicas to an autoscaler says what is there until somebody
    else has said it: giving up a field that nobody else owns would set it to 1."""
    if body.get("kind") != "Deployment" or "replicas" in body["spec"]:
        return body
    ours = any(
        entry.get("manager") == MANAGER
        and entry.get("operation") == "Apply"
        and "f:replicas" in section(entry, "fieldsV1", "f:spec")
        for entry in sections(section(live, "metadata").get("managedFields"))
    )
    if not ours:
        return body
    kept = copy.deepcopy(body)
    kept["spec"]["replicas"] = section(live, "spec").get("replicas")
    return kept


def _foreign(live: Object) -> str:
    other = whose(live)
    if other:
        return f"it belongs to the deployment {other!r}; give this one other names"
    manager = texts(section(live, "metadata", "labels")).get(MANAGED_BY)
    writers = [
        text(e.get("manager")) for e in sections(section(live, "metadata").get("managedFields"))
    ]
    by = manager or next((w for w in writers if w), "")
    told = f" (managed by {by})" if by else ""
    return f"it is there already and somebody else's{told}; rename ours, or --adopt it"


def _lacks(live: Object, body: Object) -> str:
    """Of a namespace that is used as it is: labels that it should have."""
    has = texts(section(live, "metadata", "labels"))
    own = texts(section(body, "metadata", "labels"))
    wanted = {
        k: v for k, v in own.items() if has.get(k) != v and not k.startswith("app.kubernetes.io/")
        and not k.startswith("wayside.vllm.ai/")
    }  # fmt: skip
    if not wanted:
        return "there already, used as it is"
    said = " ".join(f"{k}={v}" for k, v in wanted.items())
    return f"there already, used as it is; it lacks: kubectl label {called(live).lower()} {said}"
