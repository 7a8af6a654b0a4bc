"""The router inside of the gateway of Models-as-a-Service: one gateway, whose policies hold for
the model that the router chose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from wayside.deploy import Check, Manifest, Need, Scene, Step, Wait, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import (
    adapter,
    exposure,
    kserve,
    maas,
    maas_entry,
    maas_gateway,
    maas_tiers,
    router,
)
from wayside.deploy.parts.maas import MaasOptions
from wayside.deploy.parts.options import options
from wayside.settings.address import parse_address
from wayside.vocab.errors import Problem
from wayside.vocab.resource import CRDS, DEPLOYMENTS

NAME: Final = "maas-single-gateway"


class SingleGatewayOptions(MaasOptions):
    """Of `--target maas-single-gateway`.

    Example: ``{maas_route: maas-api/maas-api-route, maas_rules: 4}``
    """

    api_version: kserve.Api = "auto"
    """The version of LLMInferenceService to write; the newest that the cluster serves."""
    platform: Literal["openshift", "kubernetes"] = "openshift"
    """On OpenShift the namespace says as which user pods run."""
    maas_route: Annotated[str, Field(pattern=r"^[-a-z0-9]+/[-a-z0-9.]+$")] = (
        "maas-api/maas-api-route"
    )
    """MaaS's own HTTPRoute, about whose requests the router is not asked."""
    maas_rules: Annotated[int, Field(ge=0, le=16)] = 4
    """How many rules it has."""
    priority: Annotated[int, Field(ge=1, le=9)] = maas_gateway.PRIORITY
    """Of the EnvoyFilter: after Kuadrant's (0), before MaaS's payload processing (10)."""


@target(
    NAME,
    options=SingleGatewayOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: maas-single-gateway
models:
  Model-A: {run: simulator, kserve: model-a, tiers: []}
  Model-B: {run: simulator, kserve: model-b, tiers: [premium, enterprise]}
default_model: Model-A
""",
)
class MaasSingleGateway:
    """Inside of the gateway of Models-as-a-Service, before its policies, by an EnvoyFilter."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, SingleGatewayOptions)
        found = [
            *kserve.problems(intent),
            *maas.problems(intent, wish),
            *exposure.problems(intent, ("none",)),
        ]
        for name, model in intent.models.items():
            if model.cloud is not None:
                found.append(
                    Problem(
                        "the gateway leads to Services of this cluster alone",
                        f"models.{name}.cloud",
                        "use --target maas-dual-gateway",
                    )
                )
            elif model.service and model.service.namespace not in (None, intent.namespace):
                found.append(
                    Problem(
                        "an HTTPRoute leads to Services of its own namespace",
                        f"models.{name}.service.namespace",
                        f"leave it out, or write {intent.namespace}",
                    )
                )
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        wish = options(intent, NAME, SingleGatewayOptions)
        return [
            *kserve.needs(kserve.of_kserve(intent)),
            *maas_entry.needs(intent, wish, openshift=wish.platform == "openshift"),
            Need(
                what="Istio's EnvoyFilter",
                resource=CRDS,
                name="envoyfilters.networking.istio.io",
                fix="the gateway has to be Istio's; use --target maas-dual-gateway for others",
            ),
        ]

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, SingleGatewayOptions)
        host = maas_entry.host(intent, scene)
        yield from kserve.model_steps(intent, scene, wish.api_version, routed=True)
        yield from maas_tiers.steps(intent, wish)
        made = kserve.configured(intent, scene, wish.api_version, wish)
        openshift = wish.platform == "openshift"
        claims = router.claims(intent)
        pods = router.deployment(
            intent,
            made,
            envoy=False,
            extproc=True,
            openshift=openshift,
            account=intent.name,
            claim_name=claims[0]["metadata"]["name"] if claims else "",
        )
        around = (
            *router.autoscaler(intent),
            *router.disruption_budget(intent),
            *router.network_policy(
                intent, ports=(router.BEHIND.grpc or 0,), peers=maas_entry.peers(intent)
            ),
            *router.monitoring(intent),
        )
        account = (
            router.service_account(intent),
            *maas_tiers.review_rights(intent, intent.name),
            *claims,
        )
        yield Step(
            title="router",
            manifests=(
                Manifest("router/config.yaml", (router.config_map(intent, made),)),
                Manifest("router/account.yaml", account),
                Manifest(
                    "router/service.yaml", (router.service(intent, ports=("grpc", "metrics")),)
                ),
                Manifest("router/deployment.yaml", (pods, *around)),
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
        backends = {}
        for name, url in kserve.places(intent, scene, wish.api_version).items():
            address = parse_address(url)
            backends[name] = (address.host.partition(".")[0], address.port)
        of = {n: (intent.namespace, m.kserve) for n, m in intent.models.items() if m.kserve}
        found = tuple(
            maas_gateway.routes(intent, backends, host=host, paths=maas_entry.PATHS[wish.paths])
        )
        access = maas_entry.model_access(of)
        policies = []
        for made_route in found:
            route = made_route["metadata"]["name"]
            suffix = route.removeprefix(maas_gateway.ROUTE)
            policies.append(
                maas_entry.auth_policy(
                    intent,
                    wish,
                    name=maas_gateway.AUTH + suffix,
                    route=route,
                    authorization=access,
                )
            )
            policies += maas_tiers.limit_policies(intent, wish, route=route, suffix=suffix)
        yield Step(
            title="integration with MaaS",
            manifests=(
                Manifest("vsr-policies.yaml", tuple(policies)),
                Manifest(
                    "vsr-envoyfilter.yaml",
                    (
                        maas_gateway.clear_text(intent),
                        maas_gateway.envoy_filter(
                            intent,
                            made.settings,
                            route=wish.maas_route,
                            rules=wish.maas_rules,
                            priority=wish.priority,
                        ),
                    ),
                ),
                Manifest("vsr-httproute.yaml", found),
            ),
            notes=("the gateway's Envoy has to know FULL_DUPLEX_STREAMED: 1.33 or later",),
        )

    def checks(self, intent: Intent) -> Sequence[Check]:
        return kserve.closed_checks()
