"""What is wrong with choosing among servers is said before anything is served."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from wayside.catalog import catalog
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.schema import full_schema
from wayside.vocab.errors import ConfigError

ROLE = "llm-d.ai/role"
SCHEMA = Draft202012Validator(full_schema(RouterSettings, catalog))


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


@pytest.mark.parametrize(
    ("picking", "where", "says"),
    [
        ({"filters": ["queue"]}, ".filters[0]", "queue is a scorer: write it under scorers"),
        ({"scorers": ["load_guard"]}, ".scorers[0]", "load_guard is a filter"),
        ({"scorers": [{"random": {}}]}, ".scorers[0]", "random is a picker"),
        ({"picker": "queue"}, ".picker", "queue is a scorer"),
        ("label", "", "label is a filter: filters: [label]"),
        ({"scorers": [{"queue": {"x": 1}}]}, ".scorers[0].queue.x", "unknown key"),
    ],
)
def test_a_kind_in_anothers_place_is_told_its_own(picking: Any, where: str, says: str) -> None:
    ((found, what),) = refused({"picking": picking})
    assert found == "models.m.picking" + where and says in what


FORMS: dict[str, tuple[Any, ...]] = {
    "good": (
        "queue",
        "round_robin",
        "gpu-load-aware",
        {},
        {"strategy": "queue", "when_none": "refuse"},
        {"filters": ["load_guard", {"label": {"label": "zone", "values": ["a"]}}]},
        {"scorers": ["queue", {"kv_utilization": {}}, {"token_load": {"threshold": 9}}]},
        {"scorers": [{"queue": {}, "weight": 0}, {"gpu-load-aware": {}, "weight": 2.5}]},
        {"picker": "random"},
        {"picker": {"max_score": {"count": 2}}},
    ),
    "bad": (
        [],
        ["queue"],
        5,
        True,
        {"filters": None},
        {"filters": "load_guard"},
        {"filters": ["queue"]},
        {"filters": [{"load_guard": {}, "weight": 3}]},
        {"filters": [{"role": {"role": "prefil"}}]},
        {"scorers": ["max_score"]},
        {"scorers": [None]},
        {"scorers": [{}]},
        {"scorers": [{"weight": 2}]},
        {"scorers": [{"queue": None}]},
        {"scorers": [{"queue": 5}]},
        {"scorers": [{"queue": {"x": 1}}]},
        {"scorers": [{"queue": {}, "weight": -1}]},
        {"scorers": [{"queue": {}, "weight": "much"}]},
        {"scorers": [{"queue": {}, "kv_utilization": {}}]},
        {"picker": None},
        {"picker": 5},
        {"picker": "queue"},
        {"picker": {}},
        {"picker": ["random"]},
        {"picker": {"max_score": None}},
        {"picker": {"max_score": {}, "random": {}}},
        {"picker": {"max_score": {"count": 0}}},
        {"when_none": "maybe"},
        {"scorer": ["queue"]},
    ),
}


@pytest.mark.parametrize("form", FORMS["bad"], ids=str)
def test_what_cannot_be_meant_is_refused_where_it_stands(form: Any) -> None:
    with pytest.raises((ConfigError, ValidationError)):
        loaded(form)
    assert not SCHEMA.is_valid({"models": {"m": {"endpoints": ["http://a"], "picking": form}}})


@pytest.mark.parametrize("form", FORMS["good"], ids=str)
def test_what_loads_is_in_the_schema(form: Any) -> None:
    loaded(form)
    document = {"models": {"m": {"endpoints": ["http://a"], "picking": form}}}
    assert not [error.message for error in SCHEMA.iter_errors(document)]


@pytest.mark.parametrize(
    "form",
    [
        {"strategy": "queue", "scorers": ["queue"]},
        {"strategy": "queue", "picker": "random"},
        {"scorers": [{"queue": {}, "weight": float("inf")}]},
        {"scorers": [{"queue": {}, "weight": float("nan")}]},
        "quue",
    ],
    ids=str,
)
def test_what_no_schema_tells_is_refused_too(form: Any) -> None:
    with pytest.raises((ConfigError, ValidationError)):
        loaded(form)


def loaded(picking: Any) -> None:
    document = {"models": {"m": {"endpoints": ["http://a"], "picking": picking}}}
    compile_policy(RouterSettings.model_validate(document))


def test_disaggregation_needs_servers_of_both_kinds() -> None:
    found = refused({"disaggregation": {}})
    assert [where for where, _ in found] == ["models.m.disaggregation"]
    assert f"{ROLE}: prefill" in found[0][1]
    only = [{"url": "http://a", "labels": {ROLE: "prefill"}}]
    assert "decode" in refused({"endpoints": only, "disaggregation": {}})[0][1]


def test_servers_that_are_discovered_may_do_what_those_named_do_not() -> None:
    only = [{"url": "http://a", "labels": {ROLE: "decode"}}]
    model = {"endpoints": only, "disaggregation": {}, "discover": {"file": "/tmp/x"}}
    compile_policy(RouterSettings.model_validate({"models": {"m": model}}))


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
