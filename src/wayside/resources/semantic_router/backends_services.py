"""A Service as a place to send prompts: its URL, whether anything is behind it, who may use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from wayside.resources import Object, World
from wayside.settings.address import Address, parse_address
from wayside.vocab.objects import port, section, sections, text, texts
from wayside.vocab.resource import ENDPOINT_SLICES, GRANTS, SERVICES, Resource

CROSS_NAMESPACE = "CROSS_NAMESPACE_BACKENDS"
"""The program's setting that lets ``crossNamespace: Allow`` count, when it is ``allow``."""
CLUSTER_DOMAIN = "CLUSTER_DOMAIN"
"""The program's setting that names the cluster's DNS domain; ``cluster.local`` when empty."""
OF_SERVICE = "kubernetes.io/service-name"
_SERVING_CERT = "service.beta.openshift.io/serving-cert-secret-name"
Scheme = Literal["http", "https"] | None
_TLS_PORTS = (443, 8443)

Reason = Literal[
    "Resolved",
    "NotReady",
    "NoReadyEndpoints",
    "ServiceNotFound",
    "InferenceServiceNotFound",
    "PortNotFound",
    "ApiMissing",
    "RefNotPermitted",
    "UnusableAddress",
    "Invalid",
    "Conflict",
    "Unknown",
]
"""Why a backend is as it is. ``Unknown``: the cluster could not be asked, so nothing has changed
as far as anybody knows. ``Conflict``: another endpoint of its model says otherwise."""


class Unresolved(Exception):
    """There is no URL, and why. ``transient``: it could not be found out just now."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message

    @property
    def transient(self) -> bool:
        return self.reason == "Unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """Where prompts go. ``url`` has a scheme, a host and a port, and a path where the server's API
    is not under ``/v1``."""

    url: str
    ready: bool
    reason: Reason = "Resolved"
    message: str = ""
    service_ca: bool = False
    """Whether OpenShift made the certificate of the Service."""
    wants_token: bool = False


def look(world: World, resource: Resource, name: str, namespace: str) -> Object | None:
    """The object, or ``None`` where it is sure that there is none. Raises :class:`Unresolved` of
    reason ``Unknown`` where nobody can tell."""
    found = world.get(resource, name, namespace)
    if found is None:
        sure(world, resource, f"{namespace}/{name}")
    return found


def sure(world: World, resource: Resource, what: str) -> None:
    """Raise :class:`Unresolved` unless what was not seen is not there."""
    state = world.state(resource)
    if state == "forbidden":
        told = "the operator's Role does not let it look"
    elif state in ("starting", "unreachable"):
        told = "the API server has not answered yet"
    else:
        return
    raise Unresolved("Unknown", f"{resource.plural} {what}: {told}")


def domain(world: World) -> str:
    return world.setting(CLUSTER_DOMAIN) or "cluster.local"


def host_of(name: str, namespace: str, world: World) -> str:
    return f"{name}.{namespace}.svc.{domain(world)}"


def local_name(host: str, world: World) -> tuple[str, str] | None:
    """Name and namespace of the Service that a host name means; ``None`` for one outside."""
    for ending in (f".svc.{domain(world)}", ".svc"):
        if host.endswith(ending):
            parts = host[: -len(ending)].split(".")
            return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None
    return None


def usable(url: Any) -> Address | None:
    """An address that somebody else wrote into an object. What would mean something else in a
    configuration (``${NAME}``) is none."""
    if not isinstance(url, str) or len(url) > 2048 or "$" in url or "://" not in url:
        return None
    try:
        return parse_address(url)
    except ValueError:
        return None


# --- ports -------------------------------------------------------------------------------------


def ports_of(service: Object) -> list[Mapping[str, Any]]:
    """Those that carry HTTP, as far as one can tell: TCP."""
    listed = sections(section(service, "spec").get("ports"))
    return [p for p in listed if text(p.get("protocol"), "TCP") == "TCP" and port(p.get("port"))]


def is_https(entry: Mapping[str, Any], scheme: Scheme = None) -> bool:
    """What was said of it; else what the port says it speaks; else what its number usually
    means."""
    if scheme is not None:
        return scheme == "https"
    for said in (text(entry.get("appProtocol")).lower(), text(entry.get("name")).lower()):
        if re.fullmatch(r"(kubernetes\.io/)?https?2?(-.*)?|h2c", said):
            return "https" in said
    return entry.get("port") in _TLS_PORTS


def best_port(service: Object) -> Mapping[str, Any] | None:
    """The port of a Service that nobody chose one of: https before http (where both are, the plain
    one is behind a proxy that wants https), then the first."""
    listed = ports_of(service)
    named = [p for p in listed if re.match(r"https?($|-)", text(p.get("name")))]
    return next((p for p in [*named, *listed] if is_https(p)), next(iter([*named, *listed]), None))


def headless(service: Object) -> bool:
    return section(service, "spec").get("clusterIP") == "None"


def number_of(service: Object, entry: Mapping[str, Any], world: World) -> int | None:
    """The number to connect to: the Service's own, but for headless ones, whose name leads to the
    pods themselves, the pods'. ``None`` while no pod says what a named port is."""
    number = port(entry.get("port"))
    if not headless(service):
        return number
    target = entry.get("targetPort", number)
    if isinstance(target, str) and not target.isdecimal():
        for slice_ in _slices(service, world):
            for told in sections(slice_.get("ports")):
                if text(told.get("name")) == text(entry.get("name")) and port(told.get("port")):
                    return port(told.get("port"))
        return None
    return port(int(target)) if isinstance(target, str) else port(target)


