"""What holds for any spec, and for any neighbours: a condition, never an exception, and objects
that can be written."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import wayside.resources
from tests.resources.production_stack import endpoints, made, pod, put, service
from tests.resources.test_production_stack_schemas import GO
from tests.resources.worlds import FakeWorld
from wayside.catalog import discover
from wayside.manifests.production_stack import KINDS
from wayside.resources import NOW, Object, Trouble, kinds
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES, resource_of

discover(wayside.resources)
KEEPERS = {kind.kind: kind for kind in kinds("router-controller")}
README: dict[str, dict[str, Any]] = {
    "InferenceService": {
        "modelName": "m",
        "backendRef": "llama",
        "inferenceCacheRef": "it",
        "nlpFilters": {"semanticCache": {"storeRef": "llama", "threshold": 0.85}},
    },
    "InferenceGateway": {
        "schedulingPolicy": "gpu-load-aware",
        "routeStrategy": "PrefixHash",
        "sessionAffinity": True,
        "routes": [{"model": "m", "inferenceServiceRef": "it"}],
    },
    "InferenceCache": {"modelName": "m", "pddRef": "it", "sdRef": "it"},
    "SpeculativeDecoding": {"draftModel": "d", "targetModel": "m"},
    "PrefillDecodingDisaggregation": {"modelName": "m"},
    "StaticRoute": {"staticBackends": "http://a", "staticModels": "m"},
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["it", "llama", "${HOME}", "$$", "\0", "a" * 300, "http://[::1", "0.5", "m"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.just({"name": "it"}),
    st.just({"kind": "Backend", "group": "gateway.envoyproxy.io", "name": "it"}),
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a spec."""
    found = [here] if here else []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        found += [path for key in keys for path in paths(value[key], (*here, key))]
    return found


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[list[Object], FakeWorld]:
    """All six kinds, all called ``it``, with up to three things in them replaced."""
    specs = {k: copy.deepcopy(draw(st.sampled_from([README[k], GO[k]]))) for k in GO}
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(sorted(specs)))
        *way, last = draw(st.sampled_from(paths(specs[kind])))
        inner: Any = specs[kind]
        for key in way:
            inner = inner[key]
        inner[last] = copy.deepcopy(draw(ODD))
    objects = [made(kind, "it", **spec) for kind, spec in specs.items()]
    world = FakeWorld(settings={"GPU_METRICS_ENDPOINT": draw(st.sampled_from(["", "gpu:9400"]))})
    put(world, *objects)
    if draw(st.booleans()):
        found = service("llama")
        if draw(st.booleans()):
            found["spec"] = draw(ODD)
        world.put(SERVICES, found)
        slices = endpoints("llama", ("10.0.0.1", "p"), ("fd00::1", "d"))
        if draw(st.booleans()):
            slices["endpoints"].append(copy.deepcopy(draw(ODD)))
        world.put(ENDPOINT_SLICES, slices)
        world.put(PODS, pod("p", {"llm-d.ai/role": "prefill"}))
    return objects, world


@settings(max_examples=150, deadline=None)
@given(neighbourhoods())
def test_any_spec_makes_objects_or_a_condition(made_: tuple[list[Object], FakeWorld]) -> None:
    objects, world = made_
    for found in objects:
        kind = KEEPERS[found["kind"]]
        before = copy.deepcopy(found)
        desired = kind.keeper.desired(found, world)
        assert found == before, "objects are shared, and only read"
        types = [c.type for c in desired.conditions]
        assert len(types) == len(set(types)) and {"Accepted", "Ready"} <= set(types)
        statuses = {c.type: c.status for c in desired.conditions}
        if statuses["Accepted"] == "False":
            assert statuses["Ready"] == "False" and not desired.children
            assert not desired.prune or not kind.owns
        assert all(len(c.message) < 32768 for c in desired.conditions)
        for child in desired.children:
            assert resource_of(child) in kind.owns
        json.dumps([desired.children, desired.status], allow_nan=False)
        assert desired.status["lastUpdated"] == NOW
        told = {k for k, v in desired.status.items() if v is not None}
        assert told <= {f.alias for f in kind.status.model_fields.values()}
        told_of = kind.keeper.troubled(desired, found, [Trouble("X", "x", "Refused", "no")])
        if kind.owns:
            assert {c.type: c.status for c in told_of.conditions}["Ready"] == "False"
        assert kind.keeper.desired(found, world) == desired, "the same makes the same"


def test_every_kind_declares_what_it_looks_at() -> None:
    """So that its Role has the rights: each look is of what it owns or reads."""
    world = FakeWorld(service("llama"))
    world.put(ENDPOINT_SLICES, endpoints("llama", ("10.0.0.1", "p")))
    world.put(PODS, pod("p", {"llm-d.ai/role": "prefill"}, nodeName="n"))
    objects = [made(kind, "it", **spec) for kind, spec in README.items()]
    objects[-1]["spec"]["routerRef"] = {"name": "llama"}
    objects[4]["spec"]["topologyHint"] = {"nodeSelector": {"zone": "a"}}
    put(world, *objects)
    for found in objects:
        kind = KEEPERS[found["kind"]]
        world.looks.clear()
        kind.keeper.desired(found, world)
        looked = {look[1] for look in world.looks if look[0] in ("get", "all", "state")}
        allowed = {*kind.owns, *kind.reads, KINDS[kind.kind]}
        assert looked <= allowed, (kind.kind, looked - allowed)
