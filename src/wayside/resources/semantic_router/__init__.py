"""A semantic router, run by the operator: ``SemanticRouter`` of ``vllm.ai/v1alpha1``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from wayside.manifests import workload
from wayside.manifests.meta import labels
from wayside.resources import (
    AGE,
    Column,
    Desired,
    Farewell,
    Object,
    Trouble,
    World,
    resource,
)
from wayside.resources.semantic_router import (
    backends,
    config,
    exposure,
    gateway,
    proxy,
    scaling,
    service,
    status,
    storage,
)
from wayside.resources.semantic_router import pod as pod_of
from wayside.resources.semantic_router.backends import READS
from wayside.resources.semantic_router.rollout import owned, rollout
from wayside.resources.semantic_router.spec import SemanticRouterSpec, SemanticRouterStatus
from wayside.settings import RouterSettings
from wayside.settings.problems import problems_from
from wayside.vocab.objects import section, sections, text, whole
from wayside.vocab.recent import Recent
from wayside.vocab.resource import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    GATEWAYS,
    HTTP_ROUTES,
    INGRESSES,
    NAMESPACES,
    NETWORK_POLICIES,
    ROUTES,
    SEMANTIC_ROUTERS,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    STORAGE_CLASSES,
)

MOST_BYTES: Final = 1_000_000
"""Of all files of a ConfigMap: Kubernetes allows a mebibyte, with what else there is of it."""
LEADING: Final = ("HTTPRoute", "Route", "Ingress")
"""Kinds of children that lead to the Service, by its name."""


@resource(
    "SemanticRouter",
    resource=SEMANTIC_ROUTERS,
    program="operator",
    spec=SemanticRouterSpec,
    status=SemanticRouterStatus,
    columns=(
        Column("Replicas", ".spec.replicas", "integer"),
        Column("Ready", ".status.readyReplicas", "integer"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
    short_names=("sr",),
    owns=(
        SERVICE_ACCOUNTS,
        CONFIG_MAPS,
        CLAIMS,
        DEPLOYMENTS,
        SERVICES,
        AUTOSCALERS,
        DISRUPTION_BUDGETS,
        HTTP_ROUTES,
        ROUTES,
        INGRESSES,
        NETWORK_POLICIES,
        SERVICE_MONITORS,
    ),
    spares=(CLAIMS,),
    reads=(*(one for one in READS if one != SERVICES), GATEWAYS, NAMESPACES, STORAGE_CLASSES),
    finalizer="semanticrouter.vllm.ai/finalizer",
)
class SemanticRouter:
    """A semantic router: its pods, how it is reached, where its models are, how it decides."""

    def desired(self, found: Object, world: World) -> Desired:
        """Everything that shall be for one SemanticRouter."""
        who = Whose.of(found)
        there = world.get(DEPLOYMENTS, who.name, who.namespace)
        try:
            spec = _read(found)
        except ValidationError as error:
            wrong = [str(p) for p in problems_from(error, SemanticRouterSpec)]
            left = rollout(there, None, 0, who.uid, "The spec cannot be understood.")
            told = status.not_understood(left, wrong, "ParseError")
            return Desired(
                conditions=told.conditions, status=told.status, again_s=told.again_s, prune=False
            )
        return _Glue(spec, who, found, there, world).desired()

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        """The same, with what could not be written in its conditions."""
        return status.troubled(desired, troubles)

    def farewell(self, found: Object, world: World) -> Farewell:
        """What becomes of the claim with the models."""
        who = Whose.of(found)
        try:
            spec = _read(found)
        except ValidationError:
            return Farewell()  # what is owned goes with it, whatever the spec says
        return storage.farewell(spec, who.name, who.namespace, who.uid, world)


# A pass asks twice or thrice: again when what it looked at was written by it.
_specs: Recent[SemanticRouterSpec] = Recent()
_configs: Recent[config.RouterConfig] = Recent()
_envoys: Recent[dict[str, str]] = Recent()


def _read(found: Object) -> SemanticRouterSpec:
    """Raises pydantic's ``ValidationError``."""
    meta, spec = section(found, "metadata"), section(found, "spec")
    whose = (text(meta.get("namespace")), text(meta.get("name")))
    said = (_said(found),)
    return _specs.get(whose, said, lambda: SemanticRouterSpec.model_validate(spec))


def _said(found: Object) -> str:
    """The spec to the letter: ``1``, ``1.0`` and ``true`` are equal to each other in Python."""
    return repr(section(found, "spec"))


@dataclass(frozen=True, slots=True)
class Whose:
    """Which SemanticRouter it is."""

    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, found: Object) -> Whose:
        meta = section(found, "metadata")
        return cls(text(meta.get("name")), text(meta.get("namespace")), text(meta.get("uid")))