def _slices(service: Object, world: World) -> list[Object]:
    meta = section(service, "metadata")
    wanted = {OF_SERVICE: text(meta.get("name"))}
    return list(world.all(ENDPOINT_SLICES, text(meta.get("namespace")), wanted))


# --- whether anything is behind it ---------------------------------------------------------------


def place(
    service: Object,
    entry: Mapping[str, Any],
    world: World,
    path: str = "",
    scheme: Scheme = None,
) -> Place:
    """The URL of one port of a Service, and whether a pod is ready behind it."""
    meta = section(service, "metadata")
    name, namespace = text(meta.get("name")), text(meta.get("namespace"))
    number = number_of(service, entry, world)
    if number is None:
        raise Unresolved(
            "PortNotFound",
            f"Service {namespace}/{name} is headless, and no pod of it tells yet which port "
            f"{entry.get('targetPort')!r} is",
        )
    spoken = "https" if is_https(entry, scheme) else "http"
    url = f"{spoken}://{host_of(name, namespace, world)}:{number}{path}"
    if usable(url) is None:
        raise Unresolved("UnusableAddress", f"{url[:200]!r} is no address")
    found = Place(url, ready=True, service_ca=serving_cert(service))
    return with_readiness(found, service, world)


def serving_cert(service: Object) -> bool:
    """Whether OpenShift makes the certificate of what is behind the Service."""
    return _SERVING_CERT in texts(section(service, "metadata").get("annotations"))


def at_best_port(service: Object, world: World, path: str, scheme: Scheme = None) -> Place:
    """A Service of which nobody chose a port. Raises :class:`Unresolved` if it has none."""
    entry = best_port(service)
    if entry is None:
        name = text(section(service, "metadata").get("name"))
        raise Unresolved("PortNotFound", f"service {name} has no ports defined")
    return place(service, entry, world, path, scheme)


def with_readiness(found: Place, service: Object, world: World) -> Place:
    """``found``, not ready where no endpoint of the Service is."""
    meta = section(service, "metadata")
    name = f"{text(meta.get('namespace'))}/{text(meta.get('name'))}"
    slices = _slices(service, world)
    ready = any(
        section(endpoint, "conditions").get("ready") is not False
        for slice_ in slices
        for endpoint in sections(slice_.get("endpoints"))
    )
    if ready:
        return found
    if not slices and world.state(ENDPOINT_SLICES) != "synced":
        message = f"whether pods of Service {name} are ready cannot be seen"
        return replace(found, ready=False, reason="Unknown", message=message)
    message = f"no pod of Service {name} is ready"
    return replace(found, ready=False, reason="NoReadyEndpoints", message=message)


