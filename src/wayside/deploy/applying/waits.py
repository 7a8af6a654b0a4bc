"""Waiting for what has to hold before the next step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from wayside.deploy import Object, Wait
from wayside.deploy.applying.cluster import Cluster
from wayside.kube.errors import Unreachable
from wayside.manifests.meta import INSTANCE, NAME
from wayside.vocab.errors import AskFailed
from wayside.vocab.objects import section, sections, text, texts, whole
from wayside.vocab.resource import DEPLOYMENTS, PODS

Sleep = Callable[[float], Awaitable[None]]
Say = Callable[[str], None]
EVERY_S: Final = 1.0


class NotYet(AskFailed):
    """Something did not come to hold in its time: what, and what is known of why."""


async def wait(
    cluster: Cluster,
    wish: Wait,
    say: Say,
    *,
    sleep: Sleep = asyncio.sleep,
    every_s: float = EVERY_S,
) -> None:
    """Return once ``wish`` holds, looked at every ``every_s`` seconds, and oftener at first.
    ``say`` is told whenever there is something new. Raises :class:`NotYet` when its time is over,
    or when the object itself says that it gave up."""
    left, last, pause = wish.timeout_s, "", min(0.2, every_s)
    while True:
        try:
            found = await cluster.get(wish.resource, wish.name, wish.namespace)
            holds, told = look(found, wish)
            if not holds and wish.resource == DEPLOYMENTS:
                told = await _pods(cluster, wish, told)
        except Unreachable as error:  # a cluster may be away for a moment
            found, holds, told = None, False, str(error)
        if holds:
            return
        if told != last:
            say(told)
            last = told
        if left <= 0 or _gave_up(found):
            what = f"{wish.resource.plural} {wish.name}"
            raise NotYet(f"{what} in {wish.namespace or 'the cluster'}: {told}; run the same "
                         "command again to go on")  # fmt: skip
        await sleep(pause)
        left -= pause
        pause = min(every_s, 1.5 * pause)


def look(found: Object | None, wish: Wait) -> tuple[bool, str]:
    """Whether ``wish`` holds of an object, and how it is otherwise."""
    if found is None:
        return False, "is not there yet"
    if wish.path:
        value: Any = found
        for key in wish.path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return (value not in (None, "", [], {})), f"has no {wish.path} yet"
    generation = whole(section(found, "metadata").get("generation"), 0, 2**63 - 1) or 0
    status = section(found, "status")
    seen = whole(status.get("observedGeneration"), 0, 2**63 - 1)
    if wish.resource == DEPLOYMENTS and wish.condition == "Available":
        if (seen or 0) < generation:
            return False, "is not looked at yet"
        return rolled_out(found)
    said = next((c for c in conditions(found) if c.get("type") == wish.condition), None)
    if said is None:
        return False, f"does not say {wish.condition} yet"
    about = whole(said.get("observedGeneration"), 0, 2**63 - 1)
    if about is not None and about < generation:
        return False, f"says {wish.condition} of an older version of itself"
    if said.get("status") == "True":
        return True, ""
    why = text(said.get("message")) or text(said.get("reason"))
    return False, f"{wish.condition} is {said.get('status')}" + (f": {why}" if why else "")


def conditions(found: Object) -> list[Any]:
    """Its conditions; of a Gateway API route, those of each parent."""
    status = section(found, "status")
    listed = list(sections(status.get("conditions")))
    for parent in sections(status.get("parents")):
        listed += sections(parent.get("conditions"))
    return listed


def rolled_out(found: Object) -> tuple[bool, str]:
    """Whether a Deployment has all its pods, of its present template and no others."""
    status = section(found, "status")
    wanted = whole(section(found, "spec").get("replicas"), 0, 2**31 - 1)
    wanted = 1 if wanted is None else wanted
    counts = {k: whole(status.get(k), 0, 2**31 - 1) or 0
              for k in ("replicas", "updatedReplicas", "availableReplicas")}  # fmt: skip
    done = (
        counts["updatedReplicas"] >= wanted
        and counts["availableReplicas"] >= wanted
        and counts["replicas"] <= counts["updatedReplicas"]
    )
    return done, f"{min(counts['updatedReplicas'], counts['availableReplicas'])} of {wanted} ready"


def _gave_up(found: Object | None) -> bool:
    return any(
        c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded"
        for c in (conditions(found) if found else ())
    )


async def _pods(cluster: Cluster, wish: Wait, told: str) -> str:
    """What the pods of a Deployment are waiting for, where they say it."""
    found = await cluster.get(DEPLOYMENTS, wish.name, wish.namespace)
    wanted = texts(section(found, "spec", "selector", "matchLabels"))
    if not {NAME, INSTANCE} <= wanted.keys():
        return told
    reasons: dict[str, None] = {}
    for pod in await cluster.all(PODS, wish.namespace):
        if not wanted.items() <= texts(section(pod, "metadata", "labels")).items():
            continue
        status = section(pod, "status")
        for container in sections(status.get("containerStatuses")):
            waiting = section(container, "state", "waiting")
            reason = text(waiting.get("reason"))
            if reason and reason not in ("ContainerCreating", "PodInitializing"):
                about = f": {text(waiting.get('message'))[:200]}" if waiting.get("message") else ""
                reasons[f"{text(container.get('name'))} {reason}{about}"] = None
        for condition in sections(status.get("conditions")):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                reasons[text(condition.get("message"))[:200]] = None
    return "; ".join([told, *list(reasons)[:3]])
