"""How much each tier may take, and which models are whose: policies and Roles made of one table.

Limits as Kuadrant 1.x keeps them (RateLimitPolicy ``v1`` counts requests, TokenRateLimitPolicy
``v1alpha1`` the ``usage.total_tokens`` of answers); rights as MaaS has them, the verb ``post`` on
LLMInferenceServices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wayside.deploy import Manifest, Object, Step
from wayside.deploy.intent import Intent
from wayside.deploy.parts.maas import (
    LLMS,
    RBAC,
    ROUTE,
    MaasOptions,
    at_route,
    gateway_namespace,
    gateway_of,
    tiers,
    window,
)
from wayside.deploy.parts.meta import object_
from wayside.manifests.network import GATEWAY_API
from wayside.settings.maas import LimitOf, TierSettings


def limit_policies(
    intent: Intent, options: MaasOptions, *, route: str = ROUTE, suffix: str = ""
) -> list[Object]:
    """Limits of tokens and of requests for the router's path, and for the gateway's own, where
    they are asked for. A policy of a route takes the place of its gateway's, so each has the
    whole table, and lets nobody through whose tier is not in it. ``suffix`` is of the names of the
    policies of a second route."""
    if options.limits != "kuadrant":
        return []
    table = tiers(intent)
    made = []
    for at, prefix, namespace, but in (
        (at_route(route), "vsr", intent.namespace, ""),
        (
            {"group": GATEWAY_API, "kind": "Gateway", "name": gateway_of(intent).name},
            "gateway",
            gateway_namespace(intent),
            ' && !request.path.endsWith("/v1/models")',
        ),
    ):
        if prefix == "gateway" and (suffix or not options.gateway_limits):
            continue
        for version, kind, name, what in (
            ("kuadrant.io/v1alpha1", "TokenRateLimitPolicy", "token-rate-limits", "tokens"),
            ("kuadrant.io/v1", "RateLimitPolicy", "rate-limits", "requests"),
        ):
            limits = _limits(table, what, but)
            if limits:
                spec = {"targetRef": at, "limits": limits}
                made.append(
                    object_(
                        intent,
                        version,
                        kind,
                        f"{prefix}-{name}{suffix}",
                        namespace=namespace,
                        spec=spec,
                    )
                )
    return made


def _limits(table: Sequence[TierSettings], what: str, but: str) -> Object:
    """Limits by name. ``but``: more of each predicate, about paths that do not count."""
    made: Object = {}
    for tier in table:
        rates: Sequence[LimitOf] = getattr(tier, what)
        if rates:
            said = [{"limit": one.limit, "window": window(one.window)} for one in rates]
            made[f"{tier.name}-user-{what}"] = _limit(
                said, f'auth.identity.tier == "{tier.name}"{but}'
            )
    if made:
        unknown = " && ".join(f'auth.identity.tier != "{tier.name}"' for tier in table)
        made["unknown-tier"] = _limit([{"limit": 0, "window": "1m"}], unknown + but)
    return made


def _limit(rates: Sequence[Object], predicate: str) -> Object:
    return {
        "rates": list(rates),
        "when": [{"predicate": predicate}],
        "counters": [{"expression": "auth.identity.userid"}],
    }


def model_rights(intent: Intent, options: MaasOptions) -> Iterator[Object]:
    """Who may ask which model: the right ``post`` on its LLMInferenceService, for the service
    accounts of tiers. As MaaS has it: without ``tiers`` nobody, ``[]`` everybody with a tier."""
    known = [tier.name for tier in tiers(intent)]
    for model in intent.models.values():
        if model.kserve is None or model.tiers is None:
            continue
        name = f"{model.kserve}-model-post-access"
        rule = {
            "apiGroups": [LLMS[0]],
            "resources": [LLMS[1]],
            "resourceNames": [model.kserve],
            "verbs": ["post"],
        }
        groups = [f"system:serviceaccounts:{options.prefix}{t}" for t in model.tiers or known]
        yield object_(intent, f"{RBAC}/v1", "Role", name, rules=[rule])
        yield object_(
            intent,
            f"{RBAC}/v1",
            "RoleBinding",
            name,
            roleRef={"apiGroup": RBAC, "kind": "Role", "name": name},
            subjects=[{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups],
        )


def review_rights(intent: Intent, account: str) -> tuple[Object, Object]:
    """The router's right to ask whose a token is, and what they may: no more than to ask."""
    name = f"{intent.namespace}-{account}-reviews"
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": ["create"]}
        for group, resource in (
            ("authentication.k8s.io", "tokenreviews"),
            ("authorization.k8s.io", "subjectaccessreviews"),
        )
    ]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": intent.namespace}
    return (
        object_(intent, f"{RBAC}/v1", "ClusterRole", name, namespace="", rules=rules),
        object_(
            intent,
            f"{RBAC}/v1",
            "ClusterRoleBinding",
            name,
            namespace="",
            roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            subjects=[subject],
        ),
    )


def steps(intent: Intent, options: MaasOptions) -> Iterator[Step]:
    """The rights to models, where there are any."""
    rights = tuple(model_rights(intent, options))
    if rights:
        yield Step(title="rights to models", manifests=(Manifest("models/rights.yaml", rights),))
