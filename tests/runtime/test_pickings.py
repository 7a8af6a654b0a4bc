"""What is wrong with choosing among servers is said before anything is served."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError

ROLE = "llm-d.ai/role"


def refused(model: dict[str, Any], **top: Any) -> list[tuple[str, str]]:
    document = {"models": {"m": {"endpoints": ["http://a", "http://b"], **model}}, **top}
    with pytest.raises(ConfigError) as caught:
        compile_policy(RouterSettings.model_validate(document))
    return [(problem.where, problem.what + problem.fix) for problem in caught.value.problems]


def test_a_strategy_that_is_none_is_named_with_its_path() -> None:
    ((where, what),) = refused({"picking": "max_scor"})
    assert where == "models.m.picking" and "max_score" in what
    ((where, _),) = refused({}, picking={"scorers": ["quue"]})
    assert where == "picking.scorers[0]"


def test_disaggregation_needs_servers_of_both_kinds() -> None:
    found = refused({"disaggregation": {}})
    assert [where for where, _ in found] == ["models.m.disaggregation"]
    assert f"{ROLE}: prefill" in found[0][1]
    only = [{"url": "http://a", "labels": {ROLE: "prefill"}}]
    assert "decode" in refused({"endpoints": only, "disaggregation": {}})[0][1]


def test_only_openais_api_hands_over_a_cache() -> None:
    found = refused({"disaggregation": {}, "protocol": "anthropic"})
    assert "anthropic" in found[0][1]


def test_models_whose_servers_count_in_a_decision_are_told() -> None:
    select = {"multi_factor": {"weights": {"queue": 1}}}
    document = {
        "models": {"m": {"endpoints": ["http://a"]}, "n": {"endpoints": ["http://b"]}},
        "routing": {"decisions": [{"name": "d", "models": ["m", "n"], "select": select}]},
    }
    policy = compile_policy(RouterSettings.model_validate(document))
    assert policy.asked_about == {"m", "n"}
