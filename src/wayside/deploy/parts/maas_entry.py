"""Who comes in through the gateway of a Models-as-a-Service: its route to the router, and the
policy that says whose token is good.

Three things differ from what the guide of the dual gateway prints, each because the printed policy
lets somebody in or keeps somebody in who should be out:

* The key under which a reviewed token is remembered is the token as it was sent, for a minute at
  most. Lower-cased, as printed, two different tokens are one key; for 600 s, a revoked token works
  on. (There is no hash in Authorino's CEL; what is remembered never leaves its memory.)
* A token has to be of a service account in one of the tenant's tier namespaces. Anybody who may
  make a namespace may mint a token for the gateway's audience, and ``replace`` leaves the name of
  a namespace called ``enterprise`` as it is: that would be a tier.
* The tier is asked of MaaS, which knows people's groups; the namespace's name counts where MaaS
  does not answer.

Kinds and fields as Kuadrant 1.x has them; expressions are CEL with its string extensions, which is
all that Authorino offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wayside.deploy import Need, Object, Scene
from wayside.deploy.intent import Intent
from wayside.deploy.parts.maas import (
    LLMS,
    ROUTE,
    MaasOptions,
    at_route,
    gateway_namespace,
    gateway_of,
)
from wayside.deploy.parts.meta import labels, object_
from wayside.manifests.network import GATEWAY_API, http_route
from wayside.vocab import headers
from wayside.vocab.errors import ConfigError
from wayside.vocab.objects import section, text
from wayside.vocab.resource import CRDS, GATEWAYS, Resource

INGRESS_CONFIG: Final = Resource("config.openshift.io", "v1", "ingresses", namespaced=False)
CLUSTER_VERSION: Final = Resource("config.openshift.io", "v1", "clusterversions", namespaced=False)
AUTH: Final = "vsr-interim-auth-policy"
GRANT: Final = "allow-maas-gateway-to-vsr"
PATHS: Final = {
    "chat": ("/v1/chat",),
    "all": (
        "/v1/chat",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
    ),
}
STRIPPED: Final = (
    "x-vsr-destination-endpoint",
    headers.SELECTED_MODEL,
    headers.GATEWAY_MODEL,
    headers.EXECUTED,
    headers.REQUESTED,
    *sorted(headers.CLAIMS),
    *sorted(headers.INTERNAL_NAMES - {headers.SELECTED_MODEL}),
)
"""By these a client could pretend to be the router, the gateway or somebody else. Gateway API
takes sixteen names at most."""


def route(intent: Intent, options: MaasOptions, *, host: str, service: str) -> Object:
    """``vsr-interim-route``: the gateway's chat path leads to the router, without any header by
    which a client could pretend that the router had decided."""
    clean = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": [*STRIPPED]}}
    rules = [
        {
            "matches": [
                {"path": {"type": "PathPrefix", "value": path}} for path in PATHS[options.paths]
            ],
            "filters": [clean],
            "backendRefs": [{"name": service, "port": options.port}],
        }
    ]
    return http_route(
        ROUTE,
        intent.namespace,
        labels(intent),
        gateway=gateway_of(intent).name,
        gateway_namespace=gateway_namespace(intent),
        section=gateway_of(intent).section,
        hostnames=(host,) if host else (),
        rules=rules,
    )


def grant(intent: Intent, *, service: str) -> Object:
    """Routes in the gateway's namespace may name the router's Service. Ours is in the Service's
    own namespace and needs none; a route that an administrator writes beside the gateway does."""
    spec = {
        "from": [
            {"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": gateway_namespace(intent)}
        ],
        "to": [{"group": "", "kind": "Service", "name": service}],
    }
    return object_(intent, f"{GATEWAY_API}/v1beta1", "ReferenceGrant", GRANT, spec=spec)


def auth_policy(
    intent: Intent,
    options: MaasOptions,
    *,
    name: str = AUTH,
    route: str = ROUTE,
    authorization: Mapping[str, Object] | None = None,
) -> Object:
    """Who may come in: tokens of MaaS. ``auth.identity`` has ``userid`` and ``tier`` afterwards,
    by which the limits below count."""
    account = 'auth.identity.user.username.split(":")'
    owned = f'"system:serviceaccount:{options.prefix}"'
    service_accounts: Object = {
        "kubernetesTokenReview": {"audiences": [options.tokens_for]},
        "defaults": {
            "userid": {"expression": f"{account}[3]"},
            "tier": {
                "expression": f'{account}[2].startsWith("{options.prefix}") '
                f'? {account}[2].substring({len(options.prefix)}) : ""'
            },
        },
    }
    if options.cache_s:
        key = {"expression": "request.headers.authorization"}
        service_accounts["cache"] = {"key": key, "ttl": options.cache_s}
    tier = "auth.identity.tier"
    rules: Object = {
        "authentication": {"service-accounts": service_accounts},
        "authorization": {
            "of-this-tenant": {
                "patternMatching": {
                    "patterns": [{"predicate": f"auth.identity.user.username.startsWith({owned})"}]
                }
            },
            **(authorization or {}),
        },
    }
    if options.api:
        found = "auth.metadata.matchedTier"
        tier = f"has(auth.metadata) && has({found}) && has({found}.tier) ? {found}.tier : {tier}"
        rules["metadata"] = {"matchedTier": _lookup(options)}
    rules["response"] = {
        "success": {
            "filters": {
                "identity": {
                    "json": {
                        "properties": {
                            "userid": {"expression": "auth.identity.userid"},
                            "tier": {"expression": tier},
                        }
                    }
                }
            }
        }
    }
    spec = {"targetRef": at_route(route), "rules": rules}
    return object_(intent, "kuadrant.io/v1", "AuthPolicy", name, spec=spec)


def _lookup(options: MaasOptions) -> Object:
    made: Object = {
        "http": {
            "url": f"{options.api.rstrip('/')}/v1/tiers/lookup",
            "method": "POST",
            "contentType": "application/json",
            "body": {"expression": '{"groups": auth.identity.user.groups}'},
        }
    }
    if options.cache_s:
        key = {"expression": "auth.identity.user.username"}
        made["cache"] = {"key": key, "ttl": options.cache_s}
    return made


def model_access(models: Mapping[str, tuple[str, str]]) -> Object:
    """An authorization rule for policies that run after the model was chosen: the caller has to
    have the right ``post`` on its LLMInferenceService. ``models``: namespace and name of each.
    A model that is none of these is refused, as nobody has a right to what has no name."""
    chosen = 'request.headers["x-gateway-model-name"]'

    def of(index: int) -> Object:
        known = ", ".join(f'"{model}": "{place[index]}"' for model, place in models.items())
        return {"expression": f'{chosen} in {{{known}}} ? {{{known}}}[{chosen}] : "-"'}

    return {
        "chosen-model": {
            "kubernetesSubjectAccessReview": {
                "user": {"expression": "auth.identity.user.username"},
                "authorizationGroups": {"expression": "auth.identity.user.groups"},
                "resourceAttributes": {
                    "group": {"value": LLMS[0]},
                    "resource": {"value": LLMS[1]},
                    "namespace": of(0),
                    "name": of(1),
                    "verb": {"value": "post"},
                },
            },
            "cache": {
                "key": {"expression": f'auth.identity.user.username + " " + {chosen}'},
                "ttl": 60,
            },
        }
    }


def peers(intent: Intent) -> tuple[Object, ...]:
    """Who may connect to a router behind MaaS: pods of the gateway's namespace."""
    name = {"kubernetes.io/metadata.name": gateway_namespace(intent)}
    return ({"namespaceSelector": {"matchLabels": name}},)


