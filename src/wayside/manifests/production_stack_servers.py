"""What serves a model, and what keeps answers: from a reference to addresses.

A Service is followed by the gateway itself, so no addresses are written down for it, but where
pods play different parts (prefill and decode): who plays which only the controller sees, since it
depends on the labels of nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wayside.manifests.production_stack import ENVOY_BACKENDS, NODES, Cluster, Object
from wayside.manifests.production_stack_services import BackendRef, StoreRef
from wayside.settings.address import parse_address
from wayside.vocab.objects import port as port_of
from wayside.vocab.objects import section, sections, text, texts
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES
from wayside.vocab.roles import ROLE_LABEL, decodes, prefills

OF_SERVICE = "kubernetes.io/service-name"
"""The label of an EndpointSlice that names its Service."""
_MOST = 1024
"""Addresses of one model."""


class Trouble(NamedTuple):
    """Why something that is referred to cannot be used: a reason for programs, and for people."""

    reason: str
    message: str


class Port(NamedTuple):
    """A port of a Service."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What serves a model. ``service`` and ``port`` where it is a Service whose endpoints can be
    followed; ``urls`` are where requests can be sent in any case."""

    name: str
    namespace: str
    service: str = ""
    port: Port | None = None
    urls: tuple[str, ...] = ()
    weight: int = 1
    ready: int = 0
    """Endpoints that take requests now."""


class Server(NamedTuple):
    """One pod behind a Service. ``fits`` says whether it is where a topology hint wants it."""

    url: str
    pod: str
    role: str
    fits: bool


# --- backends ----------------------------------------------------------------------------------


def backend(ref: BackendRef, namespace: str, cluster: Cluster) -> Backend | Trouble:
    """What ``spec.backendRef`` names."""
    if ref.kind == "Backend":
        return _of_envoy(ref, namespace, cluster)
    where = f"spec.backendRef: Service {namespace}/{ref.name}"
    found = cluster.get(SERVICES, ref.name, namespace)
    if found is None:
        return Trouble("BackendNotFound", f"{where} is not there; create it, or name another one")
    spec = section(found, "spec")
    external = text(spec.get("externalName")) if spec.get("type") == "ExternalName" else ""
    if external:
        url = _url("http", external, ref.port or 80)
        return Backend(name=ref.name, namespace=namespace, urls=(url,), weight=ref.weight, ready=1)
    ports = [
        Port(text(entry.get("name")), number)
        for entry in sections(spec.get("ports"))
        if (number := port_of(entry.get("port"))) is not None
    ]
    port = _port(ports, ref.port, ("http", "https"), 8000)
    if port is None:
        has = ", ".join(f"{p.name or '-'}:{p.number}" for p in ports) or "none"
        asked = f"no port {ref.port}" if ref.port else "no port called http, nor 8000"
        return Trouble("NoPort", f"{where} has {asked} (it has {has}); set backendRef.port")
    url = f"http://{ref.name}.{namespace}.svc:{port.number}"
    ready = sum(1 for _ in _ready(ref.name, namespace, cluster))
    return Backend(
        name=ref.name,
        namespace=namespace,
        service=ref.name,
        port=port,
        urls=(url,),
        weight=ref.weight,
        ready=ready,
    )


def _port(
    ports: Sequence[Port], wanted: int | None, names: Sequence[str], usual: int
) -> Port | None:
    """The port of that number; without one, the only one, one of those names, or the usual."""
    if wanted is not None:
        return next((p for p in ports if p.number == wanted), None)
    if len(ports) == 1:
        return ports[0]
    return next((p for p in ports if p.name in names or p.number == usual), None)


def _of_envoy(ref: BackendRef, namespace: str, cluster: Cluster) -> Backend | Trouble:
    """A Backend of Envoy Gateway: host names and addresses, written down."""
    where = f"spec.backendRef: Backend {namespace}/{ref.name}"
    state = cluster.state(ENVOY_BACKENDS)
    if state in ("absent", "forbidden"):
        why = "is not installed" if state == "absent" else "may not be read by the controller"
        kind = "the kind Backend of gateway.envoyproxy.io"
        return Trouble("BackendKindMissing", f"{where}: {kind} {why}; name a Service instead")
    found = cluster.get(ENVOY_BACKENDS, ref.name, namespace)
    if found is None:
        return Trouble("BackendNotFound", f"{where} is not there; create it, or name another one")
    scheme = "https" if section(found, "spec", "tls") else "http"
    urls = []
    for entry in sections(section(found, "spec").get("endpoints"))[:_MOST]:
        host = entry.get("fqdn") or entry.get("ip")
        address = text(section(host).get("hostname")) or text(section(host).get("address"))
        number = port_of(section(host).get("port")) or ref.port
        if address and number and (ref.port is None or number == ref.port):
            urls.append(_url(scheme, address, number))
    if not urls:
        said = f" on port {ref.port}" if ref.port else ""
        return Trouble("NoPort", f"{where} has no endpoint{said} with an fqdn or ip")
    return Backend(
        name=ref.name, namespace=namespace, urls=tuple(urls), weight=ref.weight, ready=len(urls)
    )


def _url(scheme: str, host: str, number: int) -> str:
    return f"{scheme}://[{host}]:{number}" if ":" in host else f"{scheme}://{host}:{number}"


# --- the pods behind a Service -----------------------------------------------------------------


def servers(of: Backend, wanted: Mapping[str, str], cluster: Cluster) -> list[Server]:
    """The ready pods behind a Service, each with its part, by their addresses.

    A pod fits ``wanted`` where its own labels, the nodes that it asks for, or the node that it is
    on have all these labels.
    """
    found: dict[str, Server] = {}
    for url, pod in _ready(of.service, of.namespace, cluster, of.port.name if of.port else ""):
        labels, fits = _labels(pod, of.namespace, wanted, cluster) if pod else ({}, not wanted)
        role = labels.get(ROLE_LABEL, "")
        found.setdefault(url, Server(url, pod, role, fits))
    return [found[url] for url in sorted(found)][:_MOST]


def parts(several: Sequence[Server]) -> tuple[list[Server], list[Server]]:
    """Those that read prompts for others, and those that write answers."""
    said = [(s, {ROLE_LABEL: s.role}) for s in several]
    return [s for s, its in said if prefills(its)], [s for s, its in said if decodes(its)]


def _labels(
    pod: str, namespace: str, wanted: Mapping[str, str], cluster: Cluster
) -> tuple[dict[str, str], bool]:
    found = cluster.get(PODS, pod, namespace)
    own = texts(section(found, "metadata", "labels"))
    asked = texts(section(found, "spec", "nodeSelector"))
    if wanted.items() <= {**asked, **own}.items():
        return own, True
    node = text(section(found, "spec").get("nodeName"))
    its: Mapping[str, str] = {}
    if node and cluster.state(NODES) not in ("absent", "forbidden"):
        its = texts(section(cluster.get(NODES, node), "metadata", "labels"))
    return own, wanted.items() <= {**its, **asked, **own}.items()


def _ready(
    service: str, namespace: str, cluster: Cluster, port: str | None = None
) -> Iterator[tuple[str, str]]:
    """URL and pod of each ready endpoint, of the first port where none is named."""
    slices = cluster.all(ENDPOINT_SLICES, namespace, {OF_SERVICE: service})
    families = {text(found.get("addressType"), "IPv4") for found in slices if _any_ready(found)}
    family = "IPv4" if "IPv4" in families else next(iter(sorted(families)), "")
    for found in slices:
        if text(found.get("addressType"), "IPv4") != family:
            continue
        ports = [
            number
            for entry in sections(found.get("ports"))
            if (number := port_of(entry.get("port"))) is not None
            and (port is None or text(entry.get("name")) == port)
        ]
        for entry in sections(found.get("endpoints")) if ports else []:
            addresses = entry.get("addresses")
            address = text(addresses[0]) if isinstance(addresses, list) and addresses else ""
            if address and section(entry, "conditions").get("ready") is not False:
                target = section(entry, "targetRef")
                pod = text(target.get("name")) if target.get("kind") == "Pod" else ""
                yield _url("http", address, ports[0]), pod


def _any_ready(found: Object) -> bool:
    return any(
        section(e, "conditions").get("ready") is not False
        for e in sections(found.get("endpoints"))
    )


# --- stores ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """A Redis or Valkey server, and the Secret with its password where it has one. ``name`` is
    that of the store in the router's settings: one for each InferenceService."""

    name: str
    settings: Mapping[str, Any]
    secret: tuple[str, str] | None = None
    """Name and key."""


