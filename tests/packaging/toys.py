"""Kinds that nobody ships: what packaging is given in its own tests."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, Field

from wayside.resources import AGE, Column, Keeper, Kind
from wayside.vocab.resource import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAYS,
    HTTP_ROUTES,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)


class LampSpec(BaseModel):
    """How bright.

    Example: {watts: 40}
    """

    watts: int = Field(ge=0, le=100, description="Power, in watts.")
    replicas: int = Field(1, ge=0, description="Bulbs.")


class LampStatus(BaseModel):
    """Whether it burns."""

    phase: str = Field("", description="On or Off.")


def kind(name: str, **fields: Any) -> Kind:
    """A kind of the group ``toys.vllm.ai``, which looks after nothing."""
    given: dict[str, Any] = {
        "kind": name,
        "resource": Resource("toys.vllm.ai", "v1alpha1", f"{name.lower()}s"),
        "program": "operator",
        "spec": LampSpec,
        "status": LampStatus,
        "columns": (Column("Watts", ".spec.watts", "integer"), AGE),
        "summary": f"A {name.lower()}.",
        "keeper": cast(Keeper, object()),
    }
    return Kind(**{**given, **fields})


LAMP = kind(
    "Lamp",
    finalizer="toys.vllm.ai/lamp",
    owns=(DEPLOYMENTS, SERVICES, CONFIG_MAPS, HTTP_ROUTES),
    reads=(GATEWAYS, STORAGE_CLASSES, SERVICES),
)
BELL = kind("Bell", reads=(SERVICES,))
THIEF = kind("Thief", reads=(SECRETS,))
TOYS = (BELL, LAMP)
