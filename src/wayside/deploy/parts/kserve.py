"""A router beside KServe: LLMInferenceServices, where they are served, and the router's objects as
the guides call them (``semantic-router-kserve``).

Addresses are what the LLMInferenceService's status says, or the Service that KServe makes for it,
by its DNS name. No ClusterIP is looked up, and none is made up where nothing is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from wayside.deploy import Check, Manifest, Need, Object, Scene, Step, Wait
from wayside.deploy.intent import Intent, ModelIntent
from wayside.deploy.parts import adapter, config, maas, maas_tiers, meta, router, servers
from wayside.deploy.parts.config import Configuration
from wayside.deploy.parts.maas import MaasOptions
from wayside.deploy.parts.needs import given
from wayside.settings.address import parse_address
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import CRDS, DEPLOYMENTS, KSERVE_LLMS, SERVICES, Resource

Api = Literal["auto", "v1alpha1", "v1alpha2"]
NEWER: Final = Resource(KSERVE_LLMS.group, "v1alpha2", KSERVE_LLMS.plural)
VERSIONS: Final = {"v1alpha2": NEWER, "v1alpha1": KSERVE_LLMS}
"""KServe 0.16 has v1alpha1, 0.17 both; 0.15 has no LLMInferenceService at all."""
TIERS: Final = "alpha.maas.opendatahub.io/tiers"
"""MaaS's annotation: a JSON list of tiers that may use the model; `[]` all of them."""
PORTS: Final = ("http", "envoy-http", "grpc", "metrics", "api")
_LOCAL: Final = (".svc", ".svc.cluster.local")
_OWN: Final = {"app": "semantic-router", "component": "gateway"}
"""Labels by which guides select the router's pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """What :func:`router_steps` makes the router of."""

    configuration: Configuration
    openshift: bool
    peers: tuple[Mapping[str, Any], ...] = ()
    """Who may connect; everybody when empty."""


def router_name(intent: Intent) -> str:
    """Of its Deployment and Service."""
    return f"{intent.name}-kserve"


def of_kserve(intent: Intent) -> Intent:
    """The intent with the name of every model's LLMInferenceService: a model that is run here and
    has neither Service nor name is served by one that is called as it is."""
    models = {
        name: model.model_copy(update={"kserve": meta.dns_name(name)})
        if model.run is not None and model.kserve is None and model.service is None
        else model
        for name, model in intent.models.items()
    }
    return intent.model_copy(update={"models": models})


def problems(intent: Intent) -> Iterator[Problem]:
    """What KServe cannot do."""
    yield from servers.problems(intent)
    if intent.clusters:
        what = "models of KServe are in one cluster"
        yield Problem(what, "clusters", "leave it out, and give --context")
    for name, model in intent.models.items():
        if model.pool is not None:
            what = "KServe says itself who picks a server"
            yield Problem(what, f"models.{name}.pool", "leave it out")
        if model.kserve is None:
            continue
        if model.kserve != meta.dns_name(model.kserve):
            yield Problem(
                f"{model.kserve!r} is no name of an object",
                f"models.{name}.kserve",
                f"did you mean {meta.dns_name(model.kserve)!r}?",
            )
        if model.run == "llm-katan":
            yield Problem(
                "llm-katan is not run by KServe",
                f"models.{name}.run",
                "write run: simulator or vllm, or give it a service",
            )
        if model.storage is not None:
            yield Problem(
                "KServe keeps weights in its own way",
                f"models.{name}.storage",
                "leave it out, or give the model a service",
            )


def needs(intent: Intent) -> tuple[Need, ...]:
    """KServe, where it serves a model, and what the router is given."""
    found = [*given(intent), *adapter.needs(intent)]
    if any(model.kserve is not None for model in intent.models.values()):
        fix = "install KServe 0.16 or later (0.15 has none), or OpenShift AI 3"
        name = "llminferenceservices.serving.kserve.io"
        what = "KServe with LLMInferenceService"
        found.insert(0, Need(what=what, resource=CRDS, name=name, fix=fix))
    return tuple(found)


# --- models ------------------------------------------------------------------------------------


def api(scene: Scene, wanted: Api) -> Resource:
    """The version of LLMInferenceService to speak. Raises :class:`ConfigError` where the cluster
    has none that we know, or not the one that is ``wanted``."""
    choices = VERSIONS if wanted == "auto" else {wanted: VERSIONS[wanted]}
    for resource in choices.values():
        if scene.has(resource) is not False:
            return resource
    raise ConfigError.one(
        f"the cluster serves no LLMInferenceService in {' or '.join(choices)}",
        where="targets.kserve.api" if wanted != "auto" else "",
        fix="KServe 0.16 has v1alpha1, 0.17 v1alpha2 as well; 0.15 has neither",
    )


def inference_service(
    intent: Intent, name: str, model: ModelIntent, version: str, routed: bool
) -> Object:
    """The LLMInferenceService of a model that is run here. ``routed``: MaaS's gateway
    leads ``/<namespace>/<name>/`` to it, and MaaS lists it for those who may use it."""
    assert model.kserve is not None
    alone = model.model_copy(update={"kserve": None})
    made = servers.servers(intent, name, alone, openshift=True, container="main")
    pod = next(o for o in made if o["kind"] == "Deployment")["spec"]["template"]["spec"]
    for container in pod["containers"]:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            # KServe lays this over a template of its own, whose probes speak TLS.
            container[probe]["httpGet"] = {**container[probe]["httpGet"], "scheme": "HTTP"}
    notes = None if model.tiers is None else {TIERS: json.dumps(list(model.tiers))}
    spec: Object = {
        "model": {"uri": f"hf://{model.source or 'wayside/simulator'}", "name": name},
        "replicas": model.replicas,
        "storageInitializer": {"enabled": False},
        "template": pod,
    }
    if routed:
        at = {
            "name": maas.gateway_of(intent).name,
            "namespace": maas.gateway_namespace(intent),
        }
        spec["router"] = {"gateway": {"refs": [at]}, "route": {}}
    return meta.object_(
        intent,
        f"{KSERVE_LLMS.group}/{version}",
        "LLMInferenceService",
        model.kserve,
        component=model.kserve,
        annotations=notes,
        spec=spec,
    )


def model_steps(intent: Intent, scene: Scene, version: Api, routed: bool) -> Iterator[Step]:
    """The namespace, and the models that are run here; each is waited for."""
    yield Step(
        title="namespace", manifests=(Manifest("namespace.yaml", (meta.namespace(intent),)),)
    )
    served = [(n, m) for n, m in intent.models.items() if m.run and m.kserve]
    beside = [o for n, m in intent.models.items() if not m.kserve
              for o in servers.servers(intent, n, m, openshift=True)]  # fmt: skip
    resource = api(scene, version) if served else NEWER
    objects = [inference_service(intent, n, m, resource.version, routed) for n, m in served]
    if objects or beside:
        yield Step(
            title="models",
            manifests=tuple(
                Manifest(f"models/{o['metadata']['name']}-{o['kind'].lower()}.yaml", (o,))
                for o in (*objects, *beside)
            ),
            waits=tuple(
                Wait(
                    resource=resource,
                    name=str(model.kserve),
                    namespace=intent.namespace,
                    condition="Ready",
                    timeout_s=600.0 if model.run == "simulator" else 900.0,
                )
                for _, model in served
            ),
        )


def places(intent: Intent, scene: Scene, version: Api) -> dict[str, str]:
    """Where every model is served. Raises :class:`ConfigError` for one that nobody serves."""
    found = meta.places(intent)
    missing = []
    for name, model in intent.models.items():
        if model.kserve is None:
            continue
        at = _place(intent, model.kserve, scene, version) if scene.live else ""
        if scene.live and not at:
            missing.append(
                Problem(
                    f"LLMInferenceService {intent.namespace}/{model.kserve} says nowhere where it "
                    f"is served, and there is no Service {workload_service(model.kserve)}",
                    f"models.{name}.kserve",
                    f"oc describe llminferenceservice {model.kserve} -n {intent.namespace}",
                )
            )
        found[name] = (
            at
            or f"http://{workload_service(model.kserve)}.{intent.namespace}.svc.cluster.local:8000"
        )
    if missing:
        raise ConfigError(missing)
    return found


def workload_service(name: str) -> str:
    """The Service that KServe makes for an LLMInferenceService."""
    return f"{name}-kserve-workload-svc"


def _place(intent: Intent, name: str, scene: Scene, version: Api) -> str:
    service = scene.get(SERVICES, workload_service(name), intent.namespace)
    ours = next((m.run for m in intent.models.values() if m.kserve == name), None)
    if service is not None:
        for port in sections(section(service, "spec").get("ports")):
            spoken = text(port.get("appProtocol")) or text(port.get("name"))
            scheme = "https" if not ours and spoken in ("", "https") else "http"
            host = f"{workload_service(name)}.{intent.namespace}.svc.cluster.local"
            return f"{scheme}://{host}:{port.get('port')}"
    status = section(scene.get(api(scene, version), name, intent.namespace) or {}, "status")
    told = [section(status, "address").get("url")]
    told += [each.get("url") for each in sections(status.get("addresses"))]
    told.append(status.get("url"))
    usable = [text(url).rstrip("/") for url in told if _parses(text(url))]
    inside = [url for url in usable if parse_address(url).host.endswith(_LOCAL)]
    return next(iter([*inside, *usable]), "")


def _parses(url: str) -> bool:
    try:
        parse_address(url)
    except ValueError:
        return False
    return url.startswith(("http://", "https://"))


# --- the router --------------------------------------------------------------------------------


def configured(
    intent: Intent, scene: Scene, version: Api, behind: MaasOptions | None
) -> Configuration:
    """The router's configuration. ``behind``: the MaaS whose tokens it reviews."""
    also: dict[str, Any] = {}
    if behind is not None:
        folder = f"{router.MODELS}/maas" if intent.router.storage else "/tmp/wayside-maas"
        also["maas"] = maas.router_settings(intent, behind, folder)
    return config.configuration(intent, places(intent, scene, version), also=also)