SECRETS_AT = "/etc/wayside/secrets"
"""Where a gateway's pod finds the passwords of its stores."""


def store(ref: StoreRef, service: str, namespace: str, cluster: Cluster) -> Store | Trouble:
    """What ``semanticCache.storeRef`` of an InferenceService names."""
    name = f"redis-{service}"
    where = f"spec.nlpFilters.semanticCache.storeRef: Service {namespace}/{ref.name}"
    found = cluster.get(SERVICES, ref.name, namespace)
    if found is None:
        why = "is not there; create it, or leave storeRef out to keep answers in memory"
        return Trouble("StoreNotFound", f"{where} {why}")
    ports = [
        Port(text(entry.get("name")), number)
        for entry in sections(section(found, "spec").get("ports"))
        if (number := port_of(entry.get("port"))) is not None
    ]
    port = _port(ports, ref.port, ("redis", "valkey", "tcp-redis"), 6379)
    if port is None:
        return Trouble("NoPort", f"{where} has no port {ref.port or 6379}; set storeRef.port")
    url = f"redis://{ref.name}.{namespace}.svc:{port.number}/{ref.database}"
    settings: dict[str, Any] = {"url": url}
    secret = ref.password_secret_ref
    if secret is None:
        return Store(name, settings)
    settings["password"] = {"file": f"{SECRETS_AT}/{name}/{secret.key}"}
    return Store(name, settings, (secret.name, secret.key))


def is_address(url: str) -> str:
    """What is wrong with a URL of a server; empty where nothing is."""
    if url.partition("://")[0].lower() not in ("http", "https"):
        return "a URL begins with http:// or https://"
    try:
        parse_address(url)
    except ValueError as error:
        return str(error)
    return ""
