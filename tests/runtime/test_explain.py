"""Why a prompt goes where it goes, for people."""

import json
from typing import Any

import pytest

from tests.flow.driving import chat, policy, post
from wayside.runtime import Runtime
from wayside.runtime.explain import explanation
from wayside.vocab.ask import Classify

RULES = """
models: {big: {endpoints: [h], loras: [law]}, small: {endpoints: [h]}}
routing:
  default_model: small
  signals:
    domain: {math: {labels: [math]}, law: {labels: [law]}}
    keyword: {urgent: {keywords: [urgent]}}
  decisions:
    - name: sums
      priority: 5
      when: {all: ["domain:math", {not: "keyword:urgent"}]}
      models: [{model: big, reasoning: true, effort: high}, small]
      plugins: {system_prompt: {prompt: be exact}}
    - name: hurry
      priority: 1
      when: {all: ["keyword:urgent", "domain:law"]}
      models: [{model: big, lora: law}]
    - {name: silent, when: {any: ["keyword:urgent"]}}
"""


async def told(text: str, label: str = "math", settings: str = RULES) -> dict[str, Any]:
    def classify(question: Any) -> Any:
        return ((label, 0.876543), ("other", 0.123457))

    runtime = Runtime(policy(settings), {Classify: classify})
    found = explanation(*await runtime.explain(post(chat("auto", text))))
    assert json.loads(json.dumps(found)) == found
    return found


async def test_a_choice_is_told_in_one_sentence() -> None:
    found = await told("2+2 is")
    assert found["why"] == (
        "sums holds because domain:math (math 0.88); big answers, chosen by static among 2."
    )
    assert found["decision"] == "sums"
    assert found["model"] == "big"
    assert (found["reasoning"], found["effort"]) == (True, "high")
    assert found["plugins"] == ["system_prompt"]
    assert found["candidates"] == ["big", "small"]


@pytest.mark.parametrize(
    ("text", "label", "why"),
    [
        ("hello", "health", "No decision matched, so the default model small answers."),
        (
            "urgent",
            "health",
            "silent holds because keyword:urgent (urgent); it names no model, "
            "so the default small answers.",
        ),
        (
            "urgent",
            "law",
            "hurry holds because keyword:urgent (urgent), domain:law (law 0.88); big answers.",
        ),
    ],
)
async def test_every_way_to_a_model_has_its_sentence(text: str, label: str, why: str) -> None:
    assert (await told(text, label))["why"] == why


async def test_every_decision_shows_its_rule_and_how_near_it_came() -> None:
    found = await told("urgent: 2+2")
    sums, hurry, silent = found["decisions"]
    assert [d["decision"] for d in (sums, hurry, silent)] == ["sums", "hurry", "silent"]
    assert (sums["holds"], sums["nearly"], sums["chosen"]) == (False, True, False)
    assert (silent["holds"], silent["chosen"], silent["confidence"]) == (True, True, 1.0)
    assert sums["rule"]["rule"] == "all"
    first, second = sums["rule"]["of"]
    assert first == {
        "rule": "domain:math",
        "holds": True,
        "confidence": 0.8765,
        "because": "math 0.88",
    }
    assert second["rule"] == "not" and second["holds"] is False


async def test_a_signal_that_failed_is_unknown_not_false() -> None:
    runtime = Runtime(policy(RULES))
    found = explanation(*await runtime.explain(post(chat("auto", "x"))))
    domain = next(s for s in found["signals"] if s["signal"] == "domain:math")
    assert domain["unknown"] and "nothing here answers" in domain["because"]
    assert found["decisions"][0]["rule"]["holds"] is None


async def test_a_long_question_is_cut() -> None:
    assert len((await told("x" * 100_000))["question"]) == 2_000


def node(found: dict[str, Any], decision: str) -> dict[str, Any]:
    rule: dict[str, Any] = next(d for d in found["decisions"] if d["decision"] == decision)["rule"]
    return rule


async def test_every_node_says_why() -> None:
    found = await told("urgent: 2+2")
    assert node(found, "sums")["because"] == "not does not hold"
    assert node(found, "sums")["of"][1]["because"] == "keyword:urgent holds"
    assert node(found, "hurry")["because"] == "domain:law does not hold"
    assert node(found, "hurry")["of"][1]["because"] == "math 0.88"
    assert node(found, "silent")["because"] == "keyword:urgent holds"
    quiet = await told("2+2")
    assert node(quiet, "silent")["of"][0]["because"] == "did not match"
    assert node(quiet, "sums")["because"] == "all 2 hold"


async def test_signals_show_what_their_rule_compares() -> None:
    found = await told("2+2")
    domain, keyword = (
        next(s for s in found["signals"] if s["signal"] == name)
        for name in ("domain:law", "keyword:urgent")
    )
    assert (domain["value"], domain["threshold"], domain["limits"]) == (0.0, 0.5, {"gte": 0.5})
    assert keyword["threshold"] is None and keyword["limits"] == {}


async def test_costs_are_there_when_they_were_measured() -> None:
    assert (await told("2+2"))["costs"] == []

    def classify(question: Any) -> Any:
        return (("math", 0.9), ("other", 0.1))

    runtime = Runtime(policy(RULES), {Classify: classify})
    found = explanation(*await runtime.examine(post(chat("auto", "2+2"))))
    assert json.loads(json.dumps(found)) == found
    by_kind = {c["kind"]: c for c in found["costs"]}
    assert by_kind["domain"]["rules"] == 2
    assert [a["ask"] for a in by_kind["domain"]["asks"]] == ["classify domain"]
    assert by_kind["keyword"]["total_us"] == by_kind["keyword"]["read_us"] > 0
    costs = {s["signal"]: s["cost_us"] for s in found["signals"]}
    assert costs["domain:law"] == costs["domain:math"] == by_kind["domain"]["total_us"]


async def test_what_would_have_changed_the_choice() -> None:
    found = await told("2+2")
    assert found["would_change"][0] == {
        "decision": None,
        "needs": ["domain:math matched (math 0.88)"],
        "models": [],
    }
    needs = {c["decision"]: c["needs"] for c in found["would_change"]}
    assert needs["silent"] == ["no keyword of keyword:urgent"]
    assert needs["hurry"] == ["no keyword of keyword:urgent", "domain:law at 0.00 needed 0.50"]
