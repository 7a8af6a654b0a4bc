"""SpeculativeDecoding: what it means to vLLM, and who uses it (A3-11)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resources.production_stack import conditions, made, message, put
from tests.resources.worlds import FakeWorld
from wayside.resources import NOW
from wayside.resources.speculative_decoding import SpeculativeDecodingKeeper

KEEPER = SpeculativeDecodingKeeper()


def test_the_readme_form_is_complete() -> None:
    found = made("SpeculativeDecoding", "sd", draftModel="llama3-1b", targetModel="llama3-70b")
    desired = KEEPER.desired(found, FakeWorld())
    assert conditions(desired)["Ready"] == ("True", "Ready")
    assert desired.status == {
        "speculativeConfig": '{"method":"draft_model","model":"llama3-1b",'
        '"num_speculative_tokens":5}',
        "lastUpdated": NOW,
    }


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "draftModel: draft needs one"),
        ({"draftModel": "a", "targetModel": "a"}, "cannot draft for itself"),
        ({"speculationType": "ngram", "draftModel": "a"}, "ngram needs no draft model"),
        ({"draftModel": "a", "promptLookupMax": 2}, "is for speculationType ngram"),
        ({"speculationType": "eagel", "draftModel": "a"}, "did you mean 'eagle'?"),
        ({"draftModel": "a", "draftModelConfig": {"temperature": "0.7", "max_tokens": "9"}},
         "engines sample drafts greedily"),
        ({"draftModl": "a"}, "did you mean 'draftModel'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path(spec: dict[str, Any], said: str) -> None:
    desired = KEEPER.desired(made("SpeculativeDecoding", "sd", **spec), FakeWorld())
    assert conditions(desired)["Accepted"] == ("False", "InvalidSpec")
    assert said in message(desired, "Accepted") and message(desired, "Accepted")[:4] == "spec"
    assert desired.status["speculativeConfig"] is None


def test_who_uses_it_is_told() -> None:
    """A3-10: from a cache or from a service, in both forms."""
    world, sd = FakeWorld(), made("SpeculativeDecoding", "sd", draftModel="a")
    assert conditions(KEEPER.desired(sd, world))["InUse"] == ("False", "NotReferenced")
    put(world, made("InferenceCache", "c", modelName="m", sdRef={"name": "sd"}),
        made("InferenceService", "s", modelName="m", backendRef="b",
             speculativeDecodingRef="sd"))  # fmt: skip
    assert message(KEEPER.desired(sd, world), "InUse") == "by InferenceService s, InferenceCache c"
