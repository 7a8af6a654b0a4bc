"""Where the models of ``spec.vllmEndpoints`` are, as far as the cluster tells.

A level-based look: nothing is remembered here but what ``status.backends`` says was found last,
and that counts only where the cluster cannot be asked. So a moment's silence of the API server
changes no route, and what was deleted is gone. Every object that was missed has been looked at
through the :class:`~wayside.resources.World`, which asks again when it appears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wayside.resources import NOW, World
from wayside.resources.semantic_router import backends_kserve
from wayside.resources.semantic_router.backend_spec import BackendSpec, VllmEndpoint
from wayside.resources.semantic_router.backends_services import (
    Place,
    Reason,
    Unresolved,
    at_best_port,
    by_name,
    sure,
    usable,
)
from wayside.resources.semantic_router.secrets import SecretUse
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.settings.address import parse_address
from wayside.settings.providers import PROVIDERS
from wayside.vocab.objects import section, text
from wayside.vocab.resource import (
    ENDPOINT_SLICES,
    GRANTS,
    KSERVE_LLMS,
    KSERVE_SERVICES,
    SERVICES,
    Resource,
)

READS: tuple[Resource, ...] = (
    SERVICES,
    ENDPOINT_SLICES,
    GRANTS,
    KSERVE_SERVICES,
    KSERVE_LLMS,
    backends_kserve.KSERVE_LLMS_NEXT,
)
"""Kinds that are looked at, for the Keeper's ``reads``."""
MOST_SERVICES = 64
"""Services that one set of labels may find; further ones are left out, and said to be."""
MOST_TOLD = 256
"""Entries of ``status.backends``."""
SERVICE_CA = SecretUse("openshift-service-ca.crt", "service-ca.crt", "ConfigMap")
"""OpenShift's own CA, which is in a ConfigMap of every namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One server (or set of servers behind one name) of a model."""

    name: str
    """Of the entry in ``vllmEndpoints``; ``entry/service`` where its labels find several."""
    model: str
    type: str
    url: str = ""
    """``http(s)://host:port``, with a path where the API is not under ``/v1``; empty where
    nothing was found."""
    weight: int = 1
    family: str = ""
    loras: tuple[tuple[str, str], ...] = ()
    """Names and descriptions."""
    ready: bool = False
    reason: Reason = "Resolved"
    message: str = ""
    warning: bool = False
    """Whether the message deserves a Warning though a URL was found."""
    ca: SecretUse | None = None
    """Certificates that verify its TLS; the system's where absent."""
    key: SecretUse | None = None
    """The key that it wants."""
    server_name: str = ""
    provider: Mapping[str, str] | None = None
    """What ``models.<name>`` of our settings says of a model that is served elsewhere: provider,
    upstream_name, location, project, api_version."""

    def told(self) -> dict[str, Any]:
        """Its entry in ``status.backends``."""
        return {
            "name": self.name,
            "model": self.model,
            "type": self.type,
            "url": self.url,
            "ready": self.ready,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": NOW,
        }


def resolve(
    spec: SemanticRouterSpec,
    namespace: str,
    world: World,
    last: Sequence[Mapping[str, Any]] = (),
) -> tuple[Backend, ...]:
    """Every endpoint of ``spec``, in its order. ``last`` is ``status.backends`` as it stands: what
    it says is kept, with reason ``Unknown``, where the cluster cannot be asked."""
    known = {text(entry.get("name")): text(entry.get("url")) for entry in last}
    anywhere = spec.cross_namespace == "Allow"
    found: list[Backend] = []
    for endpoint in spec.vllm_endpoints:
        found += _endpoint(endpoint, namespace, world, known, anywhere=anywhere)
    return tuple(_agreed(found))


def status(backends: Iterable[Backend]) -> list[dict[str, Any]]:
    """``status.backends``."""
    return [backend.told() for backend in backends][:MOST_TOLD]


def _endpoint(
    endpoint: VllmEndpoint,
    namespace: str,
    world: World,
    known: Mapping[str, str],
    *,
    anywhere: bool,
) -> list[Backend]:
    basis = _basis(endpoint)
    try:
        places = _places(endpoint.backend, namespace, world, anywhere=anywhere)
    except Unresolved as why:
        held = _held(basis, known) if why.transient else []
        return held or [replace(basis, reason=why.reason, message=why.message)]
    several = len(places) > 1
    made: list[Backend] = []
    for service, place in places:
        name = f"{endpoint.name}/{service}" if several else endpoint.name
        ca = basis.ca
        if ca is None and place.service_ca and place.url.startswith("https:"):
            ca = SERVICE_CA
        message = place.message
        if several:
            message = (
                f"{len(places)} Services have these labels and share the model's requests"
                + (f"; {message}" if message else "")
            )
        made.append(
            replace(
                basis,
                name=name,
                url=place.url,
                ready=place.ready,
                reason=place.reason,
                message=message,
                warning=several,
                ca=ca,
            )
        )
    return made


def _basis(endpoint: VllmEndpoint) -> Backend:
    """What the spec says, whether anything is found or not."""
    backend = endpoint.backend
    provider: dict[str, str] | None = None
    if backend.external is not None and backend.type == "external":
        said = backend.external
        names = ("provider", "upstream_name", "location", "project", "api_version")
        provider = {name: str(value) for name in names if (value := getattr(said, name))}
    return Backend(
        name=endpoint.name,
        model=endpoint.model,
        type=backend.type,
        weight=endpoint.weight or 1,
        family=endpoint.reasoning_family,
        loras=tuple((lora.name, lora.description) for lora in endpoint.loras),
        ca=_ca(backend),
        key=_key(backend),
        server_name=backend.server_name,
        provider=provider,
    )


