"""Where a router keeps its models: claims that are made, found, grown, kept and refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Kubectl
from tests.resources.worlds import FakeWorld
from wayside.resources import FOR, Object
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.resources.semantic_router.storage import StorageState, farewell, storage
from wayside.vocab.resource import CLAIMS, STORAGE_CLASSES

EMPTY = {"emptyDir": {}}
OURS = {"persistentVolumeClaim": {"claimName": "r-models"}}


def spec(persistence: dict[str, Any] | None = None, **fields: Any) -> SemanticRouterSpec:
    return SemanticRouterSpec.model_validate({"persistence": persistence or {}, **fields})


def a_class(name: str, *, default: bool = False, made: str = "", **fields: Any) -> Object:
    notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "metadata": {"name": name, "annotations": notes, "creationTimestamp": made},
        "provisioner": "x",
        **fields,
    }


FAST = a_class("fast-ssd", allowVolumeExpansion=True)
DEFAULT = a_class("standard", default=True)


def a_claim(name: str = "r-models", **fields: Any) -> Object:
    spec = {
        "accessModes": [fields.pop("mode", "ReadWriteOnce")],
        "storageClassName": fields.pop("of", "fast-ssd"),
        "resources": {"requests": {"storage": fields.pop("size", "10Gi")}},
    }
    phase = fields.pop("phase", "Bound")
    meta = {"name": name, "namespace": "ns", **fields}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def seen(
    wish: SemanticRouterSpec, *claims: Object, classes: tuple[Object, ...] = (FAST, DEFAULT)
) -> StorageState:
    return storage(wish, "r", "ns", FakeWorld(at={STORAGE_CLASSES: classes, CLAIMS: claims}))


def told(state: StorageState) -> tuple[str, str]:
    return state.condition.status, state.condition.reason


# --- a claim that is made


def test_a_claim_of_the_size_and_class_that_are_wished_for() -> None:
    """A1-64, A1-68."""
    wish = spec(
        {
            "size": "10Gi",
            "storageClassName": "fast-ssd",
            "accessMode": "ReadWriteMany",
            "annotations": {"a": "b"},
        }
    )
    state = seen(wish)
    assert state.claim is not None
    assert state.claim["metadata"]["name"] == "r-models"
    assert state.claim["metadata"]["annotations"] == {"a": "b"}
    assert state.claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "10Gi"}},
        "storageClassName": "fast-ssd",
    }
    assert (state.volume, state.unowned, state.recreate) == (OURS, False, False)
    assert told(state) == ("Unknown", "Pending")


def test_a_missing_class_keeps_the_claim_back_and_not_the_router() -> None:
    """A1-65: pods begin with a folder of their own, and move when the class is there."""
    wish = spec({"storageClassName": "fast-ssd"})
    world = FakeWorld(at={STORAGE_CLASSES: [DEFAULT]})
    state = storage(wish, "r", "ns", world)
    assert (state.claim, state.volume) == (None, EMPTY)
    assert told(state) == ("False", "StorageClassNotFound")
    assert state.condition.event == "Warning"
    assert 'StorageClass validation failed: StorageClass "fast-ssd" not found' in (
        state.condition.message
    )
    assert "standard" in state.condition.message
    assert ("get", STORAGE_CLASSES, "", "fast-ssd") in world.looks
    world.put(STORAGE_CLASSES, FAST)
    state = storage(wish, "r", "ns", world)
    assert state.claim is not None
    assert state.volume == OURS


def test_without_a_class_it_is_the_clusters_default() -> None:
    """A1-66."""
    state = seen(spec())
    assert state.claim is not None
    assert state.claim["spec"]["storageClassName"] == "standard"


def test_of_several_defaults_it_is_the_newest() -> None:
    """A1-66: as Kubernetes chooses."""
    several = (
        a_class("old", default=True, made="2026-01-01T00:00:00Z"),
        a_class("new-b", default=True, made="2026-02-01T00:00:00Z"),
        a_class("new-a", default=True, made="2026-02-01T00:00:00Z"),
    )
    state = seen(spec(), classes=several)
    assert state.claim is not None
    assert state.claim["spec"]["storageClassName"] == "new-a"


def test_without_a_default_it_is_told() -> None:
    """A1-66."""
    state = seen(spec(), classes=(FAST,))
    assert told(state) == ("False", "NoDefaultStorageClass")
    assert state.condition.message == (
        "StorageClass validation failed: no StorageClass specified and no default StorageClass "
        "found in cluster"
    )
    assert state.volume == EMPTY


def test_classes_that_may_not_be_seen_are_not_called_missing() -> None:
    """A1-65: the cluster says so itself where there is none."""
    world = FakeWorld(states={STORAGE_CLASSES: "forbidden"})
    state = storage(spec({"storageClassName": "fast-ssd"}), "r", "ns", world)
    assert state.claim is not None
    assert told(state) == ("Unknown", "Pending")


@pytest.mark.parametrize("size", ["0", "0Gi"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    """A1-64."""
    state = seen(spec({"size": size}))
    assert told(state) == ("False", "InvalidSize")
    assert state.condition.message.startswith("persistence.size: ")
    assert (state.claim, state.volume) == (None, EMPTY)


def test_without_persistence_there_is_no_claim() -> None:
    """A1-64."""
    state = seen(spec({"enabled": False}), a_claim())
    assert (state.claim, state.volume, told(state)) == (None, EMPTY, ("True", "Disabled"))


# --- one that is there


@pytest.mark.parametrize(
    ("phase", "status", "reason"),
    [
        ("Bound", "True", "Bound"),
        ("Pending", "Unknown", "Pending"),
        ("", "Unknown", "Pending"),
        ("Lost", "False", "Lost"),
    ],
)
def test_the_claims_phase_is_the_condition(phase: str, status: str, reason: str) -> None:
    """A1-64."""
    state = seen(spec({"storageClassName": "fast-ssd"}), a_claim(phase=phase))
    assert told(state) == (status, reason)
    assert state.volume == OURS


def test_a_claim_outlives_its_class() -> None:
    """A1-65: a class is looked for before a claim is made, and never again."""
    state = seen(spec({"storageClassName": "fast-ssd"}), a_claim(), classes=())
    assert told(state) == ("True", "Bound")
    assert (state.claim is not None, state.volume) == (True, OURS)


@pytest.mark.parametrize(
    ("wish", "claim", "classes", "reason", "said"),
    [
        (
            {"storageClassName": "standard"},
            a_claim(),
            (FAST, DEFAULT),
            "StorageClassImmutable",
            "Write fast-ssd again",
        ),
        (
            {"accessMode": "ReadWriteMany"},
            a_claim(),
            (FAST,),
            "AccessModeImmutable",
            "Write ReadWriteOnce again",
        ),
        ({"size": "5Gi"}, a_claim(), (FAST,), "ShrinkRefused", "Write 10Gi or more"),
        (
            {"size": "20Gi"},
            a_claim(of="standard"),
            (DEFAULT,),
            "ExpansionNotAllowed",
            "StorageClass standard does not allow",
        ),
    ],
)
def test_what_can_never_change_is_told_and_left_as_it_is(
    wish: dict[str, Any], claim: Object, classes: tuple[Object, ...], reason: str, said: str
) -> None:
    """A1-68: no error loop, and the router keeps what it has."""
    state = seen(spec(wish), claim, classes=classes)
    assert told(state) == ("False", reason)
    assert said in state.condition.message
    assert state.volume == OURS
    assert state.claim is not None
    assert state.claim["spec"] == claim["spec"]


def test_a_claim_grows_where_its_class_lets_it() -> None:
    """A1-64."""
    state = seen(spec({"size": "20Gi"}), a_claim())
    assert told(state) == ("True", "Bound")
    assert state.claim is not None
    assert state.claim["spec"]["resources"] == {"requests": {"storage": "20Gi"}}


def test_the_same_size_in_other_words_changes_nothing() -> None:
    """A1-83."""
    state = seen(spec({"size": "10240Mi"}), a_claim(size="10Gi"))
    assert state.claim is not None
    assert state.claim["spec"]["resources"] == {"requests": {"storage": "10Gi"}}


def test_a_claim_that_is_being_deleted_is_made_anew() -> None:
    """A1-69."""
    state = seen(
        spec({"storageClassName": "standard"}), a_claim(deletionTimestamp="2026-01-01T00:00:00Z")
    )
    assert state.claim is not None
    assert state.claim["spec"]["storageClassName"] == "standard"


# --- the user's own


def test_a_claim_of_the_users_is_used_and_none_is_made() -> None:
    """A1-67."""
    state = seen(spec({"existingClaim": "mine"}), a_claim("mine"), classes=())
    assert state.claim is None
    assert state.volume == {"persistentVolumeClaim": {"claimName": "mine"}}
    assert told(state) == ("True", "Bound")


def test_pods_wait_for_a_claim_of_the_users() -> None:
    """A1-67: an empty folder in its place could lack what only that one has."""
    state = seen(spec({"existingClaim": "mine"}))
    assert state.volume == {"persistentVolumeClaim": {"claimName": "mine"}}
    assert told(state) == ("False", "ClaimNotFound")


def test_a_claim_and_a_class_contradict() -> None:
    """A1-67: with the message of the operator's validation."""
    state = seen(spec({"existingClaim": "mine", "storageClassName": "x"}), a_claim("mine"))
    assert told(state) == ("False", "Conflict")
    assert state.condition.message.startswith(
        "cannot specify both persistence.existingClaim and persistence.storageClassName"
    )


