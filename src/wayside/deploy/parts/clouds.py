"""Models that somebody else serves, behind Istio's gateway.

The gateway opens TLS to the provider by its own name and verifies its certificate. The provider's
key is in its Secret, and in no other object: the router sends it along with requests for that
provider's models, after it has taken away what the client brought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wayside.deploy import Object
from wayside.deploy.intent import Intent, SecretKey
from wayside.deploy.parts.istio import NETWORKING, destination_rule, gateway_of, route
from wayside.deploy.parts.meta import dns_name, object_
from wayside.settings.address import Address, parse_address
from wayside.vocab.errors import Problem


@dataclass(frozen=True, slots=True)
class Upstream:
    """One host of a provider, and the models that are served there."""

    slug: str
    """Begins the names of its objects: ``openai``."""
    address: Address
    models: tuple[str, ...]
    authority: SecretKey | None
    """Whom its certificate is verified with; the system's authorities otherwise."""


def upstreams(intent: Intent) -> tuple[Upstream, ...]:
    """The hosts, in the order of their first models. A provider with several has its others named
    after them."""
    found: dict[tuple[str, int], Upstream] = {}
    slugs: set[str] = set()
    for name, model in intent.models.items():
        if model.cloud is None:
            continue
        address = parse_address(model.cloud.url)
        key = address.host, address.port
        if (known := found.get(key)) is not None:
            models = (*known.models, name)
            found[key] = Upstream(known.slug, known.address, models, known.authority)
            continue
        slug = model.cloud.provider
        if slug in slugs:
            named = f"{slug}-{address.host.lower().replace('.', '-')}"
            short = len(named) <= 50 and named not in slugs
            slug = named if short else f"{slug}-{dns_name(address.host)}"
        slugs.add(slug)
        found[key] = Upstream(slug, address, (name,), model.cloud.ca)
    return tuple(found.values())


def problems(intent: Intent) -> list[Problem]:
    """What of the clouds cannot be done from behind a gateway."""
    found: list[Problem] = []
    authorities: dict[str, SecretKey | None] = {}
    for name, model in intent.models.items():
        cloud, at = model.cloud, f"models.{name}.cloud"
        if cloud is None:
            continue
        try:
            address = parse_address(cloud.url)
        except ValueError as error:
            found.append(Problem(str(error), f"{at}.url", "write https://host/v1"))
            continue
        if address.scheme != "https":
            what = "a key would go over the network in clear text"
            found.append(Problem(what, f"{at}.url", "write https://"))
        if address.is_ip:
            what = "a certificate is verified by name, and this is an address"
            found.append(Problem(what, f"{at}.url", "write the provider's name"))
        if cloud.ca is not None and cloud.ca.key not in ("ca.crt", "cacert"):
            what = "Istio reads certificates from a Secret's ca.crt or cacert"
            found.append(Problem(what, f"{at}.ca.key", "call the key ca.crt"))
        if authorities.setdefault(address.host, cloud.ca) != cloud.ca:
            what = f"another model of {address.host} is verified with other certificates"
            found.append(Problem(what, f"{at}.ca", "write the same for all of them"))
    return found


def service(intent: Intent, upstream: Upstream) -> Object:
    """A name inside the cluster, for an HTTPRoute to point to."""
    port = {
        "name": "https",
        "port": upstream.address.port,
        "targetPort": upstream.address.port,
        "protocol": "TCP",
        "appProtocol": "https",
    }
    spec = {"type": "ExternalName", "externalName": upstream.address.host, "ports": [port]}
    return object_(
        intent,
        "v1",
        "Service",
        f"{upstream.slug}-external",
        namespace=gateway_of(intent)[1],
        component=upstream.slug,
        spec=spec,
    )


def service_entry(intent: Intent, upstream: Upstream) -> Object:
    """The host, made known to the mesh."""
    spec = {
        "hosts": [upstream.address.host],
        "ports": [{"name": "https", "number": upstream.address.port, "protocol": "HTTPS"}],
        "resolution": "DNS",
        "location": "MESH_EXTERNAL",
    }
    return object_(
        intent,
        NETWORKING,
        "ServiceEntry",
        f"{upstream.slug}-api",
        namespace=gateway_of(intent)[1],
        component=upstream.slug,
        spec=spec,
    )


def tls_rule(intent: Intent, upstream: Upstream) -> Object:
    """TLS to it, by its name: a certificate for another one is refused."""
    host = upstream.address.host
    tls: Object = {"mode": "SIMPLE", "sni": host, "subjectAltNames": [host]}
    if upstream.authority is not None:
        tls["credentialName"] = upstream.authority.secret
    return destination_rule(intent, f"{upstream.slug}-tls", host, tls, component=upstream.slug)


def cloud_route(intent: Intent, upstream: Upstream, model: str, name: str) -> Object:
    """The HTTPRoute of one of its models. It has no key: whoever may read routes would have it."""
    return route(
        intent,
        name,
        model,
        {"name": f"{upstream.slug}-external", "port": upstream.address.port},
        namespace=gateway_of(intent)[1],
        host=upstream.address.host,
        component=upstream.slug,
    )


def may_read(intent: Intent, upstream: Upstream, namespace: str) -> tuple[Object, ...]:
    """The router's right to read the keys of this provider's models where they lie: to get these
    Secrets by name, and to do nothing else."""
    names = sorted(
        {
            cloud.key.secret
            for cloud in (intent.models[name].cloud for name in upstream.models)
            if cloud is not None and cloud.key is not None
        }
    )
    if not names:
        return ()
    rbac, called = "rbac.authorization.k8s.io", f"{intent.name}-reads-{upstream.slug}-key"
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]}
    reference = {"apiGroup": rbac, "kind": "Role", "name": called}
    subject = {"kind": "ServiceAccount", "name": intent.name, "namespace": intent.namespace}

    def made(kind: str, **fields: Any) -> Object:
        return object_(
            intent,
            f"{rbac}/v1",
            kind,
            called,
            namespace=namespace,
            component=upstream.slug,
            **fields,
        )

    return (
        made("Role", rules=[rule]),
        made("RoleBinding", roleRef=reference, subjects=[subject]),
    )
