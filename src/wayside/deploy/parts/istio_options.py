"""What is chosen for the targets behind Istio's gateway, and what an intent comes to by it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from wayside.deploy.intent import DnsName, Intent, ModelIntent
from wayside.deploy.parts import config, istio, servers
from wayside.deploy.parts.config import Configuration
from wayside.deploy.parts.meta import dns_name, places
from wayside.settings.base import Name, Settings


class IstioOptions(Settings):
    """Of `--target istio`.

    Example: ``{gpus: 1, llmd: false}``
    """

    llmd: bool = True
    """Whether models that name a `pool` get one, with a picker as llm-d has it; their Services
    balance otherwise."""
    gpus: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many there are. Replicas are scaled down to what fits, the last model's first; with 0,
    simulators serve what vLLM would."""
    routes: dict[Name, DnsName] = Field(default_factory=dict)
    """Names of HTTPRoutes, by model; `vsr-MODEL`, and `vsr-MODEL-service` for one that leads to a
    Service, unless said."""
    picker_certificate: DnsName | None = None
    """A Secret of the Gateway's namespace with `tls.crt`, `tls.key` and `ca.crt` for
    `POOL-epp.NAMESPACE.svc`. Without it pickers show certificates that nobody can verify, as the
    guide has it."""
    router_tls: Literal["none", "mutual"] = "none"
    """`mutual`: with the mesh's certificates, where the router's pods have a sidecar."""


class PublicOptions(IstioOptions):
    """Of `--target istio-llmd-public`.

    Example: ``{gpus: 2, keys_in: default}``
    """

    keys_in: DnsName | None = None
    """The namespace of the Secrets with providers' keys: the Gateway's unless said, where the
    guide makes them. The router reads each by name through the API. Say the deployment's own
    namespace, and they are mounted instead."""


def fitted(intent: Intent, gpus: int | None) -> tuple[Intent, tuple[str, ...]]:
    """The intent with as many replicas as there are GPUs for, and what was changed, for people.
    Every model keeps one replica as long as that can be."""
    if gpus is None:
        return intent, ()
    models, notes = dict(intent.models), list[str]()
    wants = {n: servers.gpus(m) for n, m in models.items() if m.run and servers.gpus(m)}
    if not gpus:
        for name in wants:
            models[name] = simulated(models[name])
            notes.append(f"{name}: a simulator serves it, as there are no GPUs")
        return intent.model_copy(update={"models": models}), tuple(notes)
    left = gpus - sum(wants.values())
    for name, each in wants.items():
        model = models[name]
        more = min(model.replicas - 1, max(0, left) // each) if model.replicas else 0
        left -= more * each
        if model.replicas > 1 + more:
            notes.append(f"{name}: {1 + more} of {model.replicas} replicas, as GPUs are {gpus}")
            models[name] = model.model_copy(update={"replicas": 1 + more})
    return intent.model_copy(update={"models": models}), tuple(notes)


def simulated(model: ModelIntent) -> ModelIntent:
    """The same model served by our simulator, which needs no GPU, weights or token."""
    said: dict[str, Any] = {"run": "simulator", "service": model.service, "pool": model.pool}
    said |= {"replicas": model.replicas, "settings": model.settings}
    return ModelIntent.model_validate(said)


def pools(intent: Intent, wish: IstioOptions) -> dict[str, str]:
    """Models, and the names of their pools."""
    named = {n: m.pool for n, m in intent.models.items() if m.pool and m.cloud is None}
    return {n: pool for n, pool in named.items() if pool} if wish.llmd else {}


def route_name(intent: Intent, wish: IstioOptions, model: str) -> str:
    """Of a model's HTTPRoute. Flavours have different names: one is taken away without the other,
    and nobody overwrites somebody else's."""
    if model in wish.routes:
        return wish.routes[model]
    direct = intent.models[model].cloud is None and model not in pools(intent, wish)
    return f"vsr-{dns_name(model)}{'-service' if direct else ''}"


def keys_in(intent: Intent, wish: IstioOptions) -> str:
    """The namespace of the Secrets with providers' keys."""
    said = wish.keys_in if isinstance(wish, PublicOptions) else None
    return said or istio.gateway_of(intent)[1]


def configuration(intent: Intent, wish: IstioOptions) -> Configuration:
    """What the router reads. Providers' certificates are verified by the gateway; their keys are
    read where they are, or mounted where that is the router's own namespace."""
    where, models, also = keys_in(intent, wish), dict(intent.models), dict[str, Any]()
    for name, model in intent.models.items():
        if model.cloud is None:
            continue
        change: dict[str, Any] = {"ca": None}
        if model.cloud.key is not None and where != intent.namespace:
            key = model.cloud.key
            change["key"] = None
            also[name] = {"credential": {"secret": f"{where}/{key.secret}", "key": key.key}}
        cloud = model.cloud.model_copy(update=change)
        models[name] = model.model_copy(update={"cloud": cloud})
    changed = intent.model_copy(update={"models": models})
    return config.configuration(changed, places(intent), also={"models": also} if also else None)
