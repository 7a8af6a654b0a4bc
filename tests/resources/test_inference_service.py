"""InferenceService: what it is told of its references, and what engines are told (A3-03, A3-09 to
A3-12)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.resources.production_stack import (
    NAMESPACE,
    conditions,
    endpoints,
    made,
    message,
    put,
    service,
)
from tests.resources.worlds import FakeWorld
from wayside.manifests.production_stack import INFERENCE_CACHES, INFERENCE_GATEWAYS
from wayside.resources import Desired, Object, Trouble
from wayside.resources.inference_service import InferenceServiceKeeper
from wayside.vocab.resource import ENDPOINT_SLICES, SERVICES

KEEPER = InferenceServiceKeeper()


def chatbot(**spec: Any) -> Object:
    its = {"modelName": "llama3-70b", "backendRef": "llama3", "inferenceCacheRef": "cache", **spec}
    return made("InferenceService", "chatbot", **its)


def world(**cache: Any) -> FakeWorld:
    found = FakeWorld(service("llama3"))
    found.put(ENDPOINT_SLICES, endpoints("llama3", ("10.0.0.1", "a"), ("10.0.0.2", "b")))
    return put(found, made("InferenceCache", "cache", modelName="llama3-70b", **cache))


def files(desired: Desired) -> dict[str, Any]:
    (found,) = desired.children
    assert found["metadata"]["name"] == "chatbot-engine" == desired.status["engineConfigRef"]
    return {name: yaml.safe_load(text) for name, text in found["data"].items()}


def test_what_is_missing_is_named_one_after_the_other() -> None:
    """A3-03, A3-10: and each is looked at again when it appears."""
    found = FakeWorld()
    desired = KEEPER.desired(chatbot(), found)
    told = message(desired, "ResolvedRefs")
    assert "Service models/llama3 is not there" in told
    assert "InferenceCache models/cache is not there" in told
    assert conditions(desired)["BackendReady"] == ("False", "BackendNotFound")
    found.put(SERVICES, service("llama3"))
    put(found, made("InferenceCache", "cache", modelName="llama3-70b", pddRef="pdd", sdRef="sd"))
    told = message(KEEPER.desired(chatbot(), found), "ResolvedRefs")
    assert "PrefillDecodingDisaggregation models/pdd is not there" in told
    assert "SpeculativeDecoding models/sd is not there" in told
    assert ("get", INFERENCE_CACHES, NAMESPACE, "cache") in found.looks


def test_ready_is_a_backend_with_endpoints_and_all_references() -> None:
    found = world()
    desired = KEEPER.desired(chatbot(), found)
    assert conditions(desired)["Ready"] == ("True", "Ready")
    assert desired.status["readyEndpoints"] == 2 and desired.status["backend"] == "Service/llama3"
    found.remove(ENDPOINT_SLICES, "llama3-1", NAMESPACE)
    desired = KEEPER.desired(chatbot(), found)
    assert conditions(desired)["Ready"] == ("False", "NoReadyEndpoints")


def test_who_routes_to_it_is_told_in_both_directions() -> None:
    found = world()
    assert conditions(KEEPER.desired(chatbot(), found))["InUse"] == ("False", "NotReferenced")
    routes = [{"model": "m", "inferenceServiceRef": "chatbot"}]
    put(found, made("InferenceGateway", "door", routes=routes))
    desired = KEEPER.desired(chatbot(), found)
    assert message(desired, "InUse") == "by InferenceGateway door"
    assert ("all", INFERENCE_GATEWAYS, NAMESPACE) in found.looks


@pytest.mark.parametrize(
    ("ports", "port", "reason"),
    [
        ([("grpc", 9), ("http", 8000)], None, ""),
        ([("grpc", 9), ("web", 80)], None, "NoPort"),
        ([("grpc", 9), ("web", 80)], 80, ""),
        ([("web", 80)], 81, "NoPort"),
        ([("web", 80)], None, ""),
    ],
)
def test_the_port_of_a_backend(
    ports: list[tuple[str, int]], port: int | None, reason: str
) -> None:
    found = world()
    found.put(SERVICES, service("llama3", *ports))
    ref = {"name": "llama3", **({"port": port} if port else {})}
    told = conditions(KEEPER.desired(chatbot(backendRef=ref), found))["ResolvedRefs"]
    assert told == (("False", reason) if reason else ("True", "ResolvedRefs"))


# --- engines -----------------------------------------------------------------------------------


def test_nothing_is_rendered_where_nothing_is_said_of_engines() -> None:
    desired = KEEPER.desired(chatbot(inferenceCacheRef=None), world())
    assert not desired.children and desired.status["engineConfigRef"] is None


def test_a_cache_becomes_lmcache_and_a_patch_for_a_deployment() -> None:
    """A3-09: every field of the Go form is somewhere."""
    found = world(
        cacheSize=10_000_000_000, cacheType="hybrid", image="vllm:1", tensorParallelSize=2,
        resources={"limits": {"nvidia.com/gpu": 2}},
        disaggregatedPrefillConfig={
            "enabled": True, "prefillInstanceType": "decode", "connectorType": "custom",
            "connectorConfig": {"kv_connector": "Mine", "a": "b"},
            "lookupBufferConfig": {"maxSize": 77, "evictionPolicy": "fifo"}},
    )  # fmt: skip
    its = files(KEEPER.desired(chatbot(), found))
    assert its["lmcache.yaml"] == {
        "chunk_size": 256, "local_cpu": True, "max_local_cpu_size": 10.0, "cache_policy": "FIFO",
    }  # fmt: skip
    vllm = its["vllm.yaml"]
    assert vllm["tensor-parallel-size"] == 2 and vllm["model"] == "llama3-70b"
    mine, lmcache = json.loads(vllm["kv-transfer-config"])["kv_connector_extra_config"][
        "connectors"
    ]
    assert mine == {
        "kv_connector": "Mine", "kv_role": "kv_consumer", "kv_buffer_size": 77,
        "kv_connector_extra_config": {"a": "b"},
    }  # fmt: skip
    assert lmcache["kv_connector"] == "LMCacheConnectorV1"
    (container,) = its["patch.yaml"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "vllm:1"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 2}}
    assert container["args"] == ["--config=/etc/wayside/engine/vllm.yaml"]


def test_redis_carries_caches_and_attention_keeps_them_in_the_engine() -> None:
    apart = {"enabled": True, "connectorType": "redis", "connectorConfig": {"url": "redis://r:1"}}
    found = world(disaggregatedPrefillConfig=apart)
    its = files(KEEPER.desired(chatbot(), found))
    assert its["lmcache.yaml"]["remote_url"] == "redis://r:1"
    its = files(KEEPER.desired(chatbot(), world(cacheType="attention")))
    assert "lmcache.yaml" not in its and "kv-transfer-config" not in its["vllm.yaml"]
    assert its["vllm.yaml"]["enable-prefix-caching"] is True


@pytest.mark.parametrize(
    ("spec", "config"),
    [
        ({"draftModel": "llama3-1b", "targetModel": "llama3-70b"},
         {"method": "draft_model", "model": "llama3-1b", "num_speculative_tokens": 5}),
        ({"draftModel": "d", "numSpeculativeTokens": 3, "draftTensorParallelSize": 2,
          "draftModelConfig": {"temperature": "0", "max_tokens": "99"}},
         {"method": "draft_model", "model": "d", "num_speculative_tokens": 3,
          "draft_tensor_parallel_size": 2, "max_model_len": 99}),
        ({"speculationType": "ngram", "promptLookupMax": 4},
         {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}),
        ({"speculationType": "eagle", "draftModel": "e"},
         {"method": "eagle", "model": "e", "num_speculative_tokens": 5}),
        ({"speculationType": "mlp", "draftModel": "e"},
         {"method": "mlp_speculator", "model": "e", "num_speculative_tokens": 5}),
    ],
)  # fmt: skip
def test_speculation_is_told_in_vllms_words(spec: dict[str, Any], config: dict[str, Any]) -> None:
    """A3-11: by the service that names it, or by its cache."""
    for found, its in (
        (world(sdRef="sd"), {}),
        (world(), {"speculativeDecodingRef": "sd", "inferenceCacheRef": None}),
    ):
        put(found, made("SpeculativeDecoding", "sd", **spec))
        said = files(KEEPER.desired(chatbot(**its), found))["vllm.yaml"]["speculative-config"]
        assert json.loads(said) == config


def test_two_sorts_of_pods_are_told_two_things() -> None:
    """A3-12: each part its role, its resources and its place."""
    found = world(pddRef="pdd")
    args = {"tensor-parallel-size": "2", "max-num-batched-tokens": "8192", "max-num-seqs": "64",
            "enforce-eager": "true"}  # fmt: skip
    put(found, made("PrefillDecodingDisaggregation", "pdd", modelName="llama3-70b",
                    topologyHint={"nodeSelector": {"zone": "rack1"}}, engineConfig=args,
                    prefillResources={"limits": {"cpu": "1"}},
                    decodeResources={"limits": {"cpu": "2"}}))  # fmt: skip
    its = files(KEEPER.desired(chatbot(), found))
    for part, role, cpu in (("prefill", "kv_producer", "1"), ("decode", "kv_consumer", "2")):
        vllm = its[f"vllm-{part}.yaml"]
        assert vllm["max-num-seqs"] == 64 and vllm["enforce-eager"] is True
        nixl = json.loads(vllm["kv-transfer-config"])["kv_connector_extra_config"]["connectors"][0]
        assert nixl == {"kv_connector": "NixlConnector", "kv_role": role}
        template = its[f"patch-{part}.yaml"]["spec"]["template"]
        assert template["metadata"]["labels"] == {"llm-d.ai/role": part}
        assert template["spec"]["nodeSelector"] == {"zone": "rack1"}
        assert template["spec"]["containers"][0]["resources"]["limits"]["cpu"] == cpu


def test_sglang_is_told_in_its_own_words() -> None:
    found = world(pddRef="pdd")
    args = {"max-num-batched-tokens": "8192", "max-num-seqs": "64"}
    put(found, made("PrefillDecodingDisaggregation", "pdd", modelName="llama3-70b",
                    engine="sglang", engineConfig=args))  # fmt: skip
    its = files(KEEPER.desired(chatbot(), found))
    assert its["sglang-decode.yaml"]["disaggregation-mode"] == "decode"


def test_references_that_contradict_each_other_are_told() -> None:
    found = put(world(sdRef="one"), *(made("SpeculativeDecoding", n, draftModel=n)
                                      for n in ("one", "two")))  # fmt: skip
    desired = KEEPER.desired(chatbot(speculativeDecodingRef="two"), found)
    assert conditions(desired)["ResolvedRefs"] == ("False", "RefConflict")
    assert '"model":"two"' in files(desired)["vllm.yaml"]["speculative-config"]


def test_a_mistake_and_a_taken_name_are_told() -> None:
    before = {"engineConfigRef": "chatbot-engine", "readyEndpoints": 2}
    desired = KEEPER.desired({**chatbot(backendRef=7), "status": before}, world())
    assert conditions(desired)["Accepted"] == ("False", "InvalidSpec") and not desired.prune
    assert desired.status["engineConfigRef"] == "chatbot-engine"
    desired = KEEPER.desired(chatbot(), world())
    trouble = Trouble("ConfigMap", "chatbot-engine", "NameTaken", "it is taken")
    told = KEEPER.troubled(desired, chatbot(), [trouble])
    assert conditions(told)["Ready"] == ("False", "NameTaken")
    assert told.status["engineConfigRef"] is None
