"""What a router is given beside its configuration: Secrets of providers, rights in the cluster,
and what it takes to hold clients to tiers by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import wayside.resources
from wayside.catalog import discover
from wayside.deploy import Object
from wayside.deploy.intent import Intent
from wayside.deploy.parts.meta import object_
from wayside.deploy.parts.router import service_account
from wayside.manifests import rbac, router_pod
from wayside.manifests.mounted import Mounted
from wayside.resources import kinds
from wayside.settings import RouterSettings
from wayside.vocab.errors import Problem

discover(wayside.resources)


def secrets(intent: Intent) -> list[tuple[Mounted, str]]:
    """Keys that the router and its models' servers are given, and whose they are, for people."""
    found: list[tuple[Mounted, str]] = []
    for name, model in intent.models.items():
        for key in (model.cloud.key, model.cloud.ca) if model.cloud else (model.token,):
            if key is not None:
                found.append((Mounted(key.secret, key.key), f"model {name}"))
    return found


def granted(intent: Intent, settings: RouterSettings) -> tuple[Object, ...]:
    """ServiceAccount, and a Role or the right to review tokens, where the router asks the cluster
    something; nothing otherwise."""
    if not router_pod.asks_the_cluster(settings):
        return ()
    made: list[Object] = [service_account(intent)]
    who = {"kind": "ServiceAccount", "name": intent.name, "namespace": intent.namespace}
    maas = settings.maas is not None and settings.maas.kubernetes is not None
    follows = settings.registry is not None or any(
        model.discover is not None and model.discover.kubernetes is not None
        for model in settings.models.values()
    )
    if follows:
        rules = rbac.router_rules(kinds())
        made.append(object_(intent, f"{rbac.API}/v1", "Role", intent.name, rules=rules))
        made.append(_binding(intent, "RoleBinding", "Role", intent.name, intent.name, who))
    if maas:
        name = f"{intent.namespace}-{intent.name}-reviews"
        made.append(
            _binding(
                intent, "ClusterRoleBinding", "ClusterRole", name, "system:auth-delegator", who
            )
        )
    return tuple(made)


def _binding(
    intent: Intent, kind: str, role_kind: str, name: str, role: str, who: dict[str, str]
) -> Object:
    return object_(
        intent,
        f"{rbac.API}/v1",
        kind,
        name,
        namespace="" if kind == "ClusterRoleBinding" else None,
        roleRef={"apiGroup": rbac.API, "kind": role_kind, "name": role},
        subjects=[who],
    )


# --- tiers, held by the router itself ----------------------------------------------------------


def settings(intent: Intent, *, folder: str) -> dict[str, Any]:
    """Where a router that holds clients to ``intent.tiers`` keeps its keys and counts."""
    said = intent.router.settings.get("maas")
    if intent.tiers is None or (isinstance(said, dict) and "folder" in said):
        return {}
    return {"maas": {"folder": folder}}


def problems(intent: Intent) -> list[Problem]:
    """What of tiers could not be had."""
    found: list[Problem] = []
    said = intent.router.settings.get("maas")
    if intent.tiers is None:
        if said is None:
            for name, model in intent.models.items():
                if model.tiers is not None:
                    what = "there are no tiers"
                    fix = "write the table `tiers`, or leave it out"
                    found.append(Problem(what, f"models.{name}.tiers", fix))
        return found
    if isinstance(said, dict) and "tiers" in said:
        what = "the tiers are said twice"
        found.append(Problem(what, "router.settings.maas.tiers", "keep the table `tiers`"))
    if not isinstance(said, dict) or not said.keys() & {"users", "oidc", "kubernetes"}:
        what = "nobody could show who they are"
        fix = "write kubernetes: {}, oidc or users in router.settings.maas"
        found.append(Problem(what, "router.settings.maas", fix))
    return found


def notes(intent: Intent) -> Iterator[str]:
    """What somebody should know of tiers."""
    if intent.tiers is not None and not intent.router.storage:
        yield (
            "keys and counts of tiers are in the router's pod and go with it: write "
            "router.storage, or router.settings.maas.database"
        )
