"""Plays the kubelet: each Pod becomes processes, and its status says how they are."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kubelet.containers import Container
from tests.kubelet.deployments import STOPPING
from tests.kubelet.images import Image
from tests.kubelet.net import NODE, Network
from tests.kubelet.volumes import Files, Given, NotYet
from tests.kubelet.world import World, conditions, now, say
from wayside.kube.client import Object
from wayside.kube.errors import KubeError, NotFound
from wayside.vocab.resource import PODS


@dataclass(frozen=True)
class Node:
    """What all pods share."""

    world: World
    network: Network
    images: Mapping[str, Image]
    scratch: Path
    """A file system of our own, in memory: it is gone with the process."""
    logs: Path
    authority: bytes
    haste: float
    delay_s: float


class Kubelet:
    """One :class:`Worker` for each pod."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.workers: dict[str, Worker] = {}

    async def step(self) -> None:
        world = self._node.world
        here = {p["metadata"]["uid"]: p for p in world.all(PODS)}
        for uid, pod in here.items():
            meta = pod["metadata"]
            if uid in self.workers:
                if meta.get("deletionTimestamp"):
                    self.workers[uid].end()
            elif meta.get("deletionTimestamp"):
                await release(world, pod)
            elif (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                self.workers[uid] = Worker(self._node, pod)
        for uid in [uid for uid in self.workers if uid not in here]:
            self.workers[uid].end()
            if self.workers[uid].done:
                del self.workers[uid]

    def find(self, namespace: str, name: str, container: str) -> Container:
        """A container of a pod, the first if it is not named. Raises ``LookupError``."""
        for worker in self.workers.values():
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                for one in worker.containers:
                    if container in ("", one.name):
                        return one
        raise LookupError(f"no container {container!r} in a pod {namespace}/{name}")


async def release(world: World, pod: Object) -> None:
    """Let a pod go that is being deleted: nothing of it is left here."""
    meta = pod["metadata"]
    left = [f for f in meta.get("finalizers") or [] if f != STOPPING]
    body = {"metadata": {"finalizers": left or None}}
    with contextlib.suppress(NotFound):
        await world.client.merge(PODS, meta["name"], body, meta["namespace"])


class Worker:
    """One pod from its first sight to its end."""

    def __init__(self, node: Node, pod: Object) -> None:
        self.pod, self.containers = pod, list[Container]()
        self._node, self._world = node, node.world
        self._inits: list[Container] = []
        self._uid = pod["metadata"]["uid"]
        self._folder = node.scratch / "pods" / self._uid
        account = pod["spec"].get("serviceAccountName", "default")
        namespace = pod["metadata"]["namespace"]
        files: Files = {
            "token": (f"system:serviceaccount:{namespace}:{account}".encode(), 0o644),
            "ca.crt": (node.authority, 0o644),
            "namespace": (namespace.encode(), 0o644),
        }
        claims = node.scratch / "claims"
        self._given = Given(self._world, pod, self._folder / "volumes", claims, files)
        self._phase, self._initialized, self._waits = "Pending", False, ""
        self._scheduled = False
        self._dirty, self._ended = asyncio.Event(), False
        self._work = self._world.spawn(self._live())
        self._teller = self._world.spawn(self._tell())
        self._minder: asyncio.Task[None] | None = None
        self.done = False

    def end(self) -> None:
        """Stop it in its grace period, then let it go."""
        if not self._ended:
            self._ended = True
            self._world.spawn(self._stop())

    async def _stop(self) -> None:
        grace = float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        await asyncio.gather(*(c.stop(grace) for c in self.containers), return_exceptions=True)
        for task in (self._work, self._teller, self._minder):
            if task is not None:
                task.cancel()
        await asyncio.gather(self._work, self._teller, return_exceptions=True)
        await self._node.network.detach(self._uid)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        with contextlib.suppress(KubeError):
            await release(self._world, self.pod)
        self.done = True
        self._world.changed()

    async def _live(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError:
            raise
        except Exception:
            say(self.pod["metadata"]["name"], traceback.format_exc())

    async def _run(self) -> None:
        meta, spec = self.pod["metadata"], self.pod["spec"]
        if STOPPING not in (meta.get("finalizers") or []):
            body = {
                "metadata": {"finalizers": [*(meta.get("finalizers") or []), STOPPING]},
                "spec": {"nodeName": "node"},
            }
            await self._world.client.merge(PODS, meta["name"], body, meta["namespace"])
        self._dirty.set()
        for volume in spec.get("volumes") or []:
            if claim := volume.get("persistentVolumeClaim"):
                await self._needs(lambda name=claim["claimName"]: self._given.claim(name))
        self._scheduled = True
        self._given.ip = await self._node.network.attach(self._uid)
        await self._needs(self._given.refresh)
        self._minder = self._world.spawn(self._mind())
        policy = spec.get("restartPolicy", "Always")
        self.containers = [self._container(c) for c in spec["containers"]]
        self._inits = [self._container(c) for c in spec.get("initContainers") or []]
        self._dirty.set()
        for init in self._inits:
            if code := await init.run("Never" if policy == "Never" else "OnFailure"):
                self._phase = "Failed"
                self._waits = f"init container {init.name}: exit status {code}"
                self._dirty.set()
                return
        self._initialized, self._phase = True, "Running"
        codes = await asyncio.gather(*(c.run(policy) for c in self.containers))
        if not self._ended:
            self._phase = "Failed" if any(codes) else "Succeeded"
            self._dirty.set()

    def _container(self, spec: Object) -> Container:
        meta = self.pod["metadata"]
        return Container(
            spec,
            self.pod,
            self._given,
            images=self._node.images,
            network=self._node.network,
            folder=self._folder,
            log=self._node.logs / f"{meta['namespace']}_{meta['name']}_{spec['name']}.log",
            haste=self._node.haste,
            tell=self._dirty.set,
        )

    async def _needs(self, call: object) -> None:
        """Wait until ``call`` has what it needs; meanwhile the status and an Event say what."""
        while True:
            try:
                call()  # type: ignore[operator]
                return
            except NotYet as problem:
                if self._waits != problem.message:
                    self._waits = problem.message
                    self._dirty.set()
                    await self._world.event(self.pod, "Pod", problem.reason, problem.message)
            await asyncio.sleep(0.1)

    async def _mind(self) -> None:
        """Bring changed ConfigMaps and Secrets into the volumes, as late as a kubelet does."""
        while True:
            await asyncio.sleep(self._node.delay_s)
            with contextlib.suppress(NotYet):  # one that is gone leaves what was written
                self._given.refresh()

    async def _tell(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            meta = self.pod["metadata"]
            known = self._world.get(PODS, meta["namespace"], meta["name"]) or self.pod
            try:
                await self._world.status(PODS, known, self._status(known))
            except NotFound:
                pass
            except KubeError as error:
                say(meta["name"], error)
                self._dirty.set()
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.01)

    def _status(self, known: Object) -> Object:
        statuses = [c.status() for c in self.containers]
        ready = bool(statuses) and self._initialized and all(s["ready"] for s in statuses)
        unready = ", ".join(s["name"] for s in statuses if not s["ready"])
        why = {} if ready else {"reason": "ContainersNotReady", "message": self._waits or unready}
        found = [
            {
                "type": "PodScheduled",
                "status": str(self._scheduled),
                **({} if self._scheduled else {"reason": "Unschedulable", "message": self._waits}),
            },
            {"type": "Initialized", "status": str(self._initialized)},
            {"type": "ContainersReady", "status": str(ready), **why},
            {"type": "Ready", "status": str(ready), **why},
        ]
        old = (known.get("status") or {}).get("conditions") or []
        return {
            "phase": self._phase,
            "hostIP": NODE,
            "podIP": self._given.ip or None,
            "podIPs": [{"ip": self._given.ip}] if self._given.ip else None,
            "startTime": (known.get("status") or {}).get("startTime") or now(),
            "conditions": conditions(old, found),
            "containerStatuses": statuses or None,
            "initContainerStatuses": [c.status() for c in self._inits] or None,
        }
