"""What both targets behind Istio's gateway put in force, one step after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wayside.deploy import Manifest, Object, Step, Wait
from wayside.deploy.intent import Intent
from wayside.deploy.parts import adapter, clouds, inference_pool, istio, router, servers
from wayside.deploy.parts.clouds import Upstream
from wayside.deploy.parts.istio_options import (
    IstioOptions,
    configuration,
    keys_in,
    pools,
    route_name,
)
from wayside.deploy.parts.meta import dns_name, namespace, service_of
from wayside.vocab.resource import DEPLOYMENTS, GATEWAYS

CONFIG: Final = "semantic-router-config"
API: Final = ("--api-address", f"0.0.0.0:{router.CLIENTS}")
"""Classification and the list of models, for whoever the NetworkPolicy lets in."""


def model_steps(intent: Intent, wish: IstioOptions, notes: Sequence[str] = ()) -> Iterator[Step]:
    """Servers of the models that are run here; one step for all of them."""
    manifests, waits = list[Manifest](), list[Wait]()
    for name, model in intent.models.items():
        if made := servers.servers(intent, name, model):
            service = service_of(intent, name)
            manifests.append(Manifest(f"models/{service.name}.yaml", made))
            at = service.namespace or intent.namespace
            if model.replicas:
                wait = Wait(
                    resource=DEPLOYMENTS,
                    name=service.name,
                    namespace=at,
                    condition="Available",
                    timeout_s=3600,
                )
                waits.append(wait)
    if manifests:
        title = "models' servers"
        yield Step(title=title, manifests=tuple(manifests), waits=tuple(waits), notes=tuple(notes))


def pool_steps(intent: Intent, wish: IstioOptions) -> Iterator[Step]:
    """Pools, and their pickers."""
    manifests, waits, notes = list[Manifest](), list[Wait](), list[str]()
    for name, pool in pools(intent, wish).items():
        service = service_of(intent, name)
        tls = wish.picker_certificate
        picker = inference_pool.picker(intent, name, pool, certificate=tls or "")
        made = (*inference_pool.pool(intent, name, pool), picker)
        manifests.append(Manifest(f"pools/{service.name}.yaml", made))
        comment = (
            "The picker's certificate is verified by this name."
            if tls
            else "The endpoint picker shows a certificate that it made itself, which nobody can\n"
            "verify. To verify it, write picker_certificate under the target's settings."
        )
        rule = inference_pool.picker_rule(intent, name, pool, tls)
        manifests.append(Manifest(f"pools/{service.name}-picker-tls.yaml", (rule,), comment))
        if not tls:
            notes.append(
                f"WARNING: nobody verifies the certificate of {pool}'s picker "
                "(insecureSkipVerify); set picker_certificate to have it verified"
            )
        waits.append(
            Wait(
                resource=DEPLOYMENTS,
                name=picker["metadata"]["name"],
                namespace=service.namespace or intent.namespace,
                condition="Available",
            )
        )
    if manifests:
        title = "pools and their pickers"
        yield Step(title=title, manifests=tuple(manifests), waits=tuple(waits), notes=tuple(notes))


def router_steps(intent: Intent, wish: IstioOptions) -> Iterator[Step]:
    """The router: namespace, account, configuration, pods, Services, who may connect."""
    made = configuration(intent, wish)
    pods = router.deployment(
        intent,
        made,
        envoy=False,
        extproc=True,
        config_name=CONFIG,
        account=intent.name,
        args=API,
        claim_name=f"{intent.name}-models" if intent.router.storage else "",
    )
    files: dict[str, tuple[Object, ...]] = {
        "namespace": (namespace(intent),),
        "config": (router.config_map(intent, made, name=CONFIG),),
        "serviceaccount": (router.service_account(intent),),
        "pvc": router.claims(intent),
        "deployment": (pods,),
        "service": (
            router.service(intent, ports=("grpc", "api")),
            router.service(intent, name=f"{intent.name}-metrics", ports=("metrics",)),
        ),
        "networkpolicy": router.network_policy(
            intent, ports=(istio.GRPC, router.CLIENTS), peers=[istio.gateway_pods(intent)]
        ),
        "autoscaler": (*router.autoscaler(intent), *router.disruption_budget(intent)),
        "monitoring": router.monitoring(intent),
    }
    yield Step(
        title="router",
        manifests=tuple(
            Manifest(f"router/{n}.yaml", found) for n, found in files.items() if found
        ),
        texts=adapter.texts(intent),
        waits=(
            Wait(
                resource=DEPLOYMENTS,
                name=intent.name,
                namespace=intent.namespace,
                condition="Available",
            ),
        ),
    )


def gateway_steps(intent: Intent, wish: IstioOptions) -> Iterator[Step]:
    """The Gateway, before it is told of the router, and then the router."""
    wanted, where = istio.gateway_of(intent)
    if wanted.class_:
        yield Step(
            title="gateway",
            manifests=(Manifest("gateway/gateway.yaml", (istio.gateway(intent),)),),
            waits=(
                Wait(resource=GATEWAYS, name=wanted.name, namespace=where, condition="Programmed"),
            ),
        )
    yield Step(
        title="the gateway asks the router",
        manifests=(
            Manifest(
                "gateway/destinationrule.yaml",
                (istio.router_rule(intent, wish.router_tls),),
                "The router serves ext_proc in clear text inside the mesh. For mutual TLS\n"
                "between sidecars, where both have one: ISTIO_MUTUAL (router_tls: mutual).",
            ),
            Manifest(
                "gateway/envoyfilter.yaml",
                (istio.envoy_filter(intent),),
                "Envoy asks the router about every request of this gateway, and of no other\n"
                "proxy. Without the router nobody strips x-selected-model, and a client could\n"
                "choose any backend: fail closed, as 503.",
            ),
        ),
    )


def cloud_steps(intent: Intent, wish: IstioOptions) -> Iterator[Step]:
    """Providers: known to the mesh, and TLS to them."""
    manifests = list[Manifest]()
    for one in clouds.upstreams(intent):
        path = f"clouds/{one.slug}"
        manifests += [
            Manifest(f"{path}-service.yaml", (clouds.service(intent, one),)),
            Manifest(f"{path}-entry.yaml", (clouds.service_entry(intent, one),)),
            Manifest(
                f"{path}-tls.yaml",
                (clouds.tls_rule(intent, one),),
                "TLS by the provider's name, and its certificate is verified for that name.",
            ),
        ]
    if manifests:
        yield Step(title="providers", manifests=tuple(manifests))


def route_steps(intent: Intent, wish: IstioOptions) -> Iterator[Step]:
    """One HTTPRoute for each model; with a provider's first, the right to read its keys."""
    pooled, found = pools(intent, wish), {u: u.models for u in clouds.upstreams(intent)}
    manifests = list[Manifest]()
    for name, model in intent.models.items():
        called = route_name(intent, wish, name)
        if model.cloud is None:
            made = (istio.local_route(intent, name, called, pooled.get(name, "")),)
            manifests.append(Manifest(f"routes/{dns_name(name)}.yaml", made))
            continue
        one = next(u for u, models in found.items() if name in models)
        objects = (
            clouds.cloud_route(intent, one, name, called),
            *_rights(intent, wish, one, name),
        )
        comment = (
            "There is no key in here, and nothing to put one into: the router sends it along,\n"
            "from its Secret, with requests for this provider's models alone."
        )
        manifests.append(Manifest(f"routes/{dns_name(name)}.yaml", objects, comment))
    waits = tuple(_rules(intent))
    yield Step(title="routes", manifests=tuple(manifests), waits=waits)


def _rights(
    intent: Intent, wish: IstioOptions, upstream: Upstream, model: str
) -> tuple[Object, ...]:
    where = keys_in(intent, wish)
    if model != upstream.models[0] or where == intent.namespace:
        return ()
    return clouds.may_read(intent, upstream, where)


def _rules(intent: Intent) -> Iterator[Wait]:
    """Routes say how they are by parent, so the Gateway is asked."""
    wanted, where = istio.gateway_of(intent)
    yield Wait(resource=GATEWAYS, name=wanted.name, namespace=where, condition="Programmed")
