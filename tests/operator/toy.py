"""A kind that only the tests know: two children, a foreign object that it looks at, a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from wayside.resources import (
    AGE,
    Condition,
    Desired,
    Farewell,
    Kind,
    Object,
    Probe,
    Trouble,
    World,
)
from wayside.vocab.resource import CONFIG_MAPS, DEPLOYMENTS, SERVICES, Resource

TOYS = Resource("toys.test", "v1", "toys")
RELICS = Resource("toys.test", "v1", "relics")
"""A kind that toys look at, and that need not be installed."""
MANAGER = "toy-operator"
FINALIZER = "toys.test/farewell"


def crd(resource: Resource = TOYS, kind: str = "Toy") -> Object:
    """Its CRD, with a status of its own."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": resource.plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": anything, "status": anything},
                        }
                    },
                }
            ],
        },
    }


class ToyKeeper:
    """A Deployment and a ConfigMap, ``more`` ConfigMaps, and what ``spec`` asks for besides.

    ``value`` is in the ConfigMap, ``ref`` names a ConfigMap that is looked at, ``probe`` a URL,
    ``keep`` an object that outlives the toy, ``selector`` the Deployment's (it cannot be changed),
    ``relics`` says to look at a kind that need not be there, ``explode`` to raise.
    """

    def desired(self, found: Object, world: World) -> Desired:
        spec, meta = found.get("spec", {}), found["metadata"]
        name, namespace = meta["name"], meta["namespace"]
        if spec.get("explode"):
            raise RuntimeError("a bug in a keeper")
        if spec.get("nothing"):
            return Desired(conditions=[Condition("Ready", "True", "Nothing")])
        children = [config(name, spec), deployment(name, spec)]
        children += [config(f"{name}-{n}", spec) for n in range(spec.get("more", 0))]
        conditions, status = [], {"value": spec.get("value", "")}
        if spec.get("ref"):
            seen = world.get(CONFIG_MAPS, spec["ref"], namespace)
            status["seen"] = (seen or {}).get("data", {}).get("x", "missing")
        if spec.get("relics"):
            status["relics"] = world.state(RELICS)
            status["found"] = [o["metadata"]["name"] for o in world.all(RELICS, namespace)]
        if spec.get("probe"):
            probed = world.probe(Probe(url=spec["probe"], period_s=0.2, failures=2))
            healthy = probed.healthy if probed is not None else None
            said = {None: "Unknown", True: "True", False: "False"}[healthy]
            conditions.append(
                Condition("Healthy", said, "Probed", (probed.problem if probed else ""))
            )
        there = world.get(DEPLOYMENTS, name, namespace)
        ready = (there or {}).get("status", {}).get("readyReplicas", 0)
        status["ready"] = ready
        conditions.append(
            Condition(
                "Ready",
                "True" if ready else "False",
                "Running" if ready else "Pending",
                f"{ready} ready",
                event="Normal",
            )
        )
        unowned = [config(spec["keep"], {"value": "kept"})] if spec.get("keep") else []
        if spec.get("service"):
            children.append(service(name))
        return Desired(
            children=children,
            unowned=unowned,
            conditions=conditions,
            status=status,
            again_s=spec.get("again"),
        )

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        said = "; ".join(f"{t.kind} {t.name}: {t.reason}: {t.message}" for t in troubles)
        condition = Condition("Degraded", "True", troubles[0].reason, said[:500], event="Warning")
        return replace(desired, conditions=[*desired.conditions, condition])

    def farewell(self, found: Object, world: World) -> Farewell:
        namespace, spec = found["metadata"]["namespace"], found.get("spec", {})
        kept = world.get(CONFIG_MAPS, spec.get("keep", ""), namespace)
        gone = [] if kept is None else [{"apiVersion": "v1", "kind": "ConfigMap", **kept}]
        return Farewell(delete=gone, events=[("Normal", "Farewell", "cleaned up")])


def config(name: str, spec: dict[str, Any]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}},
        "data": {"value": str(spec.get("value", "")), **(spec.get("data") or {})},
    }


def deployment(name: str, spec: dict[str, Any]) -> Object:
    """With all that servers write otherwise than it is sent."""
    selector = {"app": spec.get("selector", name)}
    container = {
        "name": "toy",
        "image": spec.get("image", "toy:1"),
        "args": ["--value", str(spec.get("value", ""))],
        "env": [],
        "ports": [{"containerPort": 80}, {"name": "m", "containerPort": 81, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 1}},
        "readinessProbe": {"httpGet": {"path": "/", "port": "m"}, "periodSeconds": 10},
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "privileged": False},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": selector},
        "spec": {
            "replicas": spec.get("replicas", 1),
            "paused": False,
            "selector": {"matchLabels": selector},
            "strategy": None,
            "template": {
                "metadata": {"labels": selector, "annotations": {}},
                "spec": {
                    "containers": [container],
                    "nodeSelector": {},
                    "tolerations": [],
                    "hostNetwork": False,
                    "volumes": [{"name": "v", "emptyDir": {}}],
                },
            },
        },
    }


def service(name: str) -> Object:
    ports = [
        {"name": "a", "port": 80, "targetPort": "m"},
        {"name": "b", "port": 81, "targetPort": 81},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"type": "ClusterIP", "selector": {"app": name}, "ports": ports},
    }


class ToySpec(BaseModel):
    """Not used: the CRD takes anything."""


def toy_kind(finalizer: str = "") -> Kind:
    return Kind(
        kind="Toy",
        resource=TOYS,
        program="operator",
        spec=ToySpec,
        status=ToySpec,
        columns=(AGE,),
        owns=(CONFIG_MAPS, DEPLOYMENTS, SERVICES),
        reads=(RELICS,),
        finalizer=finalizer,
        keeper=ToyKeeper(),
    )


def toy(name: str = "demo", **spec: Any) -> Object:
    return {
        "apiVersion": TOYS.api_version,
        "kind": "Toy",
        "metadata": {"name": name},
        "spec": spec,
    }
