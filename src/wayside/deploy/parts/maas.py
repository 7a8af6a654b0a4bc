"""The Models-as-a-Service that a router stands behind: what it is called, its tiers, and what the
router has to know of it.

Everything about tiers is made of one table (``tiers`` of the intent, or the router's own default):
limits for the path that leads to the router, limits for the gateway's own paths, and the rights to
models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from wayside.deploy import Object
from wayside.deploy.intent import DnsName, GatewayIntent, Intent, Port
from wayside.manifests.network import GATEWAY_API
from wayside.settings.base import Settings
from wayside.settings.maas import MaasSettings, TierSettings
from wayside.settings.problems import suggest
from wayside.vocab.errors import Problem

RBAC: Final = "rbac.authorization.k8s.io"
LLMS: Final = ("serving.kserve.io", "llminferenceservices")
ROUTE: Final = "vsr-interim-route"


class MaasOptions(Settings):
    """The MaaS installation that a router stands behind.

    Example: ``{tenant: maas-default-gateway, paths: all}``
    """

    tenant: DnsName = "maas-default-gateway"
    """Tokens are of service accounts in `<tenant>-tier-<tier>`."""
    audience: str = ""
    """What tokens have to be for; `<tenant>-sa` when empty."""
    api: str = "http://maas-api.maas-api.svc.cluster.local:8080"
    """Where tiers are looked up (`POST /v1/tiers/lookup`); empty: the namespace's name says it."""
    port: Port = 8801
    """The router's, for the gateway."""
    paths: Literal["chat", "all"] = "chat"
    """`chat` leads `/v1/chat/*` to the router; `all` its other OpenAI and Anthropic paths, too."""
    cache_s: Annotated[int, Field(ge=0, le=60)] = 60
    """For how long a reviewed token is believed without asking again; 0: never."""
    limits: Literal["kuadrant", "router"] = "kuadrant"
    """Who keeps the tiers' limits. `router`: it counts by itself, and no limit policies are
    made."""
    gateway_limits: bool = False
    """Make the gateway's own limit policies, too, from the same table. Only where nobody else
    made them: MaaS installs some."""

    @property
    def tokens_for(self) -> str:
        return self.audience or f"{self.tenant}-sa"

    @property
    def prefix(self) -> str:
        """What names of tier namespaces begin with."""
        return f"{self.tenant}-tier-"


def tiers(intent: Intent) -> tuple[TierSettings, ...]:
    """The one table."""
    return MaasSettings().tiers if intent.tiers is None else intent.tiers


def gateway_of(intent: Intent) -> GatewayIntent:
    """MaaS's gateway, where the intent names no other."""
    return intent.gateway or GatewayIntent.model_validate({"name": "maas-default-gateway"})


def gateway_namespace(intent: Intent) -> str:
    """Where it is, where the intent does not say."""
    return gateway_of(intent).namespace or "openshift-ingress"


def problems(intent: Intent, options: MaasOptions) -> Iterator[Problem]:
    """What cannot be said in policies and Roles."""
    if intent.gateway is not None and intent.gateway.class_:
        yield Problem(
            "the gateway of MaaS is there already, and is not made here",
            "gateway.class",
            "leave it out",
        )
    table = tiers(intent)
    names = [tier.name for tier in table]
    for model, said in intent.models.items():
        for i, name in enumerate(said.tiers or ()):
            if name not in names:
                yield Problem(
                    f"no tier {name!r}",
                    f"models.{model}.tiers[{i}]",
                    suggest(name, names, "tiers"),
                )
        if said.tiers is not None and said.kserve is None:
            yield Problem(
                "rights to a model are kept on its LLMInferenceService, and this one has none",
                f"models.{model}.tiers",
                "say which one it is (kserve), or leave out tiers",
            )
    for i, tier in enumerate(table if options.limits == "kuadrant" else ()):
        for what, limits in (("requests", tier.requests), ("tokens", tier.tokens)):
            for j, limit in enumerate(limits):
                if len(window(limit.window)) > 6:
                    yield Problem(
                        f"Kuadrant has no window of {limit.window}",
                        f"tiers[{i}].{what}[{j}].window",
                        "4166d are the most",
                    )


def router_settings(intent: Intent, options: MaasOptions, folder: str) -> dict[str, Any]:
    """``maas`` of the router's configuration. It reviews the token that the gateway has reviewed
    already, so that nobody is believed who reaches its Service by another way, and it asks the
    cluster which models are the caller's: only those are candidates. ``folder`` is one of the pod
    that may be written to."""
    table = []
    for tier in tiers(intent):
        said = tier.model_dump(mode="json", exclude_defaults=True)
        if options.limits == "kuadrant":
            said.pop("requests", None)
            said.pop("tokens", None)
        table.append({**said, "name": tier.name})
    services = {name: model.kserve for name, model in intent.models.items() if model.kserve}
    return {
        "instance": options.tenant,
        "folder": folder,
        "tiers": table,
        "review_cache_s": float(options.cache_s or 1),
        "kubernetes": {
            "audiences": [options.tokens_for],
            "models_namespace": intent.namespace,
            "models": services,
        },
    }


def at_route(name: str) -> Object:
    """A policy's ``targetRef``."""
    return {"group": GATEWAY_API, "kind": "HTTPRoute", "name": name}


def window(window: str) -> str:
    """Kuadrant knows no days."""
    return f"{int(window[:-1]) * 24}h" if window.endswith("d") else window
