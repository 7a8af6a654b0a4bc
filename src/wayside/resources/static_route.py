"""StaticRoute: servers and models written down, for a router that reads them from a ConfigMap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from wayside.manifests.meta import digest
from wayside.manifests.production_stack import (
    STATIC_ROUTES,
    Finding,
    accepted,
    labels,
    place,
    read,
    ready,
    some,
)
from wayside.manifests.production_stack_static import (
    FILES,
    Pair,
    RouterRef,
    StaticRouteSpec,
    StaticRouteStatus,
    document,
    pairs,
)
from wayside.manifests.workload import config_map
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Keeper,
    Object,
    Probe,
    Probed,
    Trouble,
    World,
    resource,
)
from wayside.settings.address import parse_address
from wayside.vocab.objects import port as port_of
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import CONFIG_MAPS, SERVICES


@resource(
    "StaticRoute",
    resource=STATIC_ROUTES,
    program="router-controller",
    spec=StaticRouteSpec,
    status=StaticRouteStatus,
    columns=(
        Column("Logic", ".spec.routingLogic"),
        Column("ConfigMap", ".status.configMapRef"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1),
        AGE,
    ),
    owns=(CONFIG_MAPS,),
    reads=(SERVICES,),
)
class StaticRouteKeeper(Keeper):
    """Servers and models written down, for a router that reads them from a ConfigMap."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(StaticRouteSpec, found)
        backends: list[Pair] = []
        if spec is not None:
            backends, problem = pairs(spec)
        if spec is None or problem:
            wrong = accepted(problem)
            before = section(found, "status")
            kept = {k: before[k] for k in _KEPT if k in before}
            told = [wrong, ready([wrong]), *_legacy(Finding("", "Unknown", "InvalidSpec"))]
            return Desired(
                prune=False,
                conditions=[Condition(*f) for f in told],
                status={**kept, "lastUpdated": NOW},
            )
        namespace, name = place(found)
        content = document(spec, backends)
        ref = spec.config_map_name or f"{name}-config"
        child = config_map(
            ref, namespace, labels("static-route", name), dict.fromkeys(FILES, content)
        )
        notes = [
            f"spec.routerRef.{field} has no effect"
            for field, value in _idle(spec.router_ref)
            if value
        ]
        of_backends, served = _backends(spec, backends, world)
        findings = [
            accepted("", "; ".join(notes)),
            Finding("Applied", "True", "Applied", f"ConfigMap {namespace}/{ref}"),
            of_backends,
        ]
        counts = [*findings[:2], served]
        if spec.router_ref is not None:
            router = _router(spec, spec.router_ref, namespace, world)
            findings.append(router)
            counts.append(router)
        health = _worst(findings[2:])
        conditions = [*findings, ready(counts), *_legacy(health)]
        return Desired(
            children=[child],
            conditions=[Condition(*f) for f in conditions],
            status={**_applied(found, ref, content), "lastUpdated": NOW},
        )

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        told = "; ".join(f"{t.kind} {t.name}: {t.message}" for t in troubles)
        wrong = Finding("Applied", "False", troubles[0].reason, told, "Warning")
        before = section(found, "status")
        return Desired(
            children=desired.children,
            conditions=[
                *(c for c in desired.conditions if c.type not in ("Applied", "Ready")),
                Condition(*wrong, "FailedReconcileConfigMap"),
                Condition(*ready([wrong])),
            ],
            status={**{k: before.get(k) for k in _KEPT}, "lastUpdated": NOW},
            prune=desired.prune,
            again_s=60.0,
        )


_KEPT = ("configMapRef", "lastAppliedTime", "configDigest")


def _applied(found: Object, ref: str, content: str) -> dict[str, object]:
    """What was applied, and when: the time stays for as long as the content does."""
    before = section(found, "status")
    now = digest([ref, content])
    at = text(before.get("lastAppliedTime")) if before.get("configDigest") == now else ""
    return {"configMapRef": ref, "configDigest": now, "lastAppliedTime": at or NOW}


def _idle(ref: RouterRef | None) -> list[tuple[str, str]]:
    if ref is None:
        return []
    return [("resourceVersion", ref.resource_version), ("fieldPath", ref.field_path)]


# --- how they are ------------------------------------------------------------------------------


def _ask(spec: StaticRouteSpec, url: str, world: World) -> Probed | None:
    check = spec.health_check
    return world.probe(
        Probe(
            url=url,
            period_s=check.period_seconds,
            timeout_s=check.timeout_seconds,
            successes=check.success_threshold,
            failures=check.failure_threshold,
        )
    )


