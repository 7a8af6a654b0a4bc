"""InferenceCache: its references, and what gateways tell of it (A3-09, A3-10, A3-25)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resources.production_stack import conditions, made, message, put, service
from tests.resources.worlds import FakeWorld
from wayside.resources import Object, Probed
from wayside.resources.inference_cache import InferenceCacheKeeper

KEEPER = InferenceCacheKeeper()


def cache(**spec: Any) -> Object:
    return made("InferenceCache", "cache", **{"modelName": "m", **spec})


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"thresholdHitRate": 1.1}, "thresholdHitRate"),
        ({"thresholdHitRate": "most"}, "a number from 0 to 1"),
        ({"evictionThreshold": -0.1}, "evictionThreshold"),
        ({"evictionTreshold": 0.5}, "did you mean 'evictionThreshold'?"),
    ],
)
def test_thresholds_are_from_0_to_1(policy: dict[str, Any], said: str) -> None:
    """A3-09: what a schema that takes both forms cannot say."""
    desired = KEEPER.desired(cache(kvCacheTransferPolicy=policy), FakeWorld())
    assert conditions(desired)["Ready"] == ("False", "InvalidSpec")
    assert said in message(desired, "Accepted")


def test_its_references_are_looked_for_and_must_fit() -> None:
    """A3-10."""
    found, its = FakeWorld(), cache(pddRef="pdd", sdRef={"name": "sd"})
    desired = KEEPER.desired(its, found)
    assert conditions(desired)["Ready"] == ("False", "RefNotFound")
    put(found, made("PrefillDecodingDisaggregation", "pdd", modelName="other"),
        made("SpeculativeDecoding", "sd", draftModel="d", targetModel="m"))  # fmt: skip
    desired = KEEPER.desired(its, found)
    assert conditions(desired)["ResolvedRefs"] == ("False", "ModelMismatch")
    put(found, made("PrefillDecodingDisaggregation", "pdd", modelName="m"))
    assert conditions(KEEPER.desired(its, found))["Ready"] == ("True", "Ready")


def test_who_uses_it_is_told() -> None:
    found = FakeWorld()
    assert conditions(KEEPER.desired(cache(), found))["InUse"] == ("False", "NotReferenced")
    put(found, made("InferenceService", "a", modelName="m", backendRef="b",
                    inferenceCacheRef={"kind": "InferenceCache", "name": "cache"}))  # fmt: skip
    assert message(KEEPER.desired(cache(), found), "InUse") == "by InferenceService a"


def test_the_gateways_numbers_are_in_its_status() -> None:
    """A3-25: of its own model alone, to the hundredth, so that it is not written all the time."""
    found = FakeWorld(service("door", ("http", 8001)))
    routes = [{"model": "big", "inferenceServiceRef": "a"}]
    put(found, made("InferenceService", "a", modelName="m", backendRef="b",
                    inferenceCacheRef="cache"),
        made("InferenceGateway", "door", routes=routes))  # fmt: skip
    assert KEEPER.desired(cache(), found).status["cacheStats"] is None
    page = (b'wayside_pick_cached_tokens_total{model="big"} 1\n'
            b'wayside_pick_prompt_tokens_total{model="big"} 3\n'
            b'wayside_pick_cached_tokens_total{model="other"} 3\n'
            b'wayside_pick_prompt_tokens_total{model="other"} 3\n'
            b'wayside_endpoint_kv_usage{model="big",endpoint="x"} 0.5\n')  # fmt: skip
    found.probes["http://10.96.0.7:8001/metrics"] = Probed(healthy=True, status=200, body=page)
    stats = KEEPER.desired(cache(), found).status["cacheStats"]
    assert stats == {"hitRate": "0.33", "kvUsage": "0.50"}
