"""What the API server holds, followed; and loops that look at it again whenever it changes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wayside.kube.client import Client, Object
from wayside.kube.errors import KubeError
from wayside.kube.pace import Pace
from wayside.kube.watch import Reflector
from wayside.vocab.resource import EVENTS, Resource

EVERY_S = 0.5
"""Everything is looked at again so often, though nothing changed: for what depends on time."""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(*words: object) -> None:
    print(now(), *words, file=sys.stderr, flush=True)


def owner(of: Object) -> Object:
    """The controlling owner's uid and names; an empty one where there is none."""
    references = of["metadata"].get("ownerReferences") or []
    return next((r for r in references if r.get("controller")), {})


def owned_by(of: Object, api_version: str, kind: str) -> Object:
    """The reference that makes ``of`` the controlling owner."""
    meta = of["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def matches(labels: Mapping[str, str] | None, wanted: Mapping[str, str]) -> bool:
    return all((labels or {}).get(k) == v for k, v in wanted.items())


class World:
    """The objects of the namespaces that are looked at, and whoever waits for them to change."""

    def __init__(self, client: Client, namespaces: Sequence[str]) -> None:
        self.client = client
        self._namespaces = set(namespaces)
        self._reflectors: dict[Resource, Reflector[Object]] = {}
        self._wakes: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def adopt(self, namespace: str) -> None:
        if self._namespaces:
            self._namespaces.add(namespace)
        self.changed()

    def looks_at(self, namespace: str) -> bool:
        return not self._namespaces or not namespace or namespace in self._namespaces

    def changed(self, *_: object) -> None:
        for wake in self._wakes:
            wake.set()

    async def follow(self, *resources: Resource) -> None:
        """Returns once they are known, or known to be absent."""
        for resource in resources:
            pace = Pace(first_s=0.05, longest_s=0.5, refused_first_s=0.2, refused_longest_s=0.5)
            reflector = Reflector(
                self.client, resource, lambda found: found, changed=self.changed, pace=pace
            )
            self._reflectors[resource] = reflector
            self.spawn(reflector.run())
        for resource in resources:
            await self._reflectors[resource].settled.wait()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._reflectors[resource].store.get((namespace, name))

    def all(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """Of one namespace or of all that are looked at, by name."""
        store = self._reflectors[resource].store
        keys = [k for k in store if self.looks_at(k[0]) and namespace in (None, k[0])]
        return [store[key] for key in sorted(keys)]

    async def until(self, holds: Callable[[], bool], within_s: float = 10.0) -> bool:
        """Wait for something to become so."""
        wake = self._listen()
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    await wake.wait()
                    wake.clear()
            return True
        except TimeoutError:
            return False
        finally:
            self._wakes.remove(wake)

    def keep(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do ``step`` whenever anything changed, and every now and then."""
        self.spawn(self._keep(step))

    async def _keep(self, step: Callable[[], Awaitable[None]]) -> None:
        wake = self._listen()
        while True:
            wake.clear()
            try:
                await step()
            except KubeError as error:  # changed or gone in between: looked at again
                say(f"{step}: {error}")
            except Exception:
                say(traceback.format_exc())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await wake.wait()

    def _listen(self) -> asyncio.Event:
        wake = asyncio.Event()
        self._wakes.append(wake)
        return wake

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def status(self, resource: Resource, of: Object, status: Object) -> None:
        """Write those fields of a status that differ."""
        old = of.get("status") or {}
        patch = {k: v for k, v in status.items() if old.get(k) != v}
        if patch:
            meta = of["metadata"]
            name, namespace = meta["name"], meta.get("namespace")
            body = {"metadata": {"uid": meta["uid"]}, "status": patch}
            await self.client.merge(resource, name, body, namespace, sub="status")

    async def event(self, of: Object, kind: str, reason: str, message: str) -> None:
        """A Warning about an object, as its controller writes one."""
        meta = of["metadata"]
        body: Object = {
            "metadata": {"generateName": f"{meta['name']}."},
            "involvedObject": {
                "kind": kind,
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 1,
            "lastTimestamp": now(),
            "source": {"component": "process-kubelet"},
        }
        with contextlib.suppress(KubeError):
            await self.client.create(EVENTS, body, meta["namespace"])


def conditions(old: Sequence[Object], new: Sequence[Object]) -> list[Object]:
    """``new`` with the transition times of ``old`` where the status is the same."""
    before = {c["type"]: c for c in old}
    out = []
    for entry in new:
        was = before.get(entry["type"], {})
        same = was.get("status") == entry["status"]
        out.append({**entry, "lastTransitionTime": was["lastTransitionTime"] if same else now()})
    return out
