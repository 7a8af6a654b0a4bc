"""Several clusters that serve the same models: those of others stand by.

A router asks the servers of another cluster only while none of its own can be asked. Where a
cluster says at which hosts its models are reached (``clusters[].models``), those are asked; where
it does not, the models' Services are exported (Multi-Cluster Services API), and
``<service>.<namespace>.svc.clusterset.local`` leads to all that there are.
"""

from __future__ import annotations

from typing import Any

from wayside.deploy import Object
from wayside.deploy.intent import Intent
from wayside.deploy.parts.meta import object_, places, service_of, service_url
from wayside.settings.problems import suggest
from wayside.vocab.errors import Problem


def standing_by(intent: Intent, cluster: str) -> dict[str, list[dict[str, Any]]]:
    """Endpoints of each model that are not in ``cluster``: one of each other cluster that says
    where its servers are, and one for all that the set's own DNS leads to. Nothing without several
    clusters."""
    if not any(each.name == cluster for each in intent.clusters):
        return {}
    others = [each for each in intent.clusters if each.name != cluster]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in places(intent):
        for each in others:
            if name in each.models:
                made: dict[str, Any] = {"url": each.models[name], "standby": True}
                if each.weight != 1:
                    made["weight"] = each.weight
                if each.zone:
                    made["labels"] = {"zone": each.zone}
                found.setdefault(name, []).append(made)
        if any(name not in each.models for each in others):
            url = service_url(intent, name, domain="clusterset.local")
            found.setdefault(name, []).append({"url": url, "standby": True})
    return found


def exports(intent: Intent) -> tuple[Object, ...]:
    """A ServiceExport for each model's Service, where another cluster asks for it by the set's
    DNS."""
    if not any(places(intent).keys() - each.models.keys() for each in intent.clusters):
        return ()
    made = []
    for name in places(intent):
        service = service_of(intent, name)
        made.append(
            object_(
                intent,
                "multicluster.x-k8s.io/v1alpha1",
                "ServiceExport",
                service.name,
                namespace=service.namespace or intent.namespace,
                component=service.name,
            )
        )
    return tuple(made)


def problems(intent: Intent) -> list[Problem]:
    """What of ``clusters`` could not be had."""
    found: list[Problem] = []
    if len(intent.clusters) == 1:
        fix = "leave it out, and give --context"
        found.append(Problem("one cluster is no several", "clusters", fix))
    for what, said in (
        ("name", [each.name for each in intent.clusters]),
        ("context", [each.context for each in intent.clusters]),
    ):
        for i, value in enumerate(said):
            if value in said[:i]:
                where = f"clusters[{i}].{what}"
                found.append(Problem(f"{value!r} is another's, too", where, "give each its own"))
    for i, cluster in enumerate(intent.clusters):
        for name in cluster.models:
            if name not in intent.models:
                fix = suggest(name, intent.models, "models")
                found.append(
                    Problem(f"there is no model {name!r}", f"clusters[{i}].models.{name}", fix)
                )
    return found
