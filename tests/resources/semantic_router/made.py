"""A SemanticRouter with backends that are there, and what its keeper makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import wayside.resources
from tests.resources.worlds import FakeWorld
from wayside.catalog import discover
from wayside.resources import Desired, Keeper, Object, kinds
from wayside.vocab.resource import (
    ENDPOINT_SLICES,
    ROUTES,
    SERVICE_MONITORS,
    SERVICES,
    STORAGE_CLASSES,
)

discover(wayside.resources)
NAME, NAMESPACE, UID = "test-router", "apps", "11111111-2222-3333-4444-555555555555"


def keeper() -> Keeper:
    (found,) = (kind for kind in kinds("operator") if kind.kind == "SemanticRouter")
    return found.keeper


def endpoint(model: str, service: str = "", **more: Any) -> dict[str, Any]:
    """An entry of ``vllmEndpoints``, served by the Service ``vllm-<model>``."""
    named = {"name": service or f"vllm-{model}", "port": 8000}
    backend = {"type": "service", "service": named}
    return {"name": f"{model}-{named['name']}", "model": model, "backend": backend, **more}


def router(*endpoints: Mapping[str, Any], name: str = NAME, **spec: Any) -> Object:
    """A SemanticRouter; with one endpoint, of model ``small``, unless told otherwise."""
    listed = [dict(one) for one in endpoints] or [endpoint("small")]
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": UID, "generation": 1},
        "spec": {"vllmEndpoints": listed, **spec},
    }


def service_object(name: str, namespace: str = NAMESPACE, port: int = 8000) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": port}]},
    }


def world(*services: str, openshift: bool = False, **settings: str) -> FakeWorld:
    """A cluster with a default StorageClass and these Services, all with a ready pod."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    names = services or ("vllm-small", "vllm-large")
    slices = [
        {
            "metadata": {
                "name": f"{name}-1",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 8000}],
        }
        for name in names
    ]
    return FakeWorld(
        at={
            SERVICES: [service_object(name) for name in names],
            ENDPOINT_SLICES: slices,
            STORAGE_CLASSES: [{"metadata": {"name": "standard", "annotations": default}}],
        },
        states={
            ROUTES: "synced" if openshift else "absent",
            SERVICE_MONITORS: "absent",
        },
        settings=settings,
    )


def desired(found: Object, seen: FakeWorld | None = None) -> Desired:
    return keeper().desired(found, seen or world())


def named(several: Sequence[Object], kind: str, name: str = "") -> Object:
    """The one object of a kind, and of a name if there are several."""
    (found,) = (
        one for one in several if one["kind"] == kind and name in ("", one["metadata"]["name"])
    )
    return found


def pod(made: Desired) -> dict[str, Any]:
    """The pods' spec."""
    spec: dict[str, Any] = named(made.children, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(made: Desired, name: str = "semantic-router") -> dict[str, Any]:
    (found,) = (one for one in pod(made)["containers"] if one["name"] == name)
    return dict(found)


def condition(made: Desired, type: str) -> tuple[str, str, str]:
    (found,) = (one for one in made.conditions if one.type == type)
    return found.status, found.reason, found.message
