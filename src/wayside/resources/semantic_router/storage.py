"""Where a router keeps the models that it has fetched.

What lies there can be fetched again, which decides two questions. A claim that cannot be made (no
such StorageClass) keeps no router from answering: its pods begin with a folder of their own, and
move to the claim when it can be made. And a claim goes with its SemanticRouter unless
``persistence.retainOnDelete`` says otherwise. A claim that the user made is another matter: it may
hold what no other place has, so pods wait for it, and it is never changed or deleted.

A claim that was made stays in use whatever becomes of its class. What can never be changed about
it (class, access mode, a smaller size) is left as it is, and told. It stays there, out of use,
when persistence is disabled or another claim is named: an edit that is taken back loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from wayside.manifests.meta import labels
from wayside.manifests.storage import bytes_of, claim
from wayside.resources import FOR, Condition, Farewell, Object, World
from wayside.resources.semantic_router.pod_spec import PersistenceSpec
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import CLAIMS, STORAGE_CLASSES

DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_ONE_NODE: Final = ("ReadWriteOnce", "ReadWriteOncePod")


@dataclass(frozen=True, slots=True)
class StorageState:
    """The claim, what the pods mount, and how it fares."""

    volume: Mapping[str, Any]
    """The pods' volume without its name: a claim, or an empty folder."""
    condition: Condition
    """StorageReady. ``Unknown`` while a claim waits for its volume."""
    claim: Object | None = None
    """The claim that shall be."""
    unowned: bool = False
    """Whether it shall outlive the SemanticRouter."""
    recreate: bool = False
    """Whether old pods have to be gone before new ones start, because the volume is with one node
    (or one pod) at a time and each would wait for the other."""


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str
    message: str


def claim_name(name: str) -> str:
    """The claim of the SemanticRouter ``name``."""
    return f"{name}-models"