class _Glue:
    """Asks every part, and puts together what they say."""

    def __init__(
        self,
        spec: SemanticRouterSpec,
        who: Whose,
        found: Object,
        there: Object | None,
        world: World,
    ) -> None:
        self._spec, self._who, self._there, self._world = spec, who, there, world
        name, namespace = who.name, who.namespace
        self._backends = backends.resolve(
            spec, namespace, world, sections(section(found, "status").get("backends"))
        )
        self._config = _configs.get(
            (namespace, name),
            (_said(found), self._backends),
            lambda: config.make(spec, name, namespace, self._backends),
        )
        self._gateway = gateway.gateway(spec, name, namespace, world)
        self._storage = storage.storage(spec, name, namespace, world)
        self._route = exposure.route(spec, name, namespace, world)
        self._exposure = exposure.exposure(spec, name, namespace, world)
        self._unnameable = service.unnameable(name)
        self._problems = (*self._unnameable, *service.problems(spec), *self._config.problems)

    def desired(self) -> Desired:
        settings = None if self._problems else self._config.settings
        envoy = None if settings is None else self._envoy(settings)
        if found := self._too_large(envoy or {}):
            self._problems, settings = (*self._problems, *found), None
        pod = None if settings is None else self._pod(settings, envoy)
        told = status.tell(self._facts(pod))
        claim = self._storage.claim
        unowned = [claim] if claim is not None and self._storage.unowned else []
        if self._problems:  # a mistake changes nothing that works
            children: list[Object] = []
        else:
            children = self._children(pod, envoy)
        return Desired(
            children=children,
            unowned=[] if self._problems else unowned,
            conditions=told.conditions,
            status=told.status,
            prune=pod is not None and not self._exposure.problems,
            again_s=told.again_s,
        )

    def _children(self, pod: Object | None, envoy: dict[str, str] | None) -> list[Object]:
        """In the order in which pods need them."""
        spec, (name, namespace) = self._spec, (self._who.name, self._who.namespace)
        claim = self._storage.claim
        made: list[Object | None] = [pod_of.service_account(spec, name, namespace)]
        if pod is not None:
            own = labels("semantic-router", name, "semantic-router-operator")
            data = {"config.yaml": self._config.text, "tools_db.json": self._config.tools}
            made.append(workload.config_map(f"{name}-config", namespace, own, data))
            if envoy is not None:
                made.append(proxy.config_map(name, namespace, envoy))
        made.append(None if self._storage.unowned else claim)
        made.append(pod)
        made.append(service.service(spec, name, namespace, self._world))
        if not self._taken(self._there):
            made.append(scaling.autoscaler(spec, name, namespace))
        made.append(scaling.disruption_budget(spec, name, namespace))
        leading = [self._gateway.route, self._route.route, *self._exposure.children]
        if self._taken(self._world.get(SERVICES, name, namespace)):
            leading = [one for one in leading if one is None or one["kind"] not in LEADING]
        made += leading
        return [one for one in made if one is not None]

    def _taken(self, found: Object | None) -> bool:
        """Whether it is there and somebody else's: nothing of ours shall scale it or lead to
        it. That it is in the way is told by whoever cannot write ours."""
        return found is not None and not owned(found, self._who.uid)

    def _pod(self, settings: RouterSettings, envoy: dict[str, str] | None) -> Object:
        spec, who = self._spec, self._who
        authorities = {b.ca for b in self._backends if b.ca is not None and b.url}
        return pod_of.deployment(
            spec,
            who.name,
            who.namespace,
            self._world,
            ports=service.ports(spec, self._world),
            files=pod_of.Files(
                settings=settings,
                envoy=envoy,
                uses=self._config.secrets,
                authorities=sorted(authorities),
            ),
            storage=self._storage,
            replicas=scaling.replicas(spec, self._there),
            openshift=exposure.runs_as_on_openshift(self._world, self._there),
        )

    def _envoy(self, settings: RouterSettings) -> dict[str, str] | None:
        if self._gateway.mode != "standalone":
            return None
        tls, ports = self._spec.service.tls.enabled, service.ports(self._spec, self._world)
        return _envoys.get(
            (self._who.namespace, self._who.name),
            (self._config.text, ports, tls),
            lambda: proxy.files(settings, ports, tls=tls),
        )

    def _too_large(self, envoy: Mapping[str, str]) -> list[str]:
        own = {"config.yaml": self._config.text, "tools_db.json": self._config.tools}
        return [
            f"{what} takes {size} bytes, and a ConfigMap holds {MOST_BYTES}: use fewer models, "
            "LoRAs, decisions or tools, or several SemanticRouters"
            for what, files in (("the configuration", own), ("that of Envoy", envoy))
            if (size := sum(len(text.encode()) for text in files.values())) > MOST_BYTES
        ]

    def _facts(self, pod: Object | None) -> status.Facts:
        spec, who, made = self._spec, self._who, self._config
        blocked = "The configuration is not valid." if self._problems else ""
        there = self._there
        return status.Facts(
            spec=spec,
            name=who.name,
            namespace=who.namespace,
            rollout=rollout(there, pod, scaling.wanted(spec, there), who.uid, blocked),
            backends=self._backends,
            gateway=self._gateway,
            storage=self._storage,
            route=self._route,
            exposure=self._exposure,
            validity=self._validity(),
            problems=self._problems,
            waiting=made.waiting,
            notes=(*made.notes, *scaling.notes(spec)),
            digest=made.digest,
            observed_digest=self._observed(),
        )

    def _validity(self) -> config.Reason:
        if self._unnameable:
            return "Unsupported"
        if self._config.problems:
            return self._config.reason
        return "Conflict" if self._problems else "Valid"

    def _observed(self) -> str:
        """What pods say they have; there have to be some to ask."""
        if whole(section(self._there, "status").get("readyReplicas"), 1, 2**31 - 1) is None:
            return ""
        return service.observed(self._spec, self._who.name, self._who.namespace, self._world)
