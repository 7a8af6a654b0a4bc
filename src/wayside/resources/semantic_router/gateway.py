"""Whose gateway takes the clients' requests: an Envoy beside the router, or one that is there.

With ``spec.gateway.existingRef`` an HTTPRoute hangs on that Gateway and leads to our Service. The
route is written also while the Gateway is missing or does not take it: it begins to work the
moment that changes, and a Gateway that is made anew interrupts nothing for longer than it must.
What is in the way is the condition GatewayReady.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from wayside.manifests.meta import labels
from wayside.manifests.network import GATEWAY_API, http_route, rule
from wayside.resources import Condition, Object, World
from wayside.resources.semantic_router.exposure_spec import GatewayRef, GatewaySpec
from wayside.resources.semantic_router.listeners import Listener, listeners
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.objects import section, sections, text, texts, whole
from wayside.vocab.resource import GATEWAYS, HTTP_ROUTES, NAMESPACES

Mode = Literal["standalone", "gateway-integration"]

CHAT: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
)
"""Paths that a model answers: ``spec.gateway.timeouts.request`` holds for them."""
STRIPPED: Final = (
    "x-selected-model",
    "x-vsr-destination-endpoint",
    "x-gateway-model-name",
    "x-maas-model-executed",
)
"""Headers by which a client could pretend that the router had decided."""


@dataclass(frozen=True, slots=True)
class GatewayState:
    """How requests come in, and whether they can."""

    mode: Mode
    condition: Condition
    """GatewayReady. ``Unknown`` where it is not known yet; ``False`` where somebody has to act."""
    route: Object | None = None
    """The HTTPRoute that shall be."""
    hosts: tuple[str, ...] = ()
    """Hostnames under which the Gateway takes requests for us, as far as they are known."""
    accepted: bool = False


def gateway(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> GatewayState:
    """The mode, the HTTPRoute and how it fares."""
    wish = spec.gateway
    if wish is None:
        return GatewayState(
            "standalone",
            _ready("True", "Standalone", "An Envoy in the router's own pods takes the requests."),
        )
    seen = _Seen.of(wish, wish.existing_ref, name, namespace, world)
    return GatewayState(
        "gateway-integration",
        seen.condition(),
        None if seen.no_api else _route(spec, wish, wish.existing_ref, name, namespace),
        seen.hosts(wish),
        seen.accepted(),
    )


def _route(
    spec: SemanticRouterSpec, wish: GatewaySpec, reference: GatewayRef, name: str, namespace: str
) -> Object:
    port, times = spec.service.api.port, wish.timeouts
    rules = [
        *(rule(path, name, port, timeout=times.request, remove=STRIPPED) for path in CHAT),
        rule("/v1/models", name, port, timeout=times.classify, remove=STRIPPED),
        rule("/api/v1/classify", name, port, timeout=times.classify),
        rule("/health", name, port, exact=True, timeout=times.health),
    ]
    return http_route(
        name,
        namespace,
        labels("semantic-router", name, "semantic-router-operator"),
        gateway=reference.name,
        gateway_namespace=reference.namespace,
        section=reference.section_name,
        hostnames=wish.hostnames,
        rules=rules,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A Gateway and our route on it, as they were last seen."""

    what: str
    """``Gateway istio-system/ingress``, for messages."""
    ours: str
    no_api: bool
    blind: str
    """Why Gateways cannot be seen, where they cannot."""
    gateway: Object | None
    listeners: tuple[Listener, ...]
    section: str
    verdicts: tuple[Mapping[str, Mapping[str, Any]], ...]
    """Conditions by type, of each controller that has looked at the route as it is."""

    @classmethod
    def of(
        cls, wish: GatewaySpec, reference: GatewayRef, name: str, namespace: str, world: World
    ) -> _Seen:
        states = (world.state(GATEWAYS), world.state(HTTP_ROUTES))
        found = world.get(GATEWAYS, reference.name, reference.namespace)
        home = world.get(NAMESPACES, namespace)
        route = world.get(HTTP_ROUTES, name, namespace)
        wanted = (reference.name, reference.namespace, reference.section_name)
        return cls(
            what=f"Gateway {reference.namespace}/{reference.name}",
            ours=f"HTTPRoute {namespace}/{name}",
            no_api="absent" in states,
            blind="" if found is not None or states[0] == "synced" else states[0],
            gateway=found,
            listeners=()
            if found is None
            else listeners(
                found,
                namespace,
                None if home is None else texts(section(home, "metadata").get("labels")),
                wish.hostnames,
                reference.section_name,
            ),
            section=reference.section_name,
            verdicts=tuple(_verdicts(route, wanted, namespace)),
        )

    def accepted(self) -> bool:
        return any(
            verdict.get("Accepted", {}).get("status") == "True"
            and verdict.get("ResolvedRefs", {}).get("status") != "False"
            for verdict in self.verdicts
        )

    def hosts(self, wish: GatewaySpec) -> tuple[str, ...]:
        told = {one.hostname for one in self.listeners if one.takes and one.hostname}
        return tuple(wish.hostnames) or tuple(sorted(told))

    def condition(self) -> Condition:
        if self.no_api:
            return _ready(
                "False",
                "ApiMissing",
                "The cluster has no Gateway API (gateway.networking.k8s.io/v1: gateways and "
                "httproutes). Install its CRDs, or take spec.gateway away to run standalone.",
                "Warning",
            )
        if self.blind == "forbidden":
            return self._unknown(
                "Forbidden",
                f"{self.what} cannot be seen: the operator's Role lacks get, list and watch on "
                "gateways.gateway.networking.k8s.io.",
            )
        if self.blind:
            return self._unknown("Unreachable", f"{self.what} cannot be seen yet.")
        if self.gateway is None:
            return _ready(
                "False",
                "GatewayNotFound",
                f"{self.what} not found. Create it, or correct spec.gateway.existingRef; "
                f"{self.ours} waits for it.",
                "Warning",
            )
        return self._refused() or self._unready() or self._taken() or self._waiting()

    def _unknown(self, reason: str, message: str) -> Condition:
        if self.accepted():
            return self._accepted_condition()
        return _ready("Unknown", reason, message)

    def _refused(self) -> Condition | None:
        """What the Gateway's controller has against the route, where no controller takes it."""
        if self.accepted():
            return None
        for verdict in self.verdicts:
            for kind in ("Accepted", "ResolvedRefs"):
                found = verdict.get(kind, {})
                if found.get("status") != "False":
                    continue
                reason = text(found.get("reason"), "Refused")
                said = text(found.get("message"))
                if reason == "NotAllowedByListeners":
                    return self._not_allowed(said)
                known = reason if reason == "RefNotPermitted" else "RouteRejected"
                return _ready(
                    "False",
                    known,
                    f"{self.what} does not take {self.ours}: {kind} is False, {reason}: {said}",
                    "Warning",
                )
        if not self.verdicts and not any(one.takes is not False for one in self.listeners):
            return self._not_allowed("")
        return None

    def _not_allowed(self, said: str) -> Condition:
        why = [f"listener {one.name}: {one.why}" for one in self.listeners if not one.takes]
        if not self.listeners:
            which = f"no listener {self.section}" if self.section else "no listener"
            why = [f"it has {which}"]
        parts = ([said.rstrip(".")] if said else []) + why
        return _ready(
            "False",
            "NotAllowedByListeners",
            f"No listener of {self.what} takes {self.ours}: {'; '.join(parts)}.",
            "Warning",
        )

    def _unready(self) -> Condition | None:
        """What the Gateway's controller says of the Gateway itself."""
        for found in sections(section(self.gateway, "status").get("conditions")):
            if found.get("type") == "Programmed" and found.get("status") == "False":
                return _ready(
                    "False",
                    "GatewayNotProgrammed",
                    f"{self.what} is not in service: {text(found.get('reason'))}: "
                    f"{text(found.get('message'))}",
                    "Warning",
                )
        return None

    def _taken(self) -> Condition | None:
        return self._accepted_condition() if self.accepted() else None

    def _accepted_condition(self) -> Condition:
        return Condition(
            "GatewayReady",
            "True",
            "RouteAccepted",
            f"{self.what} takes {self.ours}.",
            "Normal",
            "HTTPRouteAccepted",
        )

    def _waiting(self) -> Condition:
        unsure = [one.why for one in self.listeners if one.takes is None]
        return _ready(
            "Unknown",
            "RoutePending",
            f"The controller of {self.what} has not said yet whether it takes {self.ours}"
            + (f" ({unsure[0]})." if unsure else "."),
        )


def _ready(
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    event: Literal["", "Normal", "Warning"] = "",
) -> Condition:
    return Condition("GatewayReady", status, reason, message, event)


def _verdicts(
    route: Object | None, wanted: tuple[str, str, str], namespace: str
) -> list[Mapping[str, Mapping[str, Any]]]:
    """The conditions that controllers have given our reference, by type. What was said of an
    earlier generation of the route says nothing of this one."""
    if route is None:
        return []
    generation = whole(section(route, "metadata").get("generation"), 0, 2**63) or 0
    given = []
    for parent in sections(section(route, "status").get("parents")):
        reference = section(parent, "parentRef")
        if reference.get("kind", "Gateway") != "Gateway":
            continue
        if reference.get("group", GATEWAY_API) != GATEWAY_API:
            continue
        of = (
            text(reference.get("name")),
            text(reference.get("namespace"), namespace),
            text(reference.get("sectionName")),
        )
        if of == wanted:
            given.append(
                {
                    text(found.get("type")): found
                    for found in sections(parent.get("conditions"))
                    if (whole(found.get("observedGeneration"), 0, 2**63) or generation)
                    >= generation
                }
            )
    return [conditions for conditions in given if conditions]
