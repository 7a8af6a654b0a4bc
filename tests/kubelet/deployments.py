"""Plays the Deployment controller (without ReplicaSets: pods belong to their Deployment) and the
one that binds claims."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.kubelet.services import is_ready
from tests.kubelet.world import World, conditions, owned_by, owner
from wayside.kube.client import Object
from wayside.kube.errors import NotFound
from wayside.vocab.resource import CLAIMS, DEPLOYMENTS, PODS, SERVICE_ACCOUNTS, STORAGE_CLASSES

HASH = "pod-template-hash"
STOPPING = "process-kubelet/stopping"
"""A pod's finalizer: the API server of the tests deletes at once what has none."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Deployments:
    def __init__(self, world: World) -> None:
        self._world = world
        self._moved: dict[str, tuple[Any, float]] = {}
        self._doomed: set[str] = set()

    async def step(self) -> None:
        for deployment in self._world.all(DEPLOYMENTS):
            if not deployment["metadata"].get("deletionTimestamp"):
                await self._look_after(deployment)

    async def _look_after(self, deployment: Object) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        version = _digest(spec["template"])
        owned = [
            pod
            for pod in self._world.all(PODS, meta["namespace"])
            if owner(pod).get("uid") == meta["uid"]
        ]
        leaving = [p for p in owned if _leaves(p) or p["metadata"]["uid"] in self._doomed]
        pods = [p for p in owned if p not in leaving]
        new = [p for p in pods if p["metadata"]["labels"].get(HASH) == version]
        old = [p for p in pods if p not in new]
        wanted = spec.get("replicas", 1)
        strategy = spec.get("strategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        surge = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
        missing = _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
        if not surge and not missing:
            missing = 1
        problem = ""
        if strategy.get("type") == "Recreate":
            for pod in old:
                await self._delete(pod)
            create = 0 if old or leaving else wanted - len(new)
        else:
            create = min(wanted - len(new), wanted + surge - len(pods))
            spare = sum(map(self._available(spec), pods)) - (wanted - missing)
            for pod in sorted(old, key=is_ready):
                spare -= is_ready(pod)
                if not is_ready(pod) or spare >= 0:
                    await self._delete(pod)
        for _ in range(create):
            problem = problem or await self._create(deployment, version)
        for pod in sorted(new, key=_worth)[: max(0, len(new) - wanted)]:
            await self._delete(pod)
        await self._tell(deployment, pods, new, wanted - missing, problem)

    def _available(self, spec: Object) -> Any:
        seconds = spec.get("minReadySeconds", 0)

        def available(pod: Object) -> bool:
            return is_ready(pod) and _ready_for(pod) >= seconds

        return available

    async def _create(self, deployment: Object, version: str) -> str:
        """Make one pod and wait until it is seen; why that cannot be."""
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        account = template["spec"].get("serviceAccountName", "default")
        known = self._world.get(SERVICE_ACCOUNTS, meta["namespace"], account)
        if account != "default" and known is None:
            return f'serviceaccount "{account}" not found'
        about = template.get("metadata") or {}
        name = f"{meta['name']}-{version}-{uuid.uuid4().hex[:5]}"
        body = {
            "metadata": {
                "name": name,
                "labels": {**(about.get("labels") or {}), HASH: version},
                "annotations": about.get("annotations") or {},
                "ownerReferences": [owned_by(deployment, "apps/v1", "Deployment")],
                "finalizers": [STOPPING],
            },
            "spec": {**template["spec"], "nodeName": "node"},
        }
        await self._world.client.create(PODS, body, meta["namespace"])
        key = meta["namespace"], name
        await self._world.until(lambda: self._world.get(PODS, *key) is not None)
        return ""

    async def _delete(self, pod: Object) -> None:
        meta = pod["metadata"]
        self._doomed.add(meta["uid"])
        with contextlib.suppress(NotFound):
            await self._world.client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])

    async def _tell(
        self, deployment: Object, pods: list[Object], new: list[Object], least: int, problem: str
    ) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        available = sum(map(self._available(spec), pods))
        wanted = spec.get("replicas", 1)
        counts = {
            "replicas": len(pods),
            "updatedReplicas": len(new),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": available,
            "unavailableReplicas": max(0, wanted - available),
        }
        now = (meta["generation"], tuple(counts.values()))
        if self._moved.get(meta["uid"], (None,))[0] != now:
            self._moved[meta["uid"]] = now, time.monotonic()
        stuck_s = time.monotonic() - self._moved[meta["uid"]][1]
        done = len(pods) == len(new) == available == wanted
        late = not done and stuck_s > spec.get("progressDeadlineSeconds", 600)
        reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
        ok = available >= least
        found = [
            {
                "type": "Available",
                "status": str(ok),
                "reason": "MinimumReplicas" + ("Available" if ok else "Unavailable"),
                "message": f"{available} of {wanted} pods are available",
            },
            {
                "type": "Progressing",
                "status": str(not late),
                "reason": "ProgressDeadlineExceeded" if late else reason,
                "message": f"{len(new)} of {len(pods)} pods are of the current template",
            },
        ]
        if problem:
            found.append(
                {
                    "type": "ReplicaFailure",
                    "status": "True",
                    "reason": "FailedCreate",
                    "message": problem,
                }
            )
        old = (deployment.get("status") or {}).get("conditions") or []
        status = {
            **{name: number or None for name, number in counts.items()},
            "observedGeneration": meta["generation"],
            "conditions": [
                {**c, "lastUpdateTime": c["lastTransitionTime"]} for c in conditions(old, found)
            ],
        }
        await self._world.status(DEPLOYMENTS, deployment, status)


class Claims:
    """A claim is bound to a folder if its StorageClass exists."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def step(self) -> None:
        classes = {c["metadata"]["name"]: c for c in self._world.all(STORAGE_CLASSES)}
        default = [
            name
            for name, found in classes.items()
            if (found["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
        ]
        for claim in self._world.all(CLAIMS):
            meta, spec = claim["metadata"], claim["spec"]
            if (claim.get("status") or {}).get("phase") == "Bound":
                continue
            name = spec.get("storageClassName") or next(iter(default), None)
            if name not in classes:
                continue
            volume = f"pvc-{meta['uid']}"
            await self._world.client.merge(
                CLAIMS,
                meta["name"],
                {"spec": {"volumeName": volume, "storageClassName": name}},
                meta["namespace"],
            )
            status = {
                "phase": "Bound",
                "accessModes": spec["accessModes"],
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            }
            await self._world.status(CLAIMS, claim, status)


def _digest(template: Object) -> str:
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _share(of: int | str, wanted: int, rounded: Any) -> int:
    return int(rounded(wanted * int(of.rstrip("%")) / 100)) if isinstance(of, str) else of


def _leaves(pod: Object) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended or bool(pod["metadata"].get("deletionTimestamp"))


def _worth(pod: Object) -> tuple[bool, float]:
    """Which to delete first: not ready, then the youngest."""
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return is_ready(pod), -made.timestamp()


def _ready_for(pod: Object) -> float:
    for found in pod["status"]["conditions"]:
        if found["type"] == "Ready":
            since = datetime.fromisoformat(found["lastTransitionTime"])
            return (datetime.now(UTC) - since).total_seconds()
    return 0.0