def _ca(backend: BackendSpec) -> SecretUse | None:
    if backend.ca_secret_ref is not None:
        return SecretUse(backend.ca_secret_ref.name, backend.ca_secret_ref.key)
    if backend.ca_config_map_ref is not None:
        return SecretUse(
            backend.ca_config_map_ref.name, backend.ca_config_map_ref.key, "ConfigMap"
        )
    return None


def _key(backend: BackendSpec) -> SecretUse | None:
    ref = backend.api_key_secret_ref
    return None if ref is None else SecretUse(ref.name, ref.key)


def _held(basis: Backend, known: Mapping[str, str]) -> list[Backend]:
    """What was found last, for as long as nobody can tell."""
    names = [n for n in known if n == basis.name or n.startswith(f"{basis.name}/")]
    told = "the cluster cannot be asked; what was found last is kept"
    return [
        replace(basis, name=name, url=known[name], reason="Unknown", message=told)
        for name in names
        if usable(known[name]) is not None
    ]


def _places(
    backend: BackendSpec, namespace: str, world: World, *, anywhere: bool
) -> list[tuple[str, Place]]:
    """Places with the names of their Services. Raises :class:`Unresolved`."""
    if backend.type == "external":
        return [("", _external(backend))]
    if backend.type == "llamastack":
        return _labelled(backend, namespace, world)
    if backend.type == "kserve":
        place = backends_kserve.resolve(backend.inference_service_name, namespace, world)
        if place.wants_token and backend.api_key_secret_ref is None:
            told = "it wants a token; name the Secret that holds one in backend.apiKeySecretRef"
            place = replace(place, message="; ".join(p for p in (place.message, told) if p))
        return [("", place)]
    service = backend.service
    if service is None:
        raise Unresolved("Invalid", "service configuration is required for backend type service")
    where = service.namespace or namespace
    found = by_name(
        service.name, where, service.port, namespace, world, backend.scheme, anywhere=anywhere
    )
    return [("", found)]


def _external(backend: BackendSpec) -> Place:
    """Somebody else's API: nobody in the cluster tells how it is."""
    said = backend.external
    if said is None:
        raise Unresolved("Invalid", "external configuration is required for backend type external")
    url = said.url
    if not url and said.provider:
        values = {"location": said.location, "project": said.project}
        url = PROVIDERS[said.provider].url
        for name, value in values.items():
            if f"{{{name}}}" in url + PROVIDERS[said.provider].path and not value:
                raise Unresolved("Invalid", f"external.{name} is required for {said.provider}")
            url = url.replace(f"{{{name}}}", value)
    if usable(url) is None:
        told = "external.url is required: every customer has an address of their own"
        raise Unresolved("Invalid", told if not url else f"external.url: {url[:200]!r} is no URL")
    return Place(url, ready=True)


def _labelled(backend: BackendSpec, namespace: str, world: World) -> list[tuple[str, Place]]:
    """All Services of the namespace with these labels, by name: which comes first depends on
    nothing else, and none of them is left out."""
    labels = backend.discovery_labels
    if not labels:
        raise Unresolved("Invalid", "discoveryLabels are required for backend type llamastack")
    shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    services = world.all(SERVICES, namespace, labels)
    if not services:
        sure(world, SERVICES, f"with {shown}")
        raise Unresolved(
            "ServiceNotFound",
            f"no services found matching labels {shown} in namespace {namespace}",
        )
    found: list[tuple[str, Place]] = []
    problems: list[Unresolved] = []
    for service in services[:MOST_SERVICES]:
        name = text(section(service, "metadata").get("name"))
        try:
            found.append((name, at_best_port(service, world, "", backend.scheme)))
        except Unresolved as why:
            problems.append(why)
    if not found:
        raise problems[0]
    left = [str(why.message) for why in problems]
    if len(services) > MOST_SERVICES:
        left.append(f"{len(services)} Services have {shown}; the first {MOST_SERVICES} are taken")
    if left:
        name, place = found[0]
        told = "; ".join(p for p in (place.message, *left) if p)
        found[0] = (name, replace(place, message=told))
    return found


def _agreed(found: list[Backend]) -> list[Backend]:
    """Endpoints of one model that differ in what a model has one of: the first is right."""
    first: dict[str, Backend] = {}
    out: list[Backend] = []
    for backend in found:
        if backend.url:
            leader = first.setdefault(backend.model, backend)
            if difference := _difference(leader, backend):
                message = (
                    f"its {difference} differs from that of {leader.name}, and a model has one; "
                    "make it a model of its own"
                )
                backend = replace(backend, url="", ready=False, reason="Conflict", message=message)
        out.append(backend)
    return out


def _difference(one: Backend, other: Backend) -> str:
    """What two servers of a model have to have in common, and do not."""
    if one.provider != other.provider:
        return "provider"
    if one.key != other.key:
        return "API key"
    paths = [parse_address(backend.url).base_path or "/v1" for backend in (one, other)]
    if paths[0] != paths[1]:
        return "path"
    if one.url.startswith("https:") and other.url.startswith("https:"):
        if one.ca != other.ca:
            return "CA"
        if one.server_name != other.server_name:
            return "serverName"
    return ""
