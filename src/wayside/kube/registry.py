"""What a cluster holds of a router's configuration, kept current by watches.

IntelligentPools and IntelligentRoutes of a namespace, KServe's LLMInferenceServices, and model
servers by label. What a server serves is asked by somebody else; here is who there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from wayside.kube.client import Client, Object
from wayside.kube.pods import Pod, read_pod
from wayside.kube.published import (
    EXTERNAL_MODELS,
    MODEL_REFS,
    External,
    Published,
    Ref,
    published,
    read_external,
    read_ref,
)
from wayside.kube.services import Service, read_service
from wayside.kube.watch import Log, Reflector
from wayside.settings.address import parse_address
from wayside.settings.registry import RegistrySettings
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import (
    INTELLIGENT_POOLS,
    INTELLIGENT_ROUTES,
    KSERVE_LLMS,
    PODS,
    SERVICES,
    Resource,
)

NEWER_LLMS: Final = Resource(KSERVE_LLMS.group, "v1alpha2", KSERVE_LLMS.plural)
_LOCAL: Final = (".svc", ".svc.cluster.local")


class Llm(msgspec.Struct, frozen=True, kw_only=True):
    """An LLMInferenceService: ``model`` is what requests call it, ``url`` where it is served
    (``https://host:8000/base``), empty until its status tells."""

    name: str
    namespace: str
    model: str
    url: str = ""


class Server(msgspec.Struct, frozen=True):
    """A model server: its name for people, and the labels of its pod or Service."""

    name: str
    labels: Mapping[str, str] = {}


class Kept(msgspec.Struct, frozen=True):
    """A pool or route without what others write into it: a change of its status is none."""

    uid: str
    generation: int
    object: Object


@dataclass(frozen=True, slots=True)
class Held:
    """What the cluster holds, at one time."""

    pools: tuple[Object, ...] = ()
    routes: tuple[Object, ...] = ()
    llms: tuple[Llm, ...] = ()
    servers: Mapping[str, Server] = field(default_factory=dict)
    """By base URL."""
    published: tuple[Published, ...] = ()
    """By Models-as-a-Service."""


class Registry:
    """Follows what ``settings`` ask for while :meth:`run` runs; ``changed`` must not wait."""

    def __init__(
        self,
        client: Client,
        settings: RegistrySettings,
        namespace: str,
        changed: Callable[[], None],
        log: Log | None = None,
    ) -> None:
        """``namespace`` is where to look, where the settings do not say."""
        self._client = client
        self.namespace = settings.namespace or namespace
        self._changed = changed
        shared: dict[str, Any] = {"changed": self._tell, "listed": self._tell, "log": log}
        here = {**shared, "namespace": self.namespace}
        self._pools: list[Reflector[Kept]] = []
        if settings.routes:
            self._pools = [
                Reflector[Kept](client, resource, _keep, **here)
                for resource in (INTELLIGENT_POOLS, INTELLIGENT_ROUTES)
            ]
        self._llms: list[Reflector[Llm]] = []
        if settings.llms is not None:
            self._llms = [
                Reflector[Llm](
                    client,
                    resource,
                    read_llm,
                    labels=settings.llms.selector,
                    **{**shared, "namespace": place},
                )
                for place in self._places(settings.llms.namespaces)
                for resource in (KSERVE_LLMS, NEWER_LLMS)
            ]
        self._refs: list[Reflector[Ref]] = []
        self._externals: list[Reflector[External]] = []
        self._referred: list[Reflector[Llm]] = []
        if settings.published is not None:
            for place in self._places(settings.published.namespaces):
                there = {**shared, "namespace": place}
                self._refs.append(Reflector[Ref](client, MODEL_REFS, read_ref, **there))
                self._externals.append(
                    Reflector[External](client, EXTERNAL_MODELS, read_external, **there)
                )
                self._referred += [
                    Reflector[Llm](client, resource, read_llm, **there)
                    for resource in (KSERVE_LLMS, NEWER_LLMS)
                ]
        self._pods: Reflector[Pod] | None = None
        if settings.pods is not None:
            self._pods = Reflector[Pod](
                client, PODS, read_pod, labels=settings.pods.selector, **here
            )
        self._services: Reflector[Service] | None = None
        if settings.services is not None:
            self._services = Reflector[Service](
                client, SERVICES, read_service, labels=settings.services.selector, **here
            )
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for watch in self._watches():
                tasks.create_task(watch.run())

    def problems(self) -> list[str]:
        """What cannot be known now, and why. Of KServe's two versions one is enough."""
        optional: list[Reflector[Any]] = [*self._refs, *self._externals]
        versions = [*self._llms, *self._referred]
        found = [
            f"{watch.resource} cannot be watched: {watch.problem}"
            for watch in self._watches()
            if watch not in versions
            and watch.state not in ("starting", "synced")
            and not (watch in optional and watch.state == "absent")
        ]
        for old, new in zip(versions[::2], versions[1::2], strict=True):
            if old in self._referred and old.state == new.state == "absent":
                continue
            if "synced" not in (old.state, new.state) and "starting" not in (old.state, new.state):
                found.append(f"{old.resource} cannot be watched: {old.problem or new.problem}")
        return found

    @property
    def known(self) -> bool:
        """Whether everything has been listed once: before that, nothing can be believed. A
        cluster that does not know LLMInferenceServices has none."""
        versions = [*self._llms, *self._referred]
        llms = zip(versions[::2], versions[1::2], strict=True)
        optional: list[Reflector[Any]] = [*self._refs, *self._externals]
        others = [watch for watch in self._watches() if watch not in versions]
        return all(
            watch.synced.is_set() or (watch in optional and watch.state == "absent")
            for watch in others
        ) and all(
            old.synced.is_set() or new.synced.is_set() or old.state == new.state == "absent"
            for old, new in llms
        )

    def held(self) -> Held:
        """What there is. Servers and models in the order of their names."""
        pools, routes = (
            [tuple(kept.object for _, kept in sorted(w.store.items())) for w in self._pools]
            if self._pools
            else [(), ()]
        )
        llms = {key: llm for watch in self._llms for key, llm in watch.store.items()}
        return Held(
            pools=pools,
            routes=routes,
            llms=tuple(llm for _, llm in sorted(llms.items()) if llm.url),
            servers=dict(self._servers()),
            published=tuple(self._published()),
        )

    async def tell(self, resource: Resource, found: Object, status: Object) -> None:
        """Write the status of a pool or route, if it says anything new. Raises
        :class:`KubeError`."""
        meta = section(found, "metadata")
        name, namespace = text(meta.get("name")), text(meta.get("namespace"))
        current = await self._client.get(resource, name, namespace)
        if text(section(current, "metadata").get("uid")) != text(meta.get("uid")):
            return  # another one by now, which has its own turn
        told = settled(section(current, "status"), status)
        if told != section(current, "status"):
            await self._client.merge(resource, name, {"status": told}, namespace, sub="status")

    def _places(self, wanted: Sequence[str]) -> Sequence[str | None]:
        """Namespaces to look at; ``None`` is all of them."""
        named = wanted or (self.namespace,)
        return [None] if "*" in named else list(dict.fromkeys(named))

    def _published(self) -> Iterator[Published]:
        refs = {key: ref for watch in self._refs for key, ref in watch.store.items()}
        externals = {key: one for watch in self._externals for key, one in watch.store.items()}
        served = {
            key: (llm.url, llm.model)
            for watch in self._referred
            for key, llm in watch.store.items()
            if llm.url
        }
        return published(refs, served, externals)

    def _watches(self) -> Iterator[Reflector[Any]]:
        yield from self._pools
        yield from self._llms
        yield from self._refs
        yield from self._externals
        yield from self._referred
        if self._pods is not None:
            yield self._pods
        if self._services is not None:
            yield self._services

    def _servers(self) -> Iterator[tuple[str, Server]]:
        if self._pods is not None and self._settings.pods is not None:
            for (_, name), pod in sorted(self._pods.store.items()):
                if pod.ready:
                    yield f"http://{pod.at(self._settings.pods.port)}", Server(name, pod.labels)
        if self._services is not None and self._settings.services is not None:
            for (_, name), service in sorted(self._services.store.items()):
                port = self._settings.services.port
                at = f"http://{name}.{service.namespace}.svc:{port}"
                if not service.ports or service.port_named(port) is not None:
                    yield at, Server(name, service.labels)

    def _tell(self, *_: object) -> None:
        self._changed()


def settled(before: Mapping[str, Any], status: Object) -> Object:
    """``status`` over what stood there before: a condition's time moves when its status does."""
    old = {text(c.get("type")): c for c in sections(before.get("conditions"))}
    conditions = []
    for condition in status["conditions"]:
        known = old.pop(condition["type"], None)
        if known is not None and known.get("status") == condition["status"]:
            condition = {**condition, "lastTransitionTime": known.get("lastTransitionTime")}
        conditions.append(condition)
    return {**before, **status, "conditions": conditions}


def read_llm(found: Object) -> Llm:
    """An LLMInferenceService of the API's object, of either version."""
    meta = section(found, "metadata")
    name = text(meta.get("name"))
    return Llm(
        name=name,
        namespace=text(meta.get("namespace")),
        model=text(section(found, "spec", "model").get("name")) or name,
        url=_url(section(found, "status")),
    )


def _url(status: Mapping[str, Any]) -> str:
    """Where it is served: inside the cluster rather than through a gateway."""
    told = [text(section(status, "address").get("url"))]
    told += [text(address.get("url")) for address in sections(status.get("addresses"))]
    told.append(text(status.get("url")))
    usable = [url for url in told if _parses(url)]
    local = [url for url in usable if parse_address(url).host.endswith(_LOCAL)]
    return next(iter([*local, *usable]), "")


def _parses(url: str) -> bool:
    try:
        parse_address(url)
    except ValueError:
        return False
    return url.startswith(("http://", "https://"))


def _keep(found: Object) -> Kept:
    meta = section(found, "metadata")
    kept = {key: meta.get(key) for key in ("name", "namespace", "uid", "generation")}
    body = {**found, "metadata": kept}
    body.pop("status", None)
    generation = meta.get("generation")
    return Kept(text(meta.get("uid")), generation if isinstance(generation, int) else 0, body)
