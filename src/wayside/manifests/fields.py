"""What the fields of our custom resources are made of.

A CRD's schema is written as pydantic classes: :class:`Part` and what may stand in their
annotations. :mod:`wayside.manifests.crd` turns them into the schema that an API server enforces,
so that a class says once what is stored, what kubectl refuses and what our code reads. Types of
Kubernetes itself (:func:`core`) stay plain dictionaries to our code, which hands them on as they
are, and are typed to the last field in the schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from wayside.settings.described import Described

CORE: Final = "x-wayside-core"
"""Where a schema stands for a type of Kubernetes: its name. Never in a CRD."""
STORED: Final = "x-wayside-stored"
"""On an object that the API server shall put there with its defaults when it is left out."""

OPTIONAL: Final = "x-wayside-optional"
"""On a field that our code always has and that YAML may leave out: somebody puts it there, or
takes away what it is in, before it is read."""


class Part(Described):
    """Base of every object in a spec or status: fields are ``camelCase`` in YAML, frozen, and
    unknown ones are errors. ``null`` is the same as nothing, as it is to the API server."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if each is not None}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Raises ``TypeError`` for an object whose default is not that of its fields: an API
        server would not put the same there."""
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Part) and field.default != type(field.default)():
                raise TypeError(f"{cls.__name__}.{name}: its default is not that of its fields")

    def stored(self) -> dict[str, Any]:
        """As an API server keeps what this was read from: with the defaults of the fields of
        every object that is there, and without what was left out and means nothing."""
        made: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value, extra = getattr(self, name), field.json_schema_extra
            asked = isinstance(extra, dict) and extra.get(STORED)
            nothing = isinstance(value, Part) or value in (None, "", (), {})
            if name in self.model_fields_set or asked or not nothing:
                made[field.alias or name] = _plain(value)
        return made


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.stored()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


class SnakePart(Part):
    """A :class:`Part` whose fields are ``snake_case`` in YAML too, as vSR's configuration is."""

    model_config = ConfigDict(alias_generator=None)


def rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules, each with the message that is told where it does not hold: for a class as
    ``model_config = ConfigDict(json_schema_extra=rules(...))``, for a field as
    ``Field(json_schema_extra=rules(...))``. Lists, maps and texts that a rule walks through need
    bounds (``max_length``), or the API server finds the rule too dear."""
    return {"x-kubernetes-validations": [{"rule": r, "message": m} for r, m in rules]}


def keyed(*keys: str) -> dict[str, Any]:
    """For a list that is a map by these fields of its items: no two are alike, and server-side
    apply merges them one by one."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def core(name: str) -> WithJsonSchema:
    """A type of Kubernetes: ``Annotated[dict[str, Any], core("v1.Affinity")]``."""
    return WithJsonSchema({CORE: name})


# --- texts and numbers -------------------------------------------------------------------------

Rate = Annotated[str, Field(pattern=r"^0(\.[0-9]+)?$|^1(\.0+)?$")]
"""0 to 1 as a text: CRDs had better not hold floating point numbers."""
Quantity = Annotated[
    str,
    Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$", max_length=64),
]
"""An amount as Kubernetes writes it: ``10Gi``."""
Duration = Annotated[str, Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$", max_length=32)]
"""A time as Gateway API writes it: ``60s``, ``1m30s``; ``0s`` is without end."""
DnsName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
"""The name of an object, or of a host."""
Text = Annotated[str, Field(max_length=1024)]
"""A short text of any sort, which may be empty."""
Count = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})]
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"format": "int32"})]
IntOrText = Annotated[int | str, WithJsonSchema({"x-kubernetes-int-or-string": True})]
"""``1`` or ``25%``."""
Labels = Annotated[dict[str, str], Field(max_length=256)]
"""Labels or annotations."""

# --- what is not typed -------------------------------------------------------------------------

AnyObject = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""An object whose fields the API server does not look at; our own code does."""
Anything = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
"""For a field that is a text here and an object there; our own code looks at it."""
