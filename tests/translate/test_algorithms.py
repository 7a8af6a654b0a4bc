"""vSR's selection algorithms as ours, one fragment each."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.settings import RouterSettings
from wayside.translate import translate


def select(**algorithm: Any) -> tuple[Any, str]:
    """The translated ``select`` of a fragment, and its notes as one text."""
    found = translate({"algorithm": algorithm}, hint="it")
    assert found is not None
    RouterSettings.model_validate(found.settings)
    decision = found.settings["routing"]["decisions"][0]
    return decision.get("select", "static"), "\n".join(map(str, found.notes))


def test_router_dc_is_brought_to_the_scale_of_the_built_in_embedder() -> None:
    made, notes = select(
        type="router_dc",
        router_dc={
            "temperature": 0.2,
            "dimension_size": 384,
            "min_similarity": 0.7,
            "use_query_contrastive": True,
            "require_descriptions": True,
            "use_capabilities": False,
        },
    )
    assert made == {
        "router_dc": {
            "min_similarity": 0.49,
            "require_descriptions": True,
            "use_capabilities": False,
        }
    }
    assert "mapped: algorithm.router_dc.min_similarity: 0.7 is for vSR's embedder" in notes
    for ignored in ("temperature", "dimension_size"):
        assert f"ignored: algorithm.router_dc.{ignored}: " in notes
    assert "unsupported: algorithm.router_dc.use_query_contrastive: nothing is learnt" in notes


def test_an_algorithm_that_must_fail_is_told_apart() -> None:
    made, notes = select(type="router_dc", on_error="fail")
    assert made == "router_dc"
    assert "unsupported: algorithm.on_error: " in notes
    made, notes = select(type="router_dc", on_error="fallback", router_dc={"temprature": 1})
    assert "on_error" not in notes
    assert "unknown key; did you mean 'temperature'?" in notes


@pytest.mark.parametrize("kind", ["gmtrouter", "session_aware"])
def test_an_algorithm_that_is_not_here_is_said_to_be_missing(kind: str) -> None:
    made, notes = select(type=kind)
    assert made == "static" and f"algorithm {kind} is not supported yet" in notes


@pytest.mark.parametrize("kind", ["knn", "kmeans", "svm", "mlp"])
def test_a_trained_selector_says_which_file_it_wants_and_how_to_make_it(kind: str) -> None:
    made, notes = select(type=kind)
    assert made == kind
    assert f"mapped: algorithm.{kind}: needs models/model-selection/{kind}.selector" in notes
    assert f"`wayside train selection --algorithm {kind} ROWS.jsonl`" in notes
