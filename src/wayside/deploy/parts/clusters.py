"""Several clusters that serve the same models: each asks its own servers first.

In the same zone as ours come first, then the heavier ones. Where a cluster says at which hosts its
models are reached (``clusters[].models``), those are asked by the router of each other cluster;
where it does not, the models' Services are exported (Multi-Cluster Services API), and
``<service>.<namespace>.svc.clusterset.local`` leads to all that there are.
"""

from __future__ import annotations

from wayside.deploy import Object
from wayside.deploy.intent import Intent
from wayside.deploy.parts.config import Places
from wayside.deploy.parts.meta import object_, places, service_of, service_url
from wayside.settings.problems import suggest
from wayside.vocab.errors import Problem

SET = "clusterset"
"""Stands for all clusters that are reached by the set's own DNS."""


def elsewhere(intent: Intent, cluster: str) -> dict[str, Places]:
    """Where the models are but in ``cluster``, in the order in which they are asked."""
    own = next((each for each in intent.clusters if each.name == cluster), None)
    if own is None:
        return {}
    others = [each for each in intent.clusters if each is not own]
    others.sort(key=lambda each: (not each.zone or each.zone != own.zone, -each.weight))
    found: dict[str, Places] = {each.name: dict(each.models) for each in others if each.models}
    if any(places(intent).keys() - each.models.keys() for each in others):
        found[SET] = {
            name: service_url(intent, name, domain="clusterset.local") for name in places(intent)
        }
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
