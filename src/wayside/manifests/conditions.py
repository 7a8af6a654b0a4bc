"""``status.conditions``, as every kind of ours has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wayside.manifests.fields import Part, keyed


class ConditionStatus(Part):
    """One thing that is so, or not."""

    type: Annotated[
        str,
        Field(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        ),
    ]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""
    observed_generation: (
        Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None
    ) = None
    """The generation of the object that was looked at."""


Conditions = Annotated[
    tuple[ConditionStatus, ...], Field(max_length=64, json_schema_extra=keyed("type"))
]