def host(intent: Intent, scene: Scene) -> str:
    """The gateway's hostname: as the intent says, or ``maas.`` before the cluster's domain, which
    OpenShift knows and others are told (``--set domain=``). Raises :class:`ConfigError`."""
    if said := gateway_of(intent).host:
        return said
    ingress = scene.get(INGRESS_CONFIG, "cluster")
    domain = scene.told("domain") or text(section(ingress or {}, "spec").get("domain"))
    if not domain:
        raise ConfigError.one(
            "the hostname of MaaS's gateway is not known: "
            + (
                "ingresses.config.openshift.io/cluster says no spec.domain"
                if scene.live
                else "nothing can be looked up while rendering"
            ),
            where="gateway.host",
            fix="write it, or add --set domain=apps.example.com (without the maas.)",
        )
    return f"maas.{domain}"


def needs(intent: Intent, options: MaasOptions, *, openshift: bool) -> tuple[Need, ...]:
    """OpenShift (where it is one), the gateway and Kuadrant."""
    at, where = gateway_of(intent).name, gateway_namespace(intent)
    kinds = [("AuthPolicy", "authpolicies.kuadrant.io")]
    if options.limits == "kuadrant":
        kinds += [
            ("TokenRateLimitPolicy", "tokenratelimitpolicies.kuadrant.io"),
            ("RateLimitPolicy", "ratelimitpolicies.kuadrant.io"),
        ]
    version = Need(
        what="OpenShift 4.18",
        resource=CLUSTER_VERSION,
        name="version",
        version=("status.desired.version", "4.18"),
        fix="upgrade the cluster, or say platform: kubernetes where it is none of OpenShift",
    )
    return (
        *((version,) if openshift else ()),
        *(
            Need(
                what=f"Kuadrant's {kind}",
                resource=CRDS,
                name=crd,
                fix="install the Kuadrant operator (Red Hat Connectivity Link)",
            )
            for kind, crd in kinds
        ),
        Need(
            what="MaaS's gateway",
            resource=GATEWAYS,
            name=at,
            namespace=where,
            fix="install Models-as-a-Service first: ./deploy-rhoai-stable.sh of its repository",
        ),
    )