# --- several pods


@pytest.mark.parametrize(
    "several",
    [{"replicas": 2}, {"autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 3}}],
)
def test_several_pods_share_a_volume_of_one_node_with_a_warning(several: dict[str, Any]) -> None:
    """A1-70, defect 41: no two generations of pods wait for each other's volume."""
    state = seen(spec(None, **several), a_claim(of="standard"))
    assert state.recreate
    assert told(state) == ("True", "Bound")
    assert state.condition.event == "Warning"
    assert "ReadWriteMany" in state.condition.message


def test_a_volume_of_one_pod_is_refused_to_several() -> None:
    """Defect 41: the second pod could never start."""
    wish = spec({"accessMode": "ReadWriteOncePod"}, replicas=2)
    assert told(seen(wish)) == ("False", "AccessModeConflict")
    bound = a_claim(of="standard", mode="ReadWriteOncePod")
    assert told(seen(wish, bound)) == ("False", "AccessModeConflict")


@pytest.mark.parametrize(("mode", "recreate"), [("ReadWriteOnce", True), ("ReadWriteMany", False)])
def test_pods_take_turns_where_a_volume_is_with_one_node(mode: str, recreate: bool) -> None:
    """Defect 41."""
    assert seen(spec({"accessMode": mode})).recreate is recreate
    assert seen(spec({"existingClaim": "mine"}), a_claim("mine", mode=mode)).recreate is recreate


# --- the end


def test_a_claim_that_shall_stay_has_no_owner() -> None:
    """A1-69."""
    assert seen(spec({"retainOnDelete": True})).unowned
    assert not seen(spec()).unowned


@pytest.mark.parametrize("wish", [{"enabled": False}, {"existingClaim": "mine"}])
@pytest.mark.parametrize("retain", [False, True])
def test_a_claim_that_is_used_no_more_is_kept(wish: dict[str, Any], retain: bool) -> None:
    """A1-69: an edit that is taken back loses nothing; somebody else's claim is not taken."""
    owner = {"kind": "SemanticRouter", "name": "r", "uid": "u", "controller": True}
    ours = a_claim(ownerReferences=[owner])
    state = seen(spec({"retainOnDelete": retain, **wish}), ours)
    assert state.unowned is retain
    assert state.claim is not None
    assert state.claim["metadata"]["name"] == "r-models"
    assert state.volume != OURS
    assert "kubectl delete pvc -n ns r-models" in state.condition.message
    going = {**ours, "metadata": {**ours["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    for found in (going, a_claim()):
        assert seen(spec({"retainOnDelete": retain, **wish}), found).claim is None


@pytest.mark.parametrize(
    ("claims", "retain", "events"),
    [
        ([a_claim(ownerReferences=[{"uid": "u", "controller": True}])], False, ["PVCDeleted"]),
        ([a_claim(ownerReferences=[{"uid": "u", "controller": True}])], True, ["PVCRetained"]),
        ([a_claim(annotations={FOR: "u"})], True, ["PVCRetained"]),
        ([a_claim(annotations={FOR: "other"})], True, []),
        ([a_claim(ownerReferences=[{"uid": "other"}])], False, []),
        ([a_claim()], False, []),
        ([], False, []),
    ],
)
def test_only_what_is_ours_ends_with_us(
    claims: list[Object], retain: bool, events: list[str]
) -> None:
    """A1-69, defect 12: the owner is checked, not the name."""
    world = FakeWorld(at={CLAIMS: claims})
    last = farewell(spec({"retainOnDelete": retain}), "r", "ns", "u", world)
    assert [reason for _, reason, _ in last.events] == events
    assert last.delete == ()
    owned = bool(claims and claims[0]["metadata"].get("ownerReferences"))
    assert bool(last.unowned) is (owned and events == ["PVCRetained"])  # or it goes with us


def test_kubernetes_takes_the_claim(kubectl: Kubectl, namespace: str) -> None:
    """A1-64: under kubectl's strict validation."""
    world = FakeWorld(at={STORAGE_CLASSES: [DEFAULT]})
    claim = storage(spec({"annotations": {"a": "b"}}), "r", namespace, world).claim
    assert claim is not None
    kubectl.apply(claim)