def router_steps(intent: Intent, made: Router, behind: MaasOptions | None) -> Iterator[Step]:
    """The router with the Envoy in its pod, and the Service in front of it."""
    name = router_name(intent)
    own = intent.model_copy(update={"labels": {**_OWN, **intent.labels}})
    files = (
        router.config_map(own, made.configuration, name=f"{name}-config"),
        router.envoy_config_map(own, made.configuration, name=f"{name}-envoy-config"),
    )
    rights = maas_tiers.review_rights(own, name) if behind is not None else ()
    claims = router.claims(own, name=f"{name}-models")
    pods = router.deployment(
        own,
        made.configuration,
        name=name,
        envoy=True,
        openshift=made.openshift,
        config_name=f"{name}-config",
        envoy_config_name=f"{name}-envoy-config",
        claim_name=f"{name}-models" if claims else "",
        account=name,
    )
    around = (
        *router.autoscaler(own, name=name),
        *router.disruption_budget(own, name=name),
        *router.network_policy(
            own, name=name, ports=(router.CLIENTS, router.BEHIND.grpc or 0), peers=made.peers
        ),
        *router.monitoring(own, name=name),
    )
    yield Step(
        title="router configuration",
        manifests=(Manifest("router/config.yaml", files),),
    )
    yield Step(
        title="router",
        manifests=(
            Manifest(
                "router/account.yaml", (router.service_account(own, name=name), *rights, *claims)
            ),
            Manifest(
                "router/service.yaml",
                (router.service(own, name=name, ports=PORTS, numbers={"http": 80}),),
            ),
            Manifest("router/deployment.yaml", (pods, *around)),
        ),
        texts=adapter.texts(intent),
        waits=(
            Wait(
                resource=DEPLOYMENTS,
                name=name,
                namespace=intent.namespace,
                condition="Available",
            ),
        ),
    )


def open_checks() -> tuple[Check, ...]:
    """What the router answers to anybody who reaches it."""
    question = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    return (
        Check(title="models are listed"),
        Check(title="a model answers", path="/v1/chat/completions", body=question),
    )


def closed_checks() -> tuple[Check, ...]:
    """What the router answers to somebody without a token: nothing."""
    question = {"model": "auto", "messages": [{"role": "user", "content": "test"}]}
    return (
        Check(
            title="nobody comes in without a token",
            path="/v1/chat/completions",
            body=question,
            status=401,
        ),
    )