def storage(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> StorageState:
    """The claim and the volume that ``spec.persistence`` asks for."""
    wish = spec.persistence
    found = world.get(CLAIMS, claim_name(name), namespace)
    if found is not None and _deleted(found):
        found = None
    if wish.enabled and not wish.existing_claim:
        if found is not None:
            return _there(spec, name, namespace, found, world)
        return _new(spec, name, namespace, world)
    if wish.enabled:
        state = _theirs(spec, wish.existing_claim, namespace, world)
    else:
        off = "persistence is off: each pod has a folder of its own."
        state = StorageState({"emptyDir": {}}, _ready("True", "Disabled", off))
    if found is None or not _made_for(found, name):
        return state
    kept = _there(spec, name, namespace, found, world).claim
    if claim_name(name) == wish.existing_claim:  # ours by now is theirs: it is let go of
        return replace(state, claim=kept, unowned=True)
    said = (
        f" Claim {claim_name(name)} is not used any more, and kept with what is in it; "
        f"`kubectl delete pvc -n {namespace} {claim_name(name)}` frees its volume."
    )
    told = replace(state.condition, message=state.condition.message + said)
    return replace(state, condition=told, claim=kept, unowned=wish.retain_on_delete)


def _made_for(found: Object, name: str) -> bool:
    """Whether the claim was made for the SemanticRouter ``name``."""
    meta = section(found, "metadata")
    return FOR in section(meta, "annotations") or any(
        owner.get("kind") == "SemanticRouter" and owner.get("name") == name
        for owner in sections(meta.get("ownerReferences"))
    )


def _theirs(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> StorageState:
    found = world.get(CLAIMS, name, namespace)
    mode = _mode(found) if found is not None else ""
    volume = {"persistentVolumeClaim": {"claimName": name}}
    if spec.persistence.storage_class_name:
        condition = _refused(
            "Conflict",
            "cannot specify both persistence.existingClaim and persistence.storageClassName; "
            f"claim {name} is used as it is",
        )
    elif found is None and world.state(CLAIMS) == "synced":
        condition = _refused(
            "ClaimNotFound",
            f"persistence.existingClaim: claim {namespace}/{name} not found; the pods wait for "
            "it. Create it, or take the field away to have one made.",
        )
    else:
        condition = _bound(found, name, spec, mode)
    return StorageState(volume, condition, recreate=mode in _ONE_NODE)


def _new(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> StorageState:
    wish = spec.persistence
    blind = world.state(STORAGE_CLASSES) == "forbidden"
    fault = _bad_size(wish) or (None if blind else _bad_class(wish, world))
    if fault is not None:
        told = _refused(fault.reason, fault.message)
        if "StorageClass" in fault.reason:
            told = replace(told, event_reason="StorageClassNotFound")
        return StorageState({"emptyDir": {}}, told)
    return StorageState(
        _volume(name),
        _pending_or_shared(spec, name),
        _claim(wish, name, namespace, wish.size, wish.access_mode, _class(wish, world)),
        wish.retain_on_delete,
        wish.access_mode in _ONE_NODE,
    )


def _there(
    spec: SemanticRouterSpec, name: str, namespace: str, found: Object, world: World
) -> StorageState:
    """A claim that was made earlier: all that is immutable is said as it is."""
    wish, mode = spec.persistence, _mode(found)
    has = text(section(found, "spec").get("storageClassName")) or None
    fault = None
    if wish.storage_class_name and has not in (None, wish.storage_class_name):
        fault = _Fault(
            "StorageClassImmutable",
            f"persistence.storageClassName is {wish.storage_class_name}, and claim "
            f"{claim_name(name)} is of {has}: a claim's class cannot be changed. Write {has} "
            "again, or copy what you need, delete the claim, and it is made anew.",
        )
    elif mode and mode != wish.access_mode:
        fault = _Fault(
            "AccessModeImmutable",
            f"persistence.accessMode is {wish.access_mode}, and claim {claim_name(name)} is "
            f"{mode}: a claim's access mode cannot be changed. Write {mode} again, or delete the "
            "claim, and it is made anew.",
        )
    size, refusal = _grown(wish, found, has, world)
    fault = fault or refusal
    condition = (
        _refused(fault.reason, fault.message)
        if fault is not None
        else _bound(found, claim_name(name), spec, mode)
    )
    return StorageState(
        _volume(name),
        condition,
        _claim(wish, name, namespace, size, mode or wish.access_mode, has),
        wish.retain_on_delete,
        mode in _ONE_NODE,
    )


def _grown(
    wish: PersistenceSpec, found: Object, has: str | None, world: World
) -> tuple[str, _Fault | None]:
    """The size that the claim shall ask for, and why it is not the one wished for."""
    asked = text(section(found, "spec", "resources", "requests").get("storage"))
    wanted = wish.size
    fault = _bad_size(wish)
    if fault is not None:
        return asked or wish.size, fault
    try:
        was = bytes_of(asked)
    except ValueError:
        return wanted, None
    will = bytes_of(wanted)
    if will == was:
        return asked, None
    if will < was:
        return asked, _Fault(
            "ShrinkRefused",
            f"persistence.size is {wanted}, and the claim has {asked}: a claim cannot shrink. "
            f"Write {asked} or more, or delete the claim, and it is made anew.",
        )
    kind = world.get(STORAGE_CLASSES, has) if has else None
    if kind is not None and kind.get("allowVolumeExpansion") is not True:
        return asked, _Fault(
            "ExpansionNotAllowed",
            f"persistence.size is {wanted}, the claim has {asked}, and StorageClass {has} does "
            "not allow volumes to grow (allowVolumeExpansion). Write the size that it has, or "
            "delete the claim, and it is made anew.",
        )
    return wanted, None


def _bad_size(wish: PersistenceSpec) -> _Fault | None:
    try:
        bytes_of(wish.size)
    except ValueError as error:
        return _Fault("InvalidSize", f"persistence.size: {error}")
    return None


def _bad_class(wish: PersistenceSpec, world: World) -> _Fault | None:
    if wish.storage_class_name:
        if world.get(STORAGE_CLASSES, wish.storage_class_name) is not None:
            return None
        have = [text(section(c, "metadata").get("name")) for c in world.all(STORAGE_CLASSES)]
        return _Fault(
            "StorageClassNotFound",
            f'StorageClass validation failed: StorageClass "{wish.storage_class_name}" not found'
            f" (the cluster has {', '.join(have[:10]) or 'none'})",
        )
    if _default_class(world) is not None:
        return None
    return _Fault(
        "NoDefaultStorageClass",
        "StorageClass validation failed: no StorageClass specified and no default StorageClass "
        "found in cluster",
    )


def _class(wish: PersistenceSpec, world: World) -> str | None:
    return wish.storage_class_name or _default_class(world)


def _default_class(world: World) -> str | None:
    """The newest of those that are marked as the default, as Kubernetes chooses."""
    marked = []
    for found in world.all(STORAGE_CLASSES):
        meta = section(found, "metadata")
        notes = section(meta, "annotations")
        if any(notes.get(key) == "true" for key in DEFAULT_CLASS):
            marked.append((text(meta.get("creationTimestamp")), text(meta.get("name"))))
    if not marked:
        return None
    newest = max(stamp for stamp, _ in marked)
    return min(name for stamp, name in marked if stamp == newest)


def _claim(
    wish: PersistenceSpec,
    name: str,
    namespace: str,
    size: str,
    access_mode: str,
    storage_class: str | None,
) -> Object:
    return claim(
        claim_name(name),
        namespace,
        labels("semantic-router", name, "semantic-router-operator"),
        size=size,
        access_mode=access_mode,
        storage_class=storage_class,
        annotations=wish.annotations,
    )


def _volume(name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": claim_name(name)}}


# --- how it fares ------------------------------------------------------------------------------


def _bound(found: Object | None, name: str, spec: SemanticRouterSpec, mode: str) -> Condition:
    phase = text(section(found, "status").get("phase"))
    if phase == "Lost":
        return _refused(
            "Lost", f"Claim {name} has lost its volume; delete the claim, and it is made anew."
        )
    alone = _alone(spec, mode)
    if alone is not None:
        return alone
    if phase != "Bound":
        return _ready(
            "Unknown",
            "Pending",
            f"Claim {name} waits for its volume; `kubectl describe pvc {name}` tells why.",
        )
    size = text(section(found, "status", "capacity").get("storage"))
    advice = _shared(spec, mode)
    return Condition(
        "StorageReady",
        "True",
        "Bound",
        f"Claim {name} has its volume{f' of {size}' if size else ''}.{advice}",
        "Warning" if advice else "",
    )


def _pending_or_shared(spec: SemanticRouterSpec, name: str) -> Condition:
    return _alone(spec, spec.persistence.access_mode) or _ready(
        "Unknown",
        "Pending",
        f"Claim {claim_name(name)} is being made." + _shared(spec, spec.persistence.access_mode),
    )


def _several(spec: SemanticRouterSpec) -> bool:
    scaling = spec.autoscaling
    return scaling.max_replicas > 1 if scaling.enabled else spec.replicas > 1


def _alone(spec: SemanticRouterSpec, mode: str) -> Condition | None:
    if mode != "ReadWriteOncePod" or not _several(spec):
        return None
    return _refused(
        "AccessModeConflict",
        "persistence.accessMode ReadWriteOncePod lets one pod only have the volume, and there "
        "shall be several. Use ReadWriteMany, set persistence.enabled to false, or run one.",
    )


def _shared(spec: SemanticRouterSpec, mode: str) -> str:
    if mode != "ReadWriteOnce" or not _several(spec):
        return ""
    return (
        " persistence.accessMode ReadWriteOnce lets the pods of one node only have it: pods on "
        "other nodes wait, and pods are replaced all at once. With several replicas use "
        "ReadWriteMany, or set persistence.enabled to false."
    )


def _mode(found: Object) -> str:
    modes = section(found, "spec").get("accessModes")
    return text(modes[0]) if isinstance(modes, list) and modes else ""


def _deleted(found: Object) -> bool:
    return "deletionTimestamp" in section(found, "metadata")


def _refused(reason: str, message: str) -> Condition:
    return _ready("False", reason, message, "Warning")


def _ready(
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    event: Literal["", "Normal", "Warning"] = "",
) -> Condition:
    return Condition("StorageReady", status, reason, message, event)


# --- farewell ----------------------------------------------------------------------------------


def farewell(
    spec: SemanticRouterSpec, name: str, namespace: str, uid: str, world: World
) -> Farewell:
    """What becomes of the claim when its SemanticRouter ``uid`` is deleted. One that somebody
    else owns, or that was made for another SemanticRouter of this name, is not touched."""
    found = world.get(CLAIMS, claim_name(name), namespace)
    if found is None:
        return Farewell()
    meta = section(found, "metadata")
    owners = meta.get("ownerReferences")
    owned = isinstance(owners, list) and any(
        isinstance(owner, Mapping) and owner.get("uid") == uid for owner in owners
    )
    kept_for_us = section(meta, "annotations").get(FOR) == uid
    where = f"Claim {namespace}/{claim_name(name)}"
    theirs = spec.persistence.existing_claim == claim_name(name)
    if owned and not spec.persistence.retain_on_delete and not theirs:
        return Farewell(
            events=(("Normal", "PVCDeleted", f"{where} goes with its SemanticRouter."),)
        )
    if owned or kept_for_us:
        says = "existingClaim" if theirs else "retainOnDelete"
        told = (
            f"{where} is kept, as persistence.{says} says; `kubectl delete pvc "
            f"-n {namespace} {claim_name(name)}` frees its volume."
        )
        kept = _there(spec, name, namespace, found, world).claim if owned else None
        return Farewell(
            unowned=() if kept is None else (kept,),
            events=(("Normal", "PVCRetained", told),),
        )
    return Farewell()
