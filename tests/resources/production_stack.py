"""Objects of production-stack's kinds, as people write them, and what stands behind them."""

from __future__ import annotations

from typing import Any

from tests.resources.worlds import FakeWorld
from wayside.manifests.production_stack import API_VERSION, KINDS
from wayside.resources import Desired, Object

NAMESPACE = "models"


def made(kind: str, name: str, **spec: Any) -> Object:
    """An object of one of our kinds."""
    meta = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


def service(name: str, *ports: tuple[str, int], **spec: Any) -> Object:
    """A Service; its port is 8000 unless told otherwise."""
    several = [{"name": n, "port": p} for n, p in ports] or [{"port": 8000}]
    meta = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"clusterIP": "10.96.0.7", "selector": {"app": name}, "ports": several, **spec},
    }


def endpoints(name: str, *pods: tuple[str, str], port: str = "", number: int = 8000) -> Object:
    """An EndpointSlice of a Service: addresses, and the pods behind them."""
    return {
        "metadata": {
            "name": f"{name}-1",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": port, "port": number}],
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod},
            }
            for address, pod in pods
        ],
    }


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def put(world: FakeWorld, *objects: Object) -> FakeWorld:
    """Put objects of our kinds into a world."""
    for found in objects:
        world.put(KINDS[found["kind"]], found)
    return world


def conditions(desired: Desired) -> dict[str, tuple[str, str]]:
    """Status and reason by type; each type is there once."""
    types = [c.type for c in desired.conditions]
    assert len(types) == len(set(types)), types
    return {c.type: (c.status, c.reason) for c in desired.conditions}


def message(desired: Desired, kind: str) -> str:
    return next(c.message for c in desired.conditions if c.type == kind)
