"""PrefillDecodingDisaggregation: who reads prompts and who writes answers (A3-10, A3-12)."""

from __future__ import annotations

from typing import Any

from tests.resources.production_stack import (
    conditions,
    endpoints,
    made,
    message,
    pod,
    put,
    service,
)
from tests.resources.worlds import FakeWorld
from wayside.resources import Object
from wayside.resources.prefill_decoding_disaggregation import PrefillDecodingKeeper
from wayside.vocab.resource import ENDPOINT_SLICES, PODS

KEEPER = PrefillDecodingKeeper()
ROLE = "llm-d.ai/role"
HINT = {"nodeSelector": {"zone": "rack1"}}


def pdd(**spec: Any) -> Object:
    its = {"modelName": "m", "topologyHint": HINT, **spec}
    return made("PrefillDecodingDisaggregation", "pdd", **its)


def world(*pods: Object) -> FakeWorld:
    """A service that comes to it through its cache, and the pods behind its Service."""
    found = FakeWorld(service("llama"), *pods)
    names = [(f"10.0.0.{i}", p["metadata"]["name"]) for i, p in enumerate(pods)]
    found.put(ENDPOINT_SLICES, endpoints("llama", *names))
    return put(found, pdd(), made("InferenceCache", "c", modelName="m", pddRef="pdd"),
               made("InferenceService", "s", modelName="m", backendRef="llama",
                    inferenceCacheRef="c"))  # fmt: skip


def test_the_pools_are_counted_and_named() -> None:
    found = world(
        pod("p", {ROLE: "prefill", "zone": "rack1"}),
        pod("d", {ROLE: "decode", "zone": "rack1"}),
        pod("both", {ROLE: "both", "zone": "rack1"}),
        pod("far", {ROLE: "decode", "zone": "rack2"}),
    )
    desired = KEEPER.desired(pdd(), found)
    assert conditions(desired)["Ready"] == ("True", "Ready")
    status = dict(desired.status)
    assert status.pop("lastUpdated")
    assert status == {
        "prefillPodName": "p", "decodePodName": "d", "prefillPods": 2, "decodePods": 2,
        "otherPods": 1,
    }  # fmt: skip


def test_a_pool_that_is_empty_is_told_until_it_is_not() -> None:
    found = world(pod("d", {ROLE: "decode", "zone": "rack1"}), pod("p", {"zone": "rack1"}))
    desired = KEEPER.desired(pdd(), found)
    assert conditions(desired)["Ready"] == ("False", "NoPrefillPods")
    assert "InferenceService s" in message(desired, "PoolsReady")
    assert desired.status["prefillPods"] == 0
    found.put(PODS, pod("p", {ROLE: "prefill", "zone": "rack1"}))
    assert conditions(KEEPER.desired(pdd(), found))["Ready"] == ("True", "Ready")


def test_nobody_comes_to_it() -> None:
    told = conditions(KEEPER.desired(pdd(), FakeWorld()))
    assert told["InUse"] == ("False", "NotReferenced")
    assert told["PoolsReady"] == ("Unknown", "NotReferenced")


def test_an_engine_without_its_arguments_is_refused() -> None:
    """The Go form's `engineConfig`."""
    for engine, config, said in (
        ("vllm", {"max-num-seqs": "1", "max-num-batched-tokens": "1"}, "tensor-parallel-size"),
        ("sglang", {"max-num-seqs": "0", "max-num-batched-tokens": "1"}, "max-num-seqs"),
    ):
        desired = KEEPER.desired(pdd(engine=engine, engineConfig=config), FakeWorld())
        assert conditions(desired)["Accepted"] == ("False", "InvalidSpec")
        assert f"engineConfig.{said}" in message(desired, "Accepted")
