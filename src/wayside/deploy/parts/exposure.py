"""How clients outside of the cluster reach the router: Route, Ingress, HTTPRoute."""

from __future__ import annotations

from typing import Any

from wayside.deploy import Object
from wayside.deploy.intent import Exposure, Intent
from wayside.deploy.parts.meta import labels, object_
from wayside.deploy.parts.router import SERVED
from wayside.manifests.network import http_route, openshift_route, rule
from wayside.vocab.errors import Problem


def exposed(
    intent: Intent, *, service: str = "", port: str = "http", name: str = ""
) -> tuple[Object, ...]:
    """What ``exposure`` asks for: one object, or none. ``service`` and ``port`` (of
    :data:`SERVED`) are what clients shall reach."""
    kind = intent.exposure.kind
    called, to = name or intent.name, service or intent.name
    if kind == "route":
        return (route(intent, called, to, port),)
    if kind == "ingress":
        return (ingress(intent, called, to, port),)
    if kind == "gateway":
        return (gateway_route(intent, called, to, port),)
    return ()


def problems(
    intent: Intent, kinds: tuple[str, ...] = ("none", "ingress", "gateway")
) -> list[Problem]:
    """What of ``exposure`` could not be had, where a target offers ``kinds``."""
    wish, found = intent.exposure, []
    if wish.kind not in kinds:
        what = f"this target has no {wish.kind}"
        found.append(Problem(what, "exposure.kind", f"write one of {', '.join(kinds)}"))
        return found
    if wish.kind == "route" and wish.tls in ("reencrypt", "passthrough"):
        what = f"{wish.tls} needs a router that speaks TLS, and ours does not here"
        found.append(Problem(what, "exposure.tls", "write edge"))
    if wish.kind in ("ingress", "gateway", "none") and wish.tls not in ("edge", "none"):
        fix = "write edge or none" if wish.kind != "none" else "leave it out"
        found.append(Problem(f"{wish.tls} is for kind: route", "exposure.tls", fix))
    if wish.kind == "ingress" and wish.tls == "edge" and not wish.secret:
        what = "there is no certificate for the Ingress"
        found.append(Problem(what, "exposure.secret", "name its Secret, or write tls: none"))
    if wish.kind == "ingress" and wish.tls == "none" and wish.secret:
        found.append(Problem("tls: none has no certificate", "exposure.secret", "leave it out"))
    made = wish.kind == "gateway" and intent.gateway is not None and bool(intent.gateway.class_)
    if wish.kind != "ingress" and not made and wish.secret:
        what = "a certificate is named for an Ingress or a Gateway, and none is made here"
        found.append(Problem(what, "exposure.secret", "leave it out"))
    if wish.kind == "ingress" and not wish.host:
        found.append(Problem("an Ingress is for a host", "exposure.host", "write its name"))
    if wish.kind == "none" and wish.host:
        fix = "write exposure.kind, or leave it out"
        found.append(Problem("nothing is exposed", "exposure.host", fix))
    if wish.kind == "gateway" and intent.gateway is None:
        what = "kind: gateway needs one to hang on"
        found.append(Problem(what, "gateway", "write {name: ..., namespace: ...}"))
    return found


def route(intent: Intent, name: str, service: str, port: str) -> Object:
    """A Route of OpenShift: TLS ends at its edge, and plain HTTP is sent there."""
    wish = intent.exposure
    tls: dict[str, str] = {
        "termination": wish.tls,
        "insecureEdgeTerminationPolicy": "None" if wish.tls == "passthrough" else "Redirect",
    }
    made = openshift_route(
        name,
        intent.namespace,
        labels(intent),
        service=service,
        port=port,
        tls={} if wish.tls == "none" else tls,
        host=wish.host,
    )
    if wish.tls == "none":
        del made["spec"]["tls"]
    # Answers of models take longer than the router's usual 30 seconds.
    made["metadata"]["annotations"] = {"haproxy.router.openshift.io/timeout": "300s"}
    return made


def ingress(intent: Intent, name: str, service: str, port: str) -> Object:
    """An Ingress for one host, with the certificate that ``exposure.secret`` names."""
    wish: Exposure = intent.exposure
    backend = {"service": {"name": service, "port": {"name": port}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: dict[str, Any] = {"rules": [{"host": wish.host, "http": {"paths": [path]}}]}
    if wish.tls == "edge":
        spec["tls"] = [{"hosts": [wish.host], "secretName": wish.secret}]
    return object_(intent, "networking.k8s.io/v1", "Ingress", name, spec=spec)


def gateway(intent: Intent) -> tuple[Object, ...]:
    """The Gateway itself, where its ``class`` is said: HTTP, or HTTPS with the certificate that
    ``exposure.secret`` names."""
    wish = intent.gateway
    if wish is None or not wish.class_:
        return ()
    secret = intent.exposure.secret
    listener: dict[str, Any] = {
        "name": wish.section or ("https" if secret else "http"),
        "port": 443 if secret else 80,
        "protocol": "HTTPS" if secret else "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    if host := intent.exposure.host or wish.host:
        listener["hostname"] = host
    if secret:
        listener["tls"] = {"mode": "Terminate", "certificateRefs": [{"name": secret}]}
    made = object_(
        intent,
        "gateway.networking.k8s.io/v1",
        "Gateway",
        wish.name,
        namespace=wish.namespace or intent.namespace,
        spec={"gatewayClassName": wish.class_, "listeners": [listener]},
    )
    return (made,)


def gateway_route(intent: Intent, name: str, service: str, port: str) -> Object:
    """An HTTPRoute on the intent's Gateway: everything of its host goes to the router."""
    gateway = intent.gateway
    assert gateway is not None
    host = intent.exposure.host or gateway.host
    return http_route(
        name,
        intent.namespace,
        labels(intent),
        gateway=gateway.name,
        gateway_namespace=gateway.namespace or intent.namespace,
        section=gateway.section,
        hostnames=[host] if host else [],
        rules=[rule("/", service, SERVED[port][0], timeout="300s")],
    )
