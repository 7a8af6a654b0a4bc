from __future__ import annotations

import json
from typing import Any

import pytest

from tests.selection.asking import Asked
from wayside.selection import Candidate
from wayside.selection.workflows import WorkflowsRule, WorkflowsSelector, planned
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import ModelFacts


def workflows(**rule: Any) -> WorkflowsSelector:
    return WorkflowsSelector(WorkflowsRule.model_validate(rule))


PLANNER = {"planner": {"model": "boss", "max_completion_tokens": 77}}
PLAN = json.dumps(
    {
        "steps": [
            {"id": "find", "model": "small", "task": "find the facts"},
            {"id": "doubt", "model": "LARGE", "task": "doubt them"},
            {
                "id": "sum",
                "model": "nobody",
                "task": "sum up",
                "needs": ["find", "doubt", "later"],
            },
        ]
    }
)


def answers(model: str, purpose: str, body: Any) -> Any:
    return PLAN if purpose == "plan" else f"{purpose} by {model}"


def test_a_planner_plans_steps_run_side_by_side_and_the_planner_writes() -> None:
    asked = Asked(workflows(**PLANNER), answers)
    assert asked.purposes == [["plan"], ["step find", "step doubt"], ["step sum"], ["synthesis"]]
    assert asked.models == [["boss"], ["small", "large"], ["small"], ["boss"]]
    assert asked.text == "synthesis by boss"
    plan = asked.batches[0][0][2]
    assert plan["max_completion_tokens"] == 77
    assert "- small" in plan["messages"][0]["content"]
    third = asked.batches[2][0][2]["messages"][0]["content"]
    assert "sum up" in third
    assert "step find by small" in third
    last = asked.batches[3][0][2]["messages"][0]["content"]
    assert "step sum by small" in last


def test_no_more_run_at_once_than_may() -> None:
    asked = Asked(workflows(**PLANNER, max_parallel=1), answers)
    assert [len(batch) for batch in asked.batches] == [1, 1, 1, 1, 1]


def test_a_plan_is_cut_to_what_is_allowed() -> None:
    asked = Asked(workflows(**PLANNER, max_steps=1), answers)
    assert asked.purposes == [["plan"], ["step find"], ["synthesis"]]


def test_a_planner_knows_what_the_models_are_for() -> None:
    facts = (ModelFacts(name="small", description="quick and cheap"),)
    asked = Asked(workflows(**PLANNER), answers, facts=facts)
    assert "- small: quick and cheap" in asked.batches[0][0][2]["messages"][0]["content"]


@pytest.mark.parametrize(
    "plan", ["no plan today", None, 500, '{"steps": []}', '{"steps": "all"}', '{"steps": [1, {}]}']
)
def test_without_a_plan_the_planner_answers_by_itself(plan: Any) -> None:
    def no_plan(model: str, purpose: str, body: Any) -> Any:
        return plan if purpose == "plan" else "by itself"

    asked = Asked(workflows(**PLANNER), no_plan)
    assert asked.purposes == [["plan"], ["synthesis"]]
    assert asked.batches[1][0][2]["messages"] == [{"role": "user", "content": "Why?"}]
    with pytest.raises(AskFailed, match="no plan"):
        Asked(workflows(**PLANNER, on_error="fail"), no_plan)


TWO = (Candidate("small"), Candidate("large"))


def test_plans_by_strangers_are_read_with_care() -> None:
    plan = {
        "steps": [
            {"id": "x" * 65, "task": "one", "model": 7, "needs": "all"},
            {"id": "a", "task": "two", "needs": ["a", "b", 3]},
            {"id": "a", "task": "twice"},
            {"id": "b", "task": " "},
            "b",
            {"id": "b", "task": "t" * 9000, "needs": ["a", "1"]},
        ]
    }
    steps = planned(f"Sure: {json.dumps(plan)}", TWO, 6)
    assert [(s.name, s.candidate.model, s.needs) for s in steps] == [
        ("1", "small", ()),
        ("a", "small", ()),
        ("b", "small", ("a", "1")),
    ]
    assert len(steps[2].task) == 4000


ROLES = [
    {"name": "draft", "model": "small", "instructions": "Draft."},
    {"name": "check", "model": "large", "instructions": "Check.", "needs": ["draft"]},
    {"name": "style", "model": "small", "instructions": "Style.", "needs": ["draft"]},
]


def test_a_plan_can_be_written_down() -> None:
    asked = Asked(workflows(mode="static", roles=ROLES, final_model="writer"), answers)
    assert asked.purposes == [["step draft"], ["step check", "step style"], ["synthesis"]]
    assert asked.models[-1] == ["writer"]


def test_a_step_that_fails_is_done_without() -> None:
    def half(model: str, purpose: str, body: Any) -> Any:
        return None if purpose == "step draft" else answers(model, purpose, body)

    static = {"mode": "static", "roles": ROLES}
    asked = Asked(workflows(**static, include_intermediate_responses=True), half)
    assert asked.purposes[1] == ["step check", "step style"]
    steps = asked.composed.extra["steps"]
    assert [step.get("content") for step in steps] == [
        None,
        "step check by large",
        "step style by small",
    ]
    with pytest.raises(AskFailed, match="step draft"):
        Asked(workflows(**static, on_error="fail"), half)
    with pytest.raises(AskFailed, match="2 of 3"):
        Asked(workflows(**static, min_successful_responses=3), half)


def test_the_tools_of_the_client_are_for_the_answer() -> None:
    asked = Asked(workflows(mode="static", roles=ROLES), answers, body={"tools": [{}]})
    assert ["tools" in batch[0][2] for batch in asked.batches] == [False, False, True]


def test_the_most_calls_it_makes() -> None:
    assert workflows(**PLANNER).calls(2) == 8
    assert workflows(mode="static", roles=ROLES).calls(2) == 4
    assert workflows(mode="static", roles=ROLES).asks["roles[1].model"] == "large"


def role(name: str, *needs: str) -> dict[str, Any]:
    return {"name": name, "model": "m", "instructions": "i", "needs": list(needs)}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({}, "needs a planner"),
        ({**PLANNER, "roles": ROLES}, "roles are for"),
        ({"mode": "static"}, "needs roles"),
        ({"mode": "static", **PLANNER, "roles": ROLES}, "planner is for"),
        ({"mode": "static", "roles": ROLES, "max_steps": 2}, "max_steps is 2"),
        ({"mode": "static", "roles": [role("a"), role("a")]}, "two roles"),
        ({"mode": "static", "roles": [role("a", "b"), role("b", "a")]}, "waits for it"),
        ({"mode": "static", "roles": [role("a", "z")]}, "'z', which is no role"),
    ],
)
def test_settings_that_make_no_plan_are_refused(rule: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        workflows(**rule)
