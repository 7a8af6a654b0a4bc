"""What the six kinds of ``production-stack.vllm.ai`` share: their names, how a spec is read, how
conditions are told, and what is made for them.

A field that two forms exist of (the README of production-stack's router controller writes a name
where its Go types have an object) is left open in the schema, since a structural schema has no
unions, and is read here: what cannot be understood is told with its path in ``Accepted``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from wayside.manifests.conditions import Conditions
from wayside.manifests.fields import DnsName, Part
from wayside.manifests.meta import labels as common_labels
from wayside.settings.problems import problems_from
from wayside.vocab.objects import section, text
from wayside.vocab.resource import Resource

Object = dict[str, Any]
GROUP, VERSION = "production-stack.vllm.ai", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
MANAGER = "router-controller"
"""Who looks after what is made for these kinds, by the recommended label."""


def _kind(plural: str) -> Resource:
    return Resource(GROUP, VERSION, plural)


STATIC_ROUTES = _kind("staticroutes")
INFERENCE_SERVICES = _kind("inferenceservices")
INFERENCE_GATEWAYS = _kind("inferencegateways")
INFERENCE_CACHES = _kind("inferencecaches")
SPECULATIVE_DECODINGS = _kind("speculativedecodings")
PREFILL_DECODINGS = _kind("prefilldecodingdisaggregations")
ENVOY_BACKENDS = Resource("gateway.envoyproxy.io", "v1alpha1", "backends")
NODES = Resource("", "v1", "nodes", namespaced=False)

KINDS: Mapping[str, Resource] = {
    "StaticRoute": STATIC_ROUTES,
    "InferenceService": INFERENCE_SERVICES,
    "InferenceGateway": INFERENCE_GATEWAYS,
    "InferenceCache": INFERENCE_CACHES,
    "SpeculativeDecoding": SPECULATIVE_DECODINGS,
    "PrefillDecodingDisaggregation": PREFILL_DECODINGS,
}


class Cluster(Protocol):
    """What is looked at of a :class:`wayside.resources.World`."""

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None: ...

    def all(
        self,
        resource: Resource,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Sequence[Object]: ...

    def state(self, resource: Resource) -> str: ...


# --- schemas -----------------------------------------------------------------------------------


OPEN = WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})
"""Marks a field of which several forms are taken, which a structural schema cannot say."""

ObjectName = Annotated[DnsName, Field(min_length=1)]
"""The name of an object of Kubernetes."""
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class Ref(Part):
    """Another object of the same namespace, in the form of the Go types."""

    api_group: Literal["production-stack.vllm.ai"] = "production-stack.vllm.ai"
    kind: str = ""
    name: ObjectName


def ref_to(kind: str, *, required: bool = False) -> Any:
    """The annotation of a reference to ``kind``: its name, or ``{apiGroup, kind, name}``. The Go
    types allow no other ``kind`` than InferenceService there, whatever is meant, so that is
    taken, too."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and value.get("kind", kind) not in (kind, _GO_KIND):
            raise ValueError(f"names a {value['kind']!s:.60}; a {kind} belongs here")
        return value

    return Annotated[Ref if required else Ref | None, BeforeValidator(read), OPEN]


_GO_KIND = "InferenceService"

Share = Annotated[float, Field(ge=0, le=1)]


def _share(value: Any) -> Any:
    """A number, or the text that the Go types want."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError("a number from 0 to 1 belongs here") from None
    return value


ShareOrText = Annotated[Share, BeforeValidator(_share), OPEN]
"""``0.8`` or ``"0.8"``."""


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class PlainStatus(Part):
    """What every one of these kinds tells of itself."""

    conditions: Conditions = ()
    """What is known, each thing once."""
    observed_generation: Generation | None = None
    """The generation of the spec that all of this was said of."""
    last_updated: Time | None = None
    """When anything else here last changed."""


P = TypeVar("P", bound=Part)


def read(spec: type[P], found: Mapping[str, Any]) -> tuple[P | None, str]:
    """The spec of an object, or what is wrong with it: paths and fixes, for people."""
    try:
        return spec.model_validate(section(found, "spec")), ""
    except ValidationError as error:
        problems = problems_from(error, spec, "spec")
        return None, "; ".join(str(p) for p in problems)[:4000]


# --- what is made ------------------------------------------------------------------------------


def place(found: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of an object."""
    meta = section(found, "metadata")
    return text(meta.get("namespace")), text(meta.get("name"))


def labels(app: str, name: str, component: str = "") -> dict[str, str]:
    """Of every child of ``name``."""
    return common_labels(app, name, MANAGER, component=component)


def some(names: Sequence[str], most: int = 5) -> str:
    """``a, b and 3 more``: lists in messages are bounded."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


# --- what is told ------------------------------------------------------------------------------


class Finding(NamedTuple):
    """A condition: type, status, reason, message, and whether an Event says it, too."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    event: Literal["", "Normal", "Warning"] = ""


def accepted(problem: str, notes: str = "") -> Finding:
    """Whether the spec could be understood; ``notes`` are what of it has no effect."""
    if problem:
        return Finding("Accepted", "False", "InvalidSpec", problem, "Warning")
    return Finding("Accepted", "True", "Accepted", notes)


def resolved(troubles: Sequence[tuple[str, str]]) -> Finding:
    """Whether everything that is referred to is there and fits: reasons and messages."""
    if not troubles:
        return Finding("ResolvedRefs", "True", "ResolvedRefs")
    told = some([message for _, message in troubles])
    return Finding("ResolvedRefs", "False", troubles[0][0], told[:4000], "Warning")


def ready(findings: Sequence[Finding], reason: str = "Ready", message: str = "") -> Finding:
    """Whether all of the others hold; the first that does not says why."""
    for wanted in ("False", "Unknown"):
        for finding in findings:
            if finding.status == wanted:
                why = f"{finding.type}: {finding.message}" if finding.message else finding.type
                return Finding("Ready", finding.status, finding.reason, why)
    return Finding("Ready", "True", reason, message)


def in_use(users: Sequence[str], fields: str) -> Finding:
    """Whether anybody refers to an object that does nothing by itself."""
    if users:
        return Finding("InUse", "True", "Referenced", f"by {some(users)}")
    return Finding("InUse", "False", "NotReferenced", f"nobody names it in {fields}")
