"""How far a Deployment has come, as its own status tells.

Counted as ``kubectl rollout status`` counts: what the Deployment's controller has not observed yet
says nothing of the pods that shall be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wayside.resources import Condition, Object
from wayside.vocab.objects import section, sections, text, whole

_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Pods: how many there shall be, are, are of the wanted sort, and may be sent requests."""

    wanted: int
    exists: bool = False
    observed: bool = False
    """Whether the figures are about what shall be, and not about what was there before."""
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    stuck: str = ""
    """Why the Deployment's controller has given up waiting (ProgressDeadlineExceeded)."""
    failure: str = ""
    """Why it can make no pods: a quota, a policy that refuses them."""
    blocked: str = ""
    """Why no Deployment is written, where none is."""

    @property
    def complete(self) -> bool:
        """Whether all pods are as they shall be, and ready."""
        return (
            self.exists
            and self.observed
            and self.wanted == self.replicas == self.updated == self.ready
        )

    def available(self) -> Condition:
        """The condition Available: whether anybody answers."""
        if not self.exists:
            why = self.blocked or "Deployment has not been created yet"
            return Condition("Available", "False", "DeploymentNotFound", why)
        if self.ready == 0:
            why = (
                "spec.replicas is 0: nothing is wanted to run."
                if self.wanted == 0
                else " ".join(["No replicas are ready.", self.failure or self.stuck]).strip()
            )
            return Condition("Available", "False", "NoReadyReplicas", why)
        if self.ready >= self.wanted:
            return Condition("Available", "True", "AllReplicasReady", "All replicas are ready")
        return Condition(
            "Available",
            "True",
            "MinimumReplicasAvailable",
            f"{self.ready}/{self.wanted} replicas ready",
        )

    def progressing(self) -> Condition:
        """The condition Progressing: whether pods are on their way."""
        if self.complete:
            said = f"All {self.wanted} replicas are as they shall be."
            return Condition("Progressing", "False", "Complete", said)
        if not self.exists and self.blocked:
            return Condition("Progressing", "False", "Blocked", self.blocked)
        if not self.exists or not self.observed:
            return Condition(
                "Progressing",
                "True",
                "Reconciling",
                "The Deployment's controller has not seen what it shall be yet.",
            )
        if self.failure:
            return Condition("Progressing", "False", "RolloutFailed", self.failure, "Warning")
        if self.stuck:
            return Condition(
                "Progressing", "False", "ProgressDeadlineExceeded", self.stuck, "Warning"
            )
        return Condition(
            "Progressing",
            "True",
            "RollingOut",
            f"{self.ready}/{self.wanted} replicas ready, {self.updated} of the newest sort",
        )


def rollout(
    found: Object | None, made: Object | None, wanted: int, uid: str, blocked: str = ""
) -> Rollout:
    """How far the Deployment ``found`` has come.

    ``made``: the one that shall be, or ``None`` where what is there is left alone; ``wanted``:
    its pods. A Deployment that is not controlled by the object ``uid`` is none of ours, and is
    as if it were not there. ``blocked``: why none is made.
    """
    if found is None or not owned(found, uid):
        return Rollout(wanted=wanted, blocked=blocked)
    spec, status = section(found, "spec"), section(found, "status")
    told = {text(c.get("type")): c for c in sections(status.get("conditions"))}
    generation = _count(section(found, "metadata").get("generation"), 2**63)
    seen = _count(status.get("observedGeneration"), 2**63)
    as_wished = made is None or (
        _count(spec.get("replicas"), default=1) == wanted and _same_template(found, made)
    )
    progress = told.get("Progressing", {})
    stuck = (
        text(progress.get("message"), "It takes longer than it should.")
        if progress.get("status") == "False"
        else ""
    )
    failed = told.get("ReplicaFailure", {})
    return Rollout(
        wanted=_count(spec.get("replicas"), default=1) if made is None else wanted,
        exists=True,
        observed=as_wished and seen >= generation,
        replicas=_count(status.get("replicas")),
        updated=_count(status.get("updatedReplicas")),
        ready=_count(status.get("readyReplicas")),
        stuck=stuck,
        failure=text(failed.get("message")) if failed.get("status") == "True" else "",
    )


def owned(found: Mapping[str, Any], uid: str) -> bool:
    """Whether the object ``uid`` controls what was found."""
    owners = sections(section(found, "metadata").get("ownerReferences"))
    return any(one.get("uid") == uid and one.get("controller") is True for one in owners)


def _same_template(found: Object, made: Object) -> bool:
    """Whether the pods that are there are of the template that shall be, by its annotations (the
    configuration's digest is among them) and its images."""
    has, wants = (section(one, "spec", "template") for one in (found, made))
    notes = section(has, "metadata", "annotations")
    wanted = section(wants, "metadata", "annotations")
    return all(notes.get(key) == value for key, value in wanted.items()) and _images(
        has
    ) == _images(wants)


def _images(template: Mapping[str, Any]) -> dict[str, str]:
    containers = sections(section(template, "spec").get("containers"))
    return {text(one.get("name")): text(one.get("image")) for one in containers}


def _count(value: Any, most: int = _MOST, default: int = 0) -> int:
    found = whole(value, 0, most)
    return default if found is None else found