# --- a Service by name ---------------------------------------------------------------------------


def by_name(
    name: str,
    where: str,
    number: int,
    namespace: str,
    world: World,
    scheme: Scheme = None,
    *,
    anywhere: bool = False,
) -> Place:
    """``backend.service``: any Service, its port as written.

    One of another namespace must be allowed there (``anywhere``: :func:`permitted`). A Service of
    type ExternalName is its external name: a server's certificate and its virtual hosts go by
    that.
    """
    if where != namespace:
        permitted(name, where, namespace, world, anywhere=anywhere)
    service = look(world, SERVICES, name, where)
    if service is None:
        raise Unresolved("ServiceNotFound", f"there is no Service {where}/{name}")
    listed = ports_of(service)
    if section(service, "spec").get("type") == "ExternalName":
        host = text(section(service, "spec").get("externalName")).rstrip(".")
        inside = local_name(host, world)
        if inside is not None and inside[1] != namespace:
            # else its name would be a way around the grant
            permitted(*inside, namespace, world, anywhere=anywhere)
        said = next((p for p in listed if p.get("port") == number), {"port": number})
        return _external(f"{where}/{name}", host, number, https=is_https(said, scheme))
    entry = next((p for p in listed if p.get("port") == number), None)
    if entry is None and headless(service):
        entry = next((p for p in listed if number_of(service, p, world) == number), None)
    if entry is None:
        has = ", ".join(str(p["port"]) for p in listed) or "none"
        raise Unresolved(
            "PortNotFound", f"Service {where}/{name} has no port {number}; it has {has}"
        )
    return place(service, entry, world, "", scheme)


def _external(service: str, host: str, number: int, *, https: bool) -> Place:
    """Outside the cluster nobody tells whether a server is ready: it is taken to be."""
    url = f"{'https' if https else 'http'}://{host}:{number}"
    if usable(url) is None:
        told = f"Service {service} stands for {host[:200]!r}, which is no host name"
        raise Unresolved("UnusableAddress", told)
    return Place(url, ready=True)


def permitted(
    name: str, where: str, namespace: str, world: World, *, anywhere: bool = False
) -> None:
    """Raise :class:`Unresolved` unless a ReferenceGrant in ``where`` lets SemanticRouters of
    ``namespace`` use the Service.

    ``anywhere`` (``crossNamespace: Allow``) does without, if whoever runs the operator lets
    routers say so: nobody can consent on behalf of a namespace that is not theirs.
    """
    if anywhere and world.setting(CROSS_NAMESPACE) == "allow":
        return
    if world.state(GRANTS) == "absent":
        raise Unresolved(
            "ApiMissing",
            f"Service {where}/{name} is in another namespace, and nobody can allow that: the "
            "cluster has no referencegrants.gateway.networking.k8s.io; install the Gateway API"
            + (_UNHEARD if anywhere else ""),
        )
    grants = world.all(GRANTS, where)
    if any(_grants(grant, name, namespace) for grant in grants):
        return
    sure(world, GRANTS, f"in {where}")
    raise Unresolved(
        "RefNotPermitted",
        f"Service {where}/{name} is in another namespace: a ReferenceGrant in {where} from "
        f"{{group: vllm.ai, kind: SemanticRouter, namespace: {namespace}}} to "
        f"{{group: '', kind: Service, name: {name}}} allows it" + (_UNHEARD if anywhere else ""),
    )


_UNHEARD = (
    "; crossNamespace: Allow counts only where the operator runs with "
    f"{CROSS_NAMESPACE}=allow in its environment"
)


def _grants(grant: Object, name: str, namespace: str) -> bool:
    spec = section(grant, "spec")
    comes = any(
        texts(entry) | {"group": text(entry.get("group"))}
        == {"group": "vllm.ai", "kind": "SemanticRouter", "namespace": namespace}
        for entry in sections(spec.get("from"))
    )
    return comes and any(
        text(entry.get("group")) == ""
        and entry.get("kind") == "Service"
        and (not text(entry.get("name")) or entry.get("name") == name)
        for entry in sections(spec.get("to"))
    )
