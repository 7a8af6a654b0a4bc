"""What the targets behind Istio's gateway cannot do, need beforehand, and ask afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wayside.deploy import Check, Need
from wayside.deploy.intent import Intent
from wayside.deploy.parts import adapter, clouds, exposure, istio, servers
from wayside.deploy.parts.istio_options import IstioOptions, keys_in, pools
from wayside.deploy.parts.meta import service_of
from wayside.manifests.rbac import INFERENCE_POOLS
from wayside.vocab.errors import Problem
from wayside.vocab.resource import DEPLOYMENTS, GATEWAYS, HTTP_ROUTES, SECRETS

ISTIO: Final = "1.28"
SWITCH: Final = "ENABLE_GATEWAY_API_INFERENCE_EXTENSION"
"""Of Istio's control plane: without it nobody looks at InferencePools."""


def problems(intent: Intent, wish: IstioOptions, name: str, *, public: bool) -> list[Problem]:
    """What of the intent cannot be had behind Istio's gateway."""
    found = [*servers.problems(intent), *exposure.problems(intent, ("none",))]
    if intent.gateway is None:
        fix = "write {name: inference-gateway, namespace: default, class: istio}"
        found.append(Problem("clients get in through a Gateway", "gateway", fix))
    if not intent.models:
        found.append(Problem("there are no models", "models", "write at least one"))
    for said, where in ((intent.tiers, "tiers"), (intent.clusters, "clusters")):
        if said:
            what = f"this target does nothing with {where}"
            found.append(Problem(what, where, "leave it out, or take another target"))
    for model, about in intent.models.items():
        at = f"models.{model}"
        if about.kserve:
            fix = "write service: the one in front of its predictor"
            found.append(Problem("KServe's models are for target kserve", f"{at}.kserve", fix))
        if about.tiers is not None:
            what = "nobody asks for anybody's tier here"
            found.append(Problem(what, f"{at}.tiers", "leave it out"))
        if about.cloud is not None and not public:
            fix = "leave it out, or write --target istio-llmd-public"
            found.append(Problem("this target is for models here", f"{at}.cloud", fix))
        if about.cloud is not None and about.pool:
            what = "nobody picks among a provider's servers"
            found.append(Problem(what, f"{at}.pool", "leave it out"))
    for model in wish.routes:
        if model not in intent.models:
            known = ", ".join(intent.models)
            at = f"targets.{name}.routes.{model}"
            found.append(Problem(f"there is no model {model!r}", at, f"the models are {known}"))
    if wish.picker_certificate and not pools(intent, wish):
        at = f"targets.{name}.picker_certificate"
        found.append(Problem("there is no picker", at, "leave it out, or name a model's pool"))
    if wish.picker_certificate and intent.gateway is not None:
        there = istio.gateway_of(intent)[1]
        for model in pools(intent, wish):
            if (service_of(intent, model).namespace or intent.namespace) != there:
                what = "its picker's certificate would be in another namespace than the Gateway"
                fix = f"write namespace: {there}, or leave out picker_certificate"
                found.append(Problem(what, f"models.{model}.service.namespace", fix))
    wanted = sum(servers.gpus(m) for m in intent.models.values() if m.run and m.replicas)
    if wish.gpus and wish.gpus < wanted:
        what = f"{wanted} GPUs are needed for one replica of each model"
        fix = "write run: simulator for some, or gpus: 0"
        found.append(Problem(what, f"targets.{name}.gpus", fix))
    return [*found, *clouds.problems(intent)]


def needs(intent: Intent, wish: IstioOptions) -> list[Need]:
    """Istio and its CRDs, those of the Gateway API and its inference extension, and Secrets."""
    crds, released = "https://github.com/kubernetes-sigs", "releases/download"
    found = [
        Need(
            what="Gateway API",
            resource=HTTP_ROUTES,
            fix=f"kubectl apply -f {crds}/gateway-api/{released}/v1.4.0/standard-install.yaml",
        ),
        Need(
            what="Istio",
            resource=istio.ENVOY_FILTERS,
            fix=f"istioctl install --set values.pilot.env.{SWITCH}=true",
        ),
        Need(
            what=f"Istio {ISTIO} or newer",
            resource=DEPLOYMENTS,
            name="istiod",
            namespace="istio-system",
            version=("metadata.labels.app.kubernetes.io/version", ISTIO),
            fix="istioctl version; istioctl upgrade",
            level="warning",
        ),
    ]
    wanted, where = istio.gateway_of(intent)
    if wanted.class_:
        found.append(
            Need(
                what=f"GatewayClass {wanted.class_}",
                resource=istio.GATEWAY_CLASSES,
                name=wanted.class_,
                fix="it comes with Istio: kubectl get gatewayclass",
                level="warning",
            )
        )
    else:
        found.append(
            Need(
                what=f"Gateway {wanted.name}",
                resource=GATEWAYS,
                name=wanted.name,
                namespace=where,
                fix="make it, or write gateway.class: istio to have it made",
            )
        )
    if pools(intent, wish):
        path = f"gateway-api-inference-extension/{released}/v1.1.0/manifests.yaml"
        found.append(
            Need(
                what="Gateway API Inference Extension",
                resource=INFERENCE_POOLS,
                fix=f"kubectl apply -f {crds}/{path}",
            )
        )
    return [*found, *_secrets(intent, wish), *adapter.needs(intent)]


def _secrets(intent: Intent, wish: IstioOptions) -> Iterator[Need]:
    """Each Secret once, with the keys that are read of it."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, model in intent.models.items():
        if model.run and model.token is not None:
            at = service_of(intent, name).namespace or intent.namespace
            keys = found.setdefault((at, model.token.secret), {})
            keys[model.token.key] = "$HF_TOKEN"
        cloud = model.cloud
        if cloud is not None and cloud.key is not None:
            keys = found.setdefault((keys_in(intent, wish), cloud.key.secret), {})
            keys[cloud.key.key] = f"${cloud.key.key}"
        if cloud is not None and cloud.ca is not None:
            keys = found.setdefault((istio.gateway_of(intent)[1], cloud.ca.secret), {})
            keys[cloud.ca.key] = ""
    if wish.picker_certificate:
        at = istio.gateway_of(intent)[1]
        found[at, wish.picker_certificate] = dict.fromkeys(("tls.crt", "tls.key", "ca.crt"), "")
    for (at, secret), keys in found.items():
        given = " ".join(
            f'--from-literal={key}="{value}"' if value else f"--from-file={key}=FILE"
            for key, value in keys.items()
        )
        yield Need(
            what=f"Secret {at}/{secret} with {', '.join(keys)}",
            resource=SECRETS,
            name=secret,
            namespace=at,
            keys=tuple(keys),
            fix=f"kubectl -n {at} create secret generic {secret} {given}",
        )


def checks(intent: Intent) -> list[Check]:
    """The models are listed, and those in the cluster answer; a provider's cost money."""
    found = [Check(title="models are listed")]
    for name, model in intent.models.items():
        if model.cloud is None:
            body = {
                "model": name,
                "messages": [{"role": "user", "content": "Say yes."}],
                "max_tokens": 1,
            }
            title = f"{name} answers"
            served = str(model.settings.get("upstream_name") or name)
            found.append(Check(title=title, path="/v1/chat/completions", body=body, model=served))
    return found
