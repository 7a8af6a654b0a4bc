"""The gateway of Models-as-a-Service leads its chat path to the router, which has an Envoy of its
own: the guide's dual gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from wayside.deploy import Check, Manifest, Need, Scene, Step, target
from wayside.deploy.intent import DnsName, Intent
from wayside.deploy.parts import exposure, kserve, maas, maas_entry, maas_tiers
from wayside.deploy.parts.maas import MaasOptions
from wayside.deploy.parts.options import options
from wayside.vocab.errors import Problem
from wayside.vocab.resource import SERVICES

NAME: Final = "maas-dual-gateway"


class DualGatewayOptions(MaasOptions):
    """Of `--target maas-dual-gateway`.

    Example: ``{paths: all, parts: [integration]}``
    """

    api_version: kserve.Api = "auto"
    """The version of LLMInferenceService to write; the newest that the cluster serves."""
    platform: Literal["openshift", "kubernetes"] = "openshift"
    """On OpenShift the namespace says as which user pods run."""
    parts: Annotated[tuple[Literal["router", "integration"], ...], Field(min_length=1)] = (
        "router",
        "integration",
    )
    """`router`: models, router and rights; `integration`: what makes the gateway lead there."""
    service: Literal[""] | DnsName = ""
    """With `parts: [integration]`: the router's Service, where its deployment has another name
    than this one; `<name>-kserve` when empty."""


@target(
    NAME,
    options=DualGatewayOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: maas-dual-gateway
models:
  Model-A: {run: simulator, kserve: model-a, tiers: []}
  Model-B: {run: simulator, kserve: model-b, tiers: [premium, enterprise]}
default_model: Model-A
""",
)
class MaasDualGateway:
    """Behind the gateway of Models-as-a-Service, which leads /v1/chat to the router."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        wish, said = options(intent, NAME, DualGatewayOptions), intent.model_fields_set
        intent = kserve.of_kserve(intent)
        found = [*maas.problems(intent, wish), *exposure.problems(intent, ("none",))]
        if "router" in wish.parts:
            found += kserve.problems(intent)
            if wish.service:
                found.append(
                    Problem(
                        "the router's Service is made here, and called as the deployment is",
                        f"targets.{NAME}.service",
                        "leave it out, or say parts: [integration]",
                    )
                )
        else:
            found += [
                Problem("only the integration is applied", where, "leave it out")
                for where in ("models", "router")
                if where in said
            ]
        return found

    def has_router(self, intent: Intent) -> bool:
        """Whether a router is made, or one that is there is integrated."""
        return "router" in options(intent, NAME, DualGatewayOptions).parts

    def needs(self, intent: Intent) -> Sequence[Need]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, DualGatewayOptions)
        found = (
            list(maas_entry.needs(intent, wish, openshift=wish.platform == "openshift"))
            if "integration" in wish.parts
            else []
        )
        if "router" in wish.parts:
            return [*kserve.needs(intent), *found]
        return [
            *found,
            Need(
                what="the router's Service",
                resource=SERVICES,
                name=wish.service or kserve.router_name(intent),
                namespace=intent.namespace,
                fix="deploy the router first: "
                "deploy/openshift/deploy-to-openshift.sh --kserve --simulator --no-public-route",
            ),
        ]

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, DualGatewayOptions)
        # What has to be told is asked for before anything is applied.
        host = maas_entry.host(intent, scene) if "integration" in wish.parts else ""
        if "router" in wish.parts:
            yield from kserve.model_steps(intent, scene, wish.api_version, routed=True)
            yield from maas_tiers.steps(intent, wish)
            made = kserve.Router(
                configuration=kserve.configured(intent, scene, wish.api_version, wish),
                openshift=wish.platform == "openshift",
                peers=maas_entry.peers(intent),
            )
            yield from kserve.router_steps(intent, made, wish)
        if "integration" in wish.parts:
            yield from _integration(intent, wish, host)

    def checks(self, intent: Intent) -> Sequence[Check]:
        return kserve.closed_checks()


def _integration(intent: Intent, wish: DualGatewayOptions, host: str) -> Iterator[Step]:
    """Who may come in, and how much they may take, is there before the route that lets them."""
    service = wish.service or kserve.router_name(intent)
    limits = maas_tiers.limit_policies(intent, wish)
    yield Step(
        title="integration with MaaS",
        manifests=(
            Manifest("vsr-reference-grant.yaml", (maas_entry.grant(intent, service=service),)),
            Manifest("vsr-interim-auth-policy.yaml", (maas_entry.auth_policy(intent, wish),)),
            *((Manifest("vsr-interim-limits.yaml", tuple(limits)),) if limits else ()),
            Manifest(
                "vsr-interim-httproute.yaml",
                (maas_entry.route(intent, wish, host=host, service=service),),
            ),
        ),
        notes=(
            f"https://{host}{' and '.join(maas_entry.PATHS[wish.paths])} lead to the router"
            + (
                "; its other OpenAI paths do with targets.maas-dual-gateway.paths: all"
                if wish.paths == "chat"
                else ""
            ),
        ),
    )
