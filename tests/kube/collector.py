"""What the controller manager does with objects that nobody wants any more, for tests' servers.

The tests' API server has such controllers, too, and they are off (``--gc=false``): its collector
takes the children of an owner of a kind that it has not heard of yet (so whatever belongs to an
object made within seconds of its CRD goes, and on a busy machine goes often), and it asks for
every kind four times a second however idle the server is. These ask for the owner of each child
before they take it, and run where a test wants them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from wayside.kube.client import Client, Object
from wayside.kube.errors import Conflict, KubeError, NotFound
from wayside.kube.kubeconfig import find_access
from wayside.vocab.resource import (
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INGRESSES,
    NAMESPACES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

COLLECTED = (
    *(CONFIG_MAPS, DEPLOYMENTS, SERVICES, CLAIMS, SERVICE_ACCOUNTS, PODS),
    *(ROLES, ROLE_BINDINGS, INGRESSES, ENDPOINT_SLICES),
)
UNCOUNTED = ("events", "endpoints")


@asynccontextmanager
async def collecting(admin: Client, namespace: str, every_s: float = 0.1) -> AsyncIterator[None]:
    """What is owned by nothing any more in ``namespace`` goes, for as long as the block lasts."""
    task = asyncio.create_task(_again(every_s, lambda: _collect(admin, namespace)))
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def tidied(kubeconfig: Path, every_s: float = 0.2) -> Iterator[None]:
    """The same for a whole cluster, whose deleted namespaces end, too; in a thread."""
    ends = threading.Event()

    async def tidy() -> None:
        admin = Client(find_access(str(kubeconfig)))
        try:
            while not ends.is_set():
                try:
                    await _collect(admin, None)
                    await _end_namespaces(admin)
                except (KubeError, OSError):  # its server may be stopped, and come again
                    pass
                await asyncio.sleep(every_s)
        finally:
            admin.close()

    thread = threading.Thread(target=asyncio.run, args=(tidy(),), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(10)


async def _again(every_s: float, step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await step()
        await asyncio.sleep(every_s)


async def _collect(admin: Client, namespace: str | None) -> None:
    for resource in COLLECTED:
        for child in (await admin.list(resource, namespace))[0]:
            about = child["metadata"]
            owners, place = about.get("ownerReferences", ()), about["namespace"]
            if not owners or about.get("deletionTimestamp"):
                continue
            if any([await _lives(admin, owner, place) for owner in owners]):
                continue
            try:  # it may have been let go of before its owner went
                now = (await admin.get(resource, about["name"], place))["metadata"]
                if now.get("ownerReferences") == owners:
                    await admin.delete(resource, about["name"], place, uid=about["uid"])
            except (NotFound, Conflict):
                pass


async def _lives(admin: Client, owner: Object, namespace: str) -> bool:
    resource = (await admin.kinds(owner["apiVersion"])).get(owner["kind"])
    if resource is None:
        return False
    try:
        found = await admin.get(
            resource, owner["name"], namespace if resource.namespaced else None
        )
    except NotFound:
        return False
    return bool(found["metadata"]["uid"] == owner["uid"])


async def _end_namespaces(admin: Client) -> None:
    for namespace in (await admin.list(NAMESPACES))[0]:
        if "deletionTimestamp" not in namespace["metadata"]:
            continue
        name = namespace["metadata"]["name"]
        left = 0
        for resource in await _namespaced(admin):
            for one in (await admin.list(resource, name))[0]:
                left += 1
                if "deletionTimestamp" not in one["metadata"]:
                    with suppress(NotFound):
                        await admin.delete(resource, one["metadata"]["name"], name)
        if not left:
            done = {**namespace, "spec": {"finalizers": []}}
            with suppress(NotFound, Conflict):
                await admin.replace(NAMESPACES, done)  # this server has no `finalize`


async def _namespaced(admin: Client) -> list[Resource]:
    found: list[Resource] = []
    for version in ("v1", *await admin.groups()):
        for resource in (await admin.kinds(version)).values():
            listed = resource.namespaced and resource.plural not in UNCOUNTED
            if (
                listed
                and not resource.plural.endswith("reviews")
                and resource.plural != "bindings"
            ):
                found.append(resource)
    return found
