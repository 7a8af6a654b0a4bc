"""A deployment put in force, step by step; the same command again goes on where it stopped.

Before anything is written, everything that can be known beforehand is planned, and an object or a
field that is somebody else's ends it there. Each step writes down what it is about to create,
creates it, writes down what it became, and waits. What is as it shall be is not written again, so
a second run writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from wayside.deploy import Object, Target
from wayside.deploy.applying import inventory
from wayside.deploy.applying.cluster import Cluster, whose
from wayside.deploy.applying.inventory import Entry, Inventory
from wayside.deploy.applying.plan import BLOCKS, Planned, Planner, superfluous
from wayside.deploy.applying.scene import Live, steps
from wayside.deploy.applying.waits import Sleep, wait
from wayside.deploy.intent import Intent
from wayside.kube.errors import Conflict, NotFound
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, text
from wayside.vocab.resource import Resource

What = Literal["step", "created", "changed", "unchanged", "kept", "deleted", "waiting", "note"]
Tell = Callable[[What, str], None]
"""Progress, as it is made: what happened, and to what."""


@dataclass(slots=True)
class Done:
    """What a run did."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


async def apply(
    target: Target,
    intent: Intent,
    cluster: Cluster,
    scene: Live,
    *,
    target_name: str,
    tell: Tell,
    adopt: bool = False,
    force: bool = False,
    waiting: bool = True,
    sleep: Sleep = asyncio.sleep,
) -> Done:
    """Put everything in force. Raises :class:`ConfigError` for what is in the way, with each
    object; :class:`~wayside.deploy.applying.waits.NotYet` for what does not come to hold; and the
    errors of :mod:`wayside.kube`."""
    known = await inventory.read(cluster, intent.name, intent.namespace)
    held = _Held(cluster, known or Inventory(intent.name, intent.namespace), target_name)
    done, seen = Done(), list[Planned]()
    planner = Planner(cluster, intent, known, adopt=adopt, force=force)
    async for step in steps(target, intent, scene):
        tell("step", step.title)
        planned = await planner.step(step)
        refuse(planned.planned)
        seen += planned.planned
        await held.about_to(planned.planned)
        for each in planned.planned:
            await _put(each, cluster, held, force, done, tell)
        await held.write()
        for note in step.notes:
            tell("note", note)
        for wish in step.waits if waiting else ():
            what = f"{wish.resource.plural}/{wish.name}: "
            await wait(cluster, wish, partial(_say, tell, what), sleep=sleep)
    scene.check()
    await _prune(cluster, held, seen, done, tell)
    return done


def _say(tell: Tell, what: str, told: str) -> None:
    tell("waiting", what + told)


def refuse(planned: tuple[Planned, ...]) -> None:
    """Raises :class:`ConfigError` for what is in the way."""
    found = [Problem(each.why, str(each)) for each in planned if each.action in BLOCKS]
    if found:
        raise ConfigError(found)


class _Held:
    """The inventory, written as often as it has to be and no oftener."""

    def __init__(self, cluster: Cluster, known: Inventory, target: str) -> None:
        self._cluster = cluster
        self._written = known if known.entries else None
        self.now = replace(known, target=target)

    async def about_to(self, planned: tuple[Planned, ...]) -> None:
        """Before a step: what it will create, or take over."""
        self.now = self.now.having(
            replace(each.entry, uid="") if each.action == "create" else each.entry
            for each in planned
            if each.action in ("create", "change", "same")
        )
        await self.write()

    def became(self, entry: Entry) -> None:
        self.now = self.now.having([entry])

    async def write(self) -> None:
        """Where its namespace is one of the things to be created, there is no place for it yet:
        that namespace is known by its label until there is."""
        if self.now == self._written or not (self.now.entries or self._written):
            return
        try:
            self.now = await inventory.write(self._cluster, self.now)
        except NotFound:
            return
        self._written = self.now


async def _put(
    each: Planned, cluster: Cluster, held: _Held, force: bool, done: Done, tell: Tell
) -> None:
    name = str(each)
    if each.action == "same":
        done.unchanged.append(name)
        tell("unchanged", name)
    elif each.action == "keep":
        tell("kept", f"{name}: {each.why}")
    else:
        assert each.resource is not None
        made = await _written(each, each.resource, cluster, force)
        held.became(replace(each.entry, uid=text(section(made, "metadata").get("uid"))))
        created = each.action == "create"
        (done.created if created else done.changed).append(name)
        tell("created" if created else "changed", name)
        if created and each.entry.kind == "Namespace":
            await held.write()


async def _written(each: Planned, resource: Resource, cluster: Cluster, force: bool) -> Object:
    """An object as it became. Only what was planned happens: one that was to be created is not
    there yet, and one that was to change is still that one."""
    if each.action == "create":
        body = inventory.at_version(each.body, "")
    else:
        body = {**each.body, "metadata": {**each.body["metadata"], "uid": each.entry.uid}}
    try:
        return await cluster.apply(resource, body, force=force)
    except Conflict as error:
        again = "run the same command again to see what is there now"
        what = f"somebody else changed it meanwhile: {error.message}"
        raise ConfigError([Problem(what, str(each), again)]) from None


async def _prune(
    cluster: Cluster, held: _Held, seen: list[Planned], done: Done, tell: Tell
) -> None:
    """Delete what an earlier run created and this one did not ask for."""
    gone: list[Entry] = []
    for each in superfluous(held.now, seen):
        if each.action != "delete":
            tell("kept", f"{each}: {each.why}")
            continue
        resource = await inventory.resource_of(cluster, each.entry)
        found: Object | None = None
        if resource is not None:
            found = await cluster.get(resource, each.entry.name, each.entry.namespace)
        if resource is not None and found is not None and whose(found) == held.now.name:
            uid = each.entry.uid or text(section(found, "metadata").get("uid"))
            try:
                await cluster.delete(resource, each.entry.name, each.entry.namespace, uid)
            except (NotFound, Conflict):
                pass  # gone already, or another object of that name
            else:
                done.deleted.append(str(each))
                tell("deleted", str(each))
        gone.append(each.entry)
    held.now = held.now.without(gone)
    await held.write()
