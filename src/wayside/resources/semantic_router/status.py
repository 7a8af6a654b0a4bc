"""What a SemanticRouter's status says: conditions, phase, and the figures beside them.

Every condition is always there. ``True`` is good of all of them but Progressing and Degraded;
``False`` says that somebody has to act and what to do, ``Unknown`` that it will be known in a
while. What was not asked for (no gateway, no Route, no storage) lacks nothing and is ``True``.
Degraded and the phase are made of the other conditions and the Deployment, so that they cannot
say another thing than those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from wayside.resources import Condition, Desired, Trouble
from wayside.resources.semantic_router.backends import Backend
from wayside.resources.semantic_router.backends import status as told_of
from wayside.resources.semantic_router.exposure import Exposure, RouteState
from wayside.resources.semantic_router.gateway import GatewayState
from wayside.resources.semantic_router.rollout import Rollout
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.resources.semantic_router.storage import StorageState

Phase = Literal["Pending", "Progressing", "Running", "Degraded", "Failed", "ScaledToZero"]
Validity = Literal[
    "Valid", "ParseError", "UnknownField", "UnknownModel", "Conflict", "Unsupported"
]

TYPES: Final = (
    "Available",
    "Progressing",
    "Degraded",
    "ConfigValid",
    "BackendsResolved",
    "GatewayReady",
    "StorageReady",
    "RouteReady",
)
STEADY_S: Final = 60.0
WAITING_S: Final = 30.0
"""Until a Gateway, a claim or a Route is looked at again, besides whenever it changes."""
UNRESOLVED_S: Final = 15.0
_NAMED: Final = 5
"""Problems that a message names; the rest is counted."""
_FAULTS: Final = (
    ("ConfigValid", "ConfigInvalid"),
    ("BackendsResolved", "BackendUnresolved"),
    ("GatewayReady", "GatewayNotReady"),
    ("StorageReady", "StorageNotReady"),
    ("RouteReady", "RouteNotReady"),
)
"""Conditions whose ``False`` degrades a router, and the reason that Degraded then has; the first
of several gives the reason."""
_OF_CHILD: Final = {
    "HTTPRoute": "GatewayReady",
    "PersistentVolumeClaim": "StorageReady",
    "Route": "RouteReady",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the status is made of."""

    spec: SemanticRouterSpec
    name: str
    namespace: str
    rollout: Rollout
    backends: Sequence[Backend]
    gateway: GatewayState
    storage: StorageState
    route: RouteState
    exposure: Exposure
    validity: Validity = "Valid"
    """Of the configuration; its reason if there are ``problems``."""
    problems: Sequence[str] = ()
    """Of the configuration, each with the path of its field."""
    waiting: str = ""
    """Why every prompt is refused although nothing is wrong with the spec."""
    notes: Sequence[str] = ()
    """What works otherwise than one might think."""
    digest: str = ""
    """Of the configuration that the pods shall have."""
    observed_digest: str = ""
    """Of the configuration that all of them have."""


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of :class:`wayside.resources.Desired` that tell instead of doing."""

    conditions: tuple[Condition, ...]
    status: Mapping[str, Any]
    again_s: float


def tell(facts: Facts) -> Told:
    """Conditions, status and when to look again."""
    made = conditions(facts)
    return Told(made, _status(facts, made), _again(made))


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """One of each type, in the order of :data:`TYPES`."""
    rest = (
        _config(facts),
        _backends(facts.backends),
        facts.gateway.condition,
        facts.storage.condition,
        facts.route.condition,
    )
    return _with_degraded((_available(facts), facts.rollout.progressing(), *rest), ())


def phase(rollout: Rollout, conditions: Sequence[Condition]) -> Phase:
    """The conditions in one word, for ``kubectl get``."""
    by_type = {one.type: one for one in conditions}
    if rollout.exists and rollout.wanted == 0 and rollout.ready == 0:
        return "ScaledToZero"
    if by_type["Available"].status != "True":
        return "Failed" if by_type["ConfigValid"].status == "False" else "Pending"
    if by_type["Degraded"].status == "True":
        return "Degraded"
    return "Running" if by_type["Progressing"].reason == "Complete" else "Progressing"


def troubled(desired: Desired, troubles: Sequence[Trouble]) -> Desired:
    """``desired`` with conditions that tell what could not be written. A child that has a
    condition of its own is told there, too."""
    if not troubles:
        return desired
    by_type = {one.type: one for one in desired.conditions}
    unwritten = []
    for trouble in troubles:
        kind = _OF_CHILD.get(trouble.kind, "")
        if kind in by_type and by_type[kind].status != "False":
            by_type[kind] = Condition(kind, "False", trouble.reason, _said(trouble), "Warning")
        else:
            unwritten.append(_said(trouble))
    made = _with_degraded(list(by_type.values()), unwritten)
    was = desired.status.get("phase")
    return replace(
        desired,
        conditions=made,
        status={
            **desired.status,
            "phase": "Degraded" if was in ("Running", "Progressing") else was,
        },
        again_s=min(desired.again_s or STEADY_S, WAITING_S),
    )


def not_understood(rollout: Rollout, problems: Sequence[str], validity: Validity) -> Told:
    """For a spec that cannot be read: what runs goes on as it was, and what was not looked at is
    not known."""
    config = Condition(
        "ConfigValid", "False", validity, _listed(problems), "Warning", "ConfigInvalid"
    )
    unread = (
        Condition(kind, "Unknown", "SpecNotUnderstood", "Not looked at: see ConfigValid.")
        for kind in TYPES[TYPES.index("ConfigValid") + 1 :]
    )
    made = _with_degraded((rollout.available(), rollout.progressing(), config, *unread), ())
    status = {
        "phase": phase(rollout, made),
        "replicas": rollout.replicas,
        "readyReplicas": rollout.ready,
    }
    return Told(made, status, STEADY_S)


def _said(trouble: Trouble) -> str:
    return f"{trouble.kind} {trouble.name} cannot be written: {trouble.message}"


# --- conditions --------------------------------------------------------------------------------


def _with_degraded(
    conditions: Sequence[Condition], unwritten: Sequence[str]
) -> tuple[Condition, ...]:
    by_type = {one.type: one for one in conditions}
    faults = [
        (reason, by_type[kind].message)
        for kind, reason in _FAULTS
        if kind in by_type
        and by_type[kind].status == "False"
        and by_type[kind].reason != "NotOpenShift"
    ]
    progress = by_type.get("Progressing")
    if progress and progress.reason in ("RolloutFailed", "ProgressDeadlineExceeded"):
        faults.append(("RolloutFailed", progress.message))
    faults += [("ReconcileError", message) for message in unwritten]
    by_type["Degraded"] = Condition("Degraded", "False", "None", "Nothing is known to be wrong.")
    if faults:
        reason = faults[0][0]
        by_type["Degraded"] = Condition(
            "Degraded",
            "True",
            reason,
            _listed([said.rstrip(".") for _, said in faults], ". ") + ".",
            "Warning" if reason == "ReconcileError" else "",  # the others have told it already
        )
    return tuple(by_type[kind] for kind in TYPES if kind in by_type)


def _available(facts: Facts) -> Condition:
    made = facts.rollout.available()
    if made.status != "True" or not facts.waiting:
        return made
    said = f"Pods run and refuse every prompt with 503: {facts.waiting}."
    return Condition("Available", "False", "NoBackend", said)


def _config(facts: Facts) -> Condition:
    problems = [*facts.problems, *facts.exposure.problems]
    if problems:
        reason = facts.validity if facts.validity != "Valid" else "Conflict"
        return Condition(
            "ConfigValid", "False", reason, _listed(problems), "Warning", "ConfigInvalid"
        )
    notes = [*facts.notes, *facts.exposure.notes]
    advice = f" {_listed(notes)}" if notes else ""
    if not facts.digest:
        return Condition("ConfigValid", "True", "Valid", f"Nothing is wrong.{advice}")
    said = f"Configuration {facts.digest[:12]} is valid.{advice}"
    return Condition("ConfigValid", "True", "Valid", said, "Normal", "ConfigApplied")


def _backends(backends: Sequence[Backend]) -> Condition:
    lost = [one for one in backends if not one.url]
    found = len(backends) - len(lost)
    if not backends:
        return Condition(
            "BackendsResolved",
            "Unknown",
            "NotConfigured",
            "spec.vllmEndpoints names no backend: requests are classified, and none is answered.",
        )
    if not lost:
        warned = [f"{one.name}: {one.message}" for one in backends if one.warning]
        unready = [_why(one) for one in backends if not one.ready]
        said = f"{found} of {found} backends are found."
        if unready:
            said += f" Not ready: {_listed(unready)}"
        if warned:
            said += f" {_listed(warned)}"
        return Condition(
            "BackendsResolved",
            "True",
            "AllResolved",
            said,
            "Warning" if warned else "Normal",
            "BackendAmbiguous" if warned else "BackendResolved",
        )
    why = _listed([_why(one) for one in lost])
    return Condition(
        "BackendsResolved",
        "False",
        "PartiallyResolved" if found else "NoneResolved",
        f"{len(lost)} of {len(backends)} backends are not found: {why}",
        "Warning",
        "BackendUnresolved",
    )


def _why(one: Backend) -> str:
    return f"{one.name}: {one.message or one.reason}"


def _listed(several: Sequence[str], separator: str = "; ") -> str:
    """The first few of several sentences, and how many more there are; at most 4,000
    characters."""
    said = separator.join(one[:700] for one in several[:_NAMED])
    more = len(several) - _NAMED
    return f"{said}{separator}and {more} more" if more > 0 else said


# --- the rest ----------------------------------------------------------------------------------


def _status(facts: Facts, conditions: Sequence[Condition]) -> dict[str, Any]:
    rollout = facts.rollout
    return {
        "phase": phase(rollout, conditions),
        "replicas": rollout.replicas,
        "readyReplicas": rollout.ready,
        "gatewayMode": facts.gateway.mode,
        "openshiftFeatures": facts.route.features,
        "backends": told_of(facts.backends),
        "configHash": facts.digest or None,
        "observedConfigHash": facts.observed_digest or None,
        "route": _route(facts),
        "endpoints": _endpoints(facts),
    }


def _route(facts: Facts) -> dict[str, Any] | None:
    """What leads here from outside: HTTPRoute, OpenShift's Route or Ingress, the first that there
    is. All three have our name."""
    if facts.gateway.route is not None:
        hosts, accepted = facts.gateway.hosts, facts.gateway.accepted
    elif facts.route.route is not None:
        hosts = (facts.route.host,) if facts.route.host else ()
        accepted = bool(facts.route.host)
    elif facts.exposure.hosts:
        hosts, accepted = facts.exposure.hosts, facts.exposure.served
    else:
        return None
    return {"name": facts.name, "hosts": list(hosts), "accepted": accepted}


def _endpoints(facts: Facts) -> dict[str, str]:
    service, host = facts.spec.service, f"{facts.name}.{facts.namespace}.svc"
    scheme = "https" if service.tls.enabled else "http"
    told = {"api": f"{scheme}://{host}:{service.api.port}"}
    if facts.gateway.mode == "standalone":
        told["grpc"] = f"{host}:{service.grpc.port}"
    if service.metrics.enabled:
        told["metrics"] = f"http://{host}:{service.metrics.port}/metrics"
    return told


def _again(conditions: Sequence[Condition]) -> float:
    by_type = {one.type: one for one in conditions}
    if by_type["BackendsResolved"].status == "False":
        return UNRESOLVED_S
    waited_for = ("GatewayReady", "StorageReady", "RouteReady")
    if any(by_type[kind].status != "True" for kind in waited_for):
        return WAITING_S
    return STEADY_S
