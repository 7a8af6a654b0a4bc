"""A model's servers, as a cluster has them: a Service's endpoints, pods by label, or a pool.

What cannot be known (no right, no answer, no such kind) changes nothing: the servers that were
told last go on being so, and the reason is said. A cluster that answers, and has none, is
believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from wayside.kube.access import ACCOUNT
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.kube.pace import Pace
from wayside.kube.pods import Pod, read_pod
from wayside.kube.pool import PoolWatch
from wayside.kube.services import OF_SERVICE, Service, Slice, backends, read_service, read_slice
from wayside.kube.watch import Log, Reflector
from wayside.settings.fleet import KubernetesSettings
from wayside.settings.model import EndpointSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES

LOOK_S: Final = 1.0
"""How soon a watch that has come to a stop is told of."""
PODS_PORT: Final = 8000
"""Where vLLM serves unless told otherwise."""

Tell = Callable[[Sequence[EndpointSettings]], None]
Warn = Callable[[str], None]


class Clusters:
    """The clusters that are asked, each through one client."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        account: Path = ACCOUNT,
        log: Log | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._environ, self._account, self._log, self._pace = environ, account, log, pace
        self._clients: dict[str, Client] = {}

    def client(self, kubeconfig: str = "") -> Client:
        """Raises :class:`ConfigError` where no cluster is found."""
        if kubeconfig not in self._clients:
            access = find_access(kubeconfig or None, environ=self._environ, account=self._account)
            self._clients[kubeconfig] = Client(access)
        return self._clients[kubeconfig]

    def namespace(self, kubeconfig: str = "") -> str:
        """Where we are ourselves, or where the kubeconfig's context is."""
        return self.client(kubeconfig).access.namespace

    def source(self, settings: KubernetesSettings) -> Servers:
        """What :class:`wayside.fleet.sources.Source` wants."""
        return Servers(self, settings, log=self._log, pace=self._pace)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


class Servers:
    """Follows the servers that ``settings`` describe."""

    def __init__(
        self,
        clusters: Clusters,
        settings: KubernetesSettings,
        *,
        log: Log | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._clusters, self._settings = clusters, settings
        self._shared: dict[str, Any] = {"log": log, "pace": pace}
        self._changed = asyncio.Event()

    async def follow(self, tell: Tell, warn: Warn) -> None:
        """See :class:`wayside.fleet.sources.Source`."""
        try:
            client = self._clusters.client(self._settings.kubeconfig)
        except ConfigError as error:
            warn(str(error))
            await asyncio.get_running_loop().create_future()
            return
        namespace = self._settings.namespace or self._clusters.namespace(self._settings.kubeconfig)
        following: _Following
        if self._settings.service:
            following = _ServiceEndpoints(client, self._settings, namespace, self)
        elif self._settings.pods:
            following = _Pods(client, self._settings, namespace, self)
        else:
            following = _Pool(client, self._settings, namespace, self)
        running = [asyncio.create_task(run()) for run in following.runs]
        told: list[EndpointSettings] | None = None
        try:
            while True:
                problem = following.problem()
                warn(problem)
                if not problem and following.known():
                    found = [self._endpoint(*server) for server in following.servers()]
                    if found != told:
                        told = found
                        tell(found)
                self._changed.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            for task in running:
                task.cancel()

    def changed(self, *_: object) -> None:
        self._changed.set()

    def shared(self, namespace: str) -> dict[str, Any]:
        """What all reflectors are made with."""
        return {"namespace": namespace, "changed": self.changed, "listed": self.changed} | (
            self._shared
        )

    def pool(self) -> dict[str, Any]:
        return {"changed": self.changed} | self._shared

    def _endpoint(self, host_port: str, name: str, labels: Mapping[str, str]) -> EndpointSettings:
        s = self._settings
        url = f"{s.scheme}://{host_port}{s.path}"
        return EndpointSettings(url=url, name=name, labels=dict(labels))


class _Following(Protocol):
    """One way of knowing servers: by host and port, with a pod's name and labels."""

    runs: Sequence[Callable[[], Any]]

    def problem(self) -> str:
        """Why nothing can be said now."""
        ...

    def known(self) -> bool:
        """Whether all there is has been listed."""
        ...

    def servers(self) -> Iterator[tuple[str, str, Mapping[str, str]]]: ...


class _ServiceEndpoints(_Following):
    def __init__(
        self, client: Client, settings: KubernetesSettings, namespace: str, of: Servers
    ) -> None:
        self._name, self._port, self._namespace = settings.service, settings.port, namespace
        shared = of.shared(namespace)
        self._services = Reflector[Service](
            client, SERVICES, read_service, fields=f"metadata.name={settings.service}", **shared
        )
        labels = f"{OF_SERVICE}={settings.service}"
        self._slices = Reflector[Slice](
            client, ENDPOINT_SLICES, read_slice, labels=labels, **shared
        )
        self.runs = (self._services.run, self._slices.run)

    def problem(self) -> str:
        if blocked := _blocked(self._services, self._slices):
            return blocked
        if not self.known():
            return ""
        where = f"Service {self._namespace}/{self._name}"
        service = self._services.store.get((self._namespace, self._name))
        if service is None:
            return f"{where} is not there"
        if service.external_name:
            return f"{where} stands for {service.external_name}: use discover.dns"
        if service.port_named(self._port) is None:
            has = ", ".join(f"{p.name or '-'}:{p.port}" for p in service.ports)
            asked = "several ports" if self._port is None else f"no port {self._port}"
            return f"{where} has {asked} ({has}): set discover.kubernetes.port"
        return ""

    def known(self) -> bool:
        return self._services.synced.is_set() and self._slices.synced.is_set()

    def servers(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        service = self._services.store[self._namespace, self._name]
        for backend in backends(service, self._slices.store.values(), self._port):
            yield backend.host_port, backend.pod, {}


class _Pods(_Following):
    def __init__(
        self, client: Client, settings: KubernetesSettings, namespace: str, of: Servers
    ) -> None:
        self._port = settings.port or PODS_PORT
        self._pods = Reflector[Pod](
            client, PODS, read_pod, labels=settings.pods, **of.shared(namespace)
        )
        self.runs = (self._pods.run,)

    def problem(self) -> str:
        return _blocked(self._pods)

    def known(self) -> bool:
        return self._pods.synced.is_set()

    def servers(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        for (_, name), pod in sorted(self._pods.store.items()):
            if pod.ready:
                yield pod.at(self._port), name, pod.labels


class _Pool(_Following):
    def __init__(
        self, client: Client, settings: KubernetesSettings, namespace: str, of: Servers
    ) -> None:
        self._where = f"InferencePool {namespace}/{settings.pool}"
        self._watch = PoolWatch(client, settings.pool, namespace, **of.pool())
        self.runs = (self._watch.run,)

    def problem(self) -> str:
        for resource, state in self._watch.states.items():
            if state not in ("starting", "synced") and resource.startswith(
                ("pods", "inferencepools")
            ):
                return f"{resource} cannot be watched: {state}"
        return "" if self._watch.pool is not None else f"{self._where} is not there"

    def known(self) -> bool:
        return self._watch.synced

    def servers(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        for place in self._watch.places:
            yield place.host_port, place.name, place.pod.labels


def _blocked(*watches: Reflector[Any]) -> str:
    """Why one of them tells nothing, in the server's words."""
    for watch in watches:
        if watch.state not in ("starting", "synced"):
            return f"{watch.resource} cannot be watched: {watch.problem}"
    return ""