def _backends(
    spec: StaticRouteSpec, backends: Sequence[Pair], world: World
) -> tuple[Finding, Finding]:
    """How the backends are: all of them, and whether each model has one that is well."""
    urls = list(dict.fromkeys(pair.url for pair in backends))
    answers = {url: _ask(spec, _health_of(url), world) for url in urls}
    well = {url for url, a in answers.items() if a is not None and a.healthy}
    ill = {url: a for url, a in answers.items() if a is not None and a.healthy is False}
    kind = "BackendsHealthy"
    if ill:
        told = [f"{url}: {a.problem or a.status}" for url, a in ill.items()]
        said = f"{len(ill)} of {len(urls)} backends do not answer /health: {some(told)}"
        if any(parse_address(url).host in _LOCAL for url in ill):
            said += "; localhost is asked where the controller runs"
        every = Finding(kind, "False", "BackendsUnhealthy", said, "Warning")
    elif len(well) < len(urls):
        said = f"{len(well)} of {len(urls)} backends have answered"
        every = Finding(kind, "Unknown", "Checking", said)
    else:
        every = Finding(kind, "True", "BackendsHealthy", f"all {len(urls)} backends", "Normal")
    without = [
        model
        for model in dict.fromkeys(pair.model for pair in backends)
        if not any(pair.url in well for pair in backends if pair.model == model)
    ]
    if not without:
        return every, Finding("Served", "True", "Served")
    known = all(pair.url in ill for pair in backends if pair.model in without)
    said = f"no healthy backend of {some(without)}; {every.message}"
    return every, Finding("Served", "False" if known else "Unknown", every.reason, said)


_LOCAL = ("localhost", "127.0.0.1", "::1")


def _health_of(url: str) -> str:
    """``/health`` beside the API: that of ``http://a:8000/v1`` is ``http://a:8000/health``."""
    return f"{url.rstrip('/').removesuffix('/v1')}/health"


def _router(spec: StaticRouteSpec, ref: RouterRef, own: str, world: World) -> Finding:
    kind, namespace = "RouterReady", ref.namespace or own
    where = f"Service {namespace}/{ref.name}"
    found = world.get(SERVICES, ref.name, namespace)
    if found is None:
        said = f"spec.routerRef: {where} is not there; create it, or name another one"
        if world.state(SERVICES) == "forbidden":
            said = f"spec.routerRef: {where} may not be read by the controller"
        return Finding(kind, "False", "RouterNotFound", said, "Warning")
    uid = text(section(found, "metadata").get("uid"))
    if ref.uid and ref.uid != uid:
        said = f"spec.routerRef.uid: {where} is another one, {uid}; leave uid out"
        return Finding(kind, "False", "RouterNotFound", said, "Warning")
    url = router_url(found)
    if not url:
        said = f"{where} has no port called http or https, nor 8000; name one of its ports http"
        return Finding(kind, "Unknown", "NoPort", said)
    answer = _ask(spec, url, world)
    if answer is None or answer.healthy is None:
        return Finding(kind, "Unknown", "Checking", f"{where} has not answered yet")
    if answer.healthy:
        return Finding(kind, "True", "RouterHealthy", f"{where} answers", "Normal")
    said = f"Health check failed for service {ref.name}: {answer.problem or answer.status}"
    return Finding(kind, "False", "RouterUnhealthy", said, "Warning")


def router_url(service: Object) -> str:
    """Where a router's Service is asked: its port called http or https, or 8000. By its address,
    or by its name where it has none, or where a certificate has to prove it."""
    spec, meta = section(service, "spec"), section(service, "metadata")
    for entry in sections(spec.get("ports")):
        number, name = port_of(entry.get("port")), text(entry.get("name"))
        if number is None or not (name in ("http", "https") or number == 8000):
            continue
        scheme = "https" if name == "https" else "http"
        host = text(spec.get("clusterIP"))
        if spec.get("type") == "ExternalName":
            host = text(spec.get("externalName"))
        elif host in ("", "None") or scheme == "https":
            host = f"{text(meta.get('name'))}.{text(meta.get('namespace'))}.svc"
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{number}/health"
    return ""


def _worst(several: Sequence[Finding]) -> Finding:
    return next(
        (f for status in ("False", "Unknown") for f in several if f.status == status), several[0]
    )


def _legacy(health: Finding) -> list[Finding]:
    """The two types that production-stack's controller told; never both are true."""
    opposite: dict[str, Literal["True", "False", "Unknown"]] = {"True": "False", "False": "True"}
    yes, no = "HealthCheckSucceeded", "HealthCheckFailed"
    reason = {"True": yes, "False": no}.get(health.status, health.reason)
    return [
        Finding(yes, health.status, reason, health.message),
        Finding(no, opposite.get(health.status, "Unknown"), reason, health.message),
    ]
