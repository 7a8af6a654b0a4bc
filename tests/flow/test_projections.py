"""Projections on the way from signals to decisions, and in what people are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flow.driving import chat, forwarded, policy, post
from wayside.decisions.projection_order import compile_projections
from wayside.flow import Policy, choose
from wayside.runtime.explain import explanation
from wayside.settings import ProjectionSettings
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import ConfigError, Problem, RequestError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import SignalRef

CONFIG = """
models: {small: {endpoints: [h]}, large: {endpoints: [h]}, lawyer: {endpoints: [h]}}
routing:
  default_model: small
  signals:
    domain:
      math: {labels: [math], threshold: 0.2}
      law: {labels: [law], threshold: 0.2}
      law_too: {labels: [law, math], threshold: 0.2}
      unread: {labels: [health]}
    keyword:
      proof: {keywords: [prove, proof]}
      brief: {keywords: [briefly]}
      unread: {keywords: [nothing]}
  projections:
    partitions:
      - {name: field, members: ["domain:math", "domain:law_too"]}
    scores:
      - name: difficulty
        inputs:
          - {signal: "keyword:proof", weight: 0.5, value_source: confidence}
          - {signal: "keyword:brief", weight: -0.3}
          - {signal: "domain:math", weight: 0.3}
    mappings:
      - name: level
        source: difficulty
        outputs: [{name: easy, lt: 0.4}, {name: hard, gte: 0.4}]
  decisions:
    - {name: both, priority: 30, when: {all: ["domain:math", "domain:law_too"]}, models: [lawyer]}
    - {name: hard, priority: 20, when: "projection:hard", models: [large]}
    - name: close
      priority: 10
      when: {signal: "projection:difficulty", gt: 0.2}
      models: [lawyer]
"""
SEED = policy(CONFIG)


def labelled(label: str) -> Any:
    def answers(question: Any) -> Any:
        assert isinstance(question, Classify)
        return ((label, 0.9), ("other", 0.1))

    return answers


def failing(question: Any) -> Any:
    return Failure("nobody home")


def model(text: str, label: str = "health", at: Policy = SEED) -> str:
    return forwarded(at, post(chat("auto", text)), labelled(label)).target.name


def test_a_band_of_a_score_decides() -> None:
    assert model("Prove it.", "math") == "large", "0.75 * 0.5 + 0.3 = 0.675"
    assert model("Briefly prove it.", "math") == "lawyer", "0.375, easy, but above 0.2"
    assert model("Hello.") == "small"


def test_losers_of_a_partition_are_no_longer_matched() -> None:
    assert model("Hello.", "math") == "lawyer", "math 0.3, so close; law_too lost, so not both"


def test_only_what_is_needed_is_read() -> None:
    read = {
        str(SignalRef(kind, name))
        for kind, (_, names) in SEED.recipes["default"].signals.items()
        for name in names
    }
    assert read == {"domain:math", "domain:law_too", "keyword:proof", "keyword:brief"}


def test_a_score_that_unknown_inputs_cannot_move_out_of_its_band_still_decides() -> None:
    sure = forwarded(SEED, post(chat("auto", "A proof, prove it.")), failing)
    assert sure.target.name == "large", "0.5 without the domain, at most 0.8 with it"
    torn = forwarded(SEED, post(chat("auto", "Prove it.")), failing)
    assert torn.target.name == "small", "0.375 to 0.675: unknown, and on_unknown is no_match"


def test_an_unknown_band_is_what_the_decision_says_it_is() -> None:
    rule = 'when: "projection:hard"'
    closed = policy(CONFIG.replace(rule, f"on_unknown: match, {rule}"))
    assert forwarded(closed, post(chat("auto", "Prove it.")), failing).target.name == "large"
    fails = 'when: {signal: "projection:hard", on_unknown: fail_request}'
    strict = policy(CONFIG.replace(rule, fails))
    with pytest.raises(RequestError) as caught:
        forwarded(strict, post(chat("auto", "Prove it.")), failing)
    assert caught.value.status == 503
    assert "projection:hard" in str(caught.value)


def test_debug_headers_name_the_bands() -> None:
    asked = post(chat("auto", "Prove it."), {"x-vsr-debug": "true"})
    report = dict(forwarded(SEED, asked, labelled("math")).report)
    assert report["x-vsr-matched-projections"] == "hard"
    assert report["x-vsr-matched-domains"] == "math"


def test_people_are_shown_winners_scores_and_bands() -> None:
    recipe = SEED.recipes["default"]
    prompt = Prompt(model="auto", question="Briefly prove it.")
    flow = choose(recipe, prompt, 0.0)
    try:
        batch = next(flow)
        flow.send(tuple(map(labelled("math"), batch)))
        pytest.fail("one round of questions is enough")
    except StopIteration as stop:
        told = explanation(prompt, stop.value)
    json.dumps(told)
    assert told["projections"] == {
        "partitions": [
            {
                "partition": "field",
                "winner": "domain:math",
                "confidence": 0.9,
                "members": [
                    {"signal": "domain:math", "because": "math 0.90"},
                    {"signal": "domain:law_too", "because": "domain:math won field"},
                ],
            }
        ],
        "scores": [
            {
                "score": "difficulty",
                "value": 0.375,
                "inputs": [
                    {"signal": "keyword:proof", "weight": 0.5, "value": 0.375},
                    {"signal": "keyword:brief", "weight": -0.3, "value": -0.3},
                    {"signal": "domain:math", "weight": 0.3, "value": 0.3},
                ],
            }
        ],
        "mappings": [
            {
                "mapping": "level",
                "source": "difficulty",
                "value": 0.375,
                "bands": [
                    {"band": "easy", "holds": True, "confidence": 0.5744, "bounds": {"lt": 0.4}},
                    {"band": "hard", "holds": False, "confidence": 0.0, "bounds": {"gte": 0.4}},
                ],
            }
        ],
    }
    assert "projection" not in {s["signal"].partition(":")[0] for s in told["signals"]}
    assert told["decision"] == "close"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"projection:hard"', '"projection:hrad"', "did you mean 'hard'"),
        ('"projection:hard"', '"projection:difficulty"', "a number that never matches"),
        ('"keyword:brief", weight', '"keyword:brif", weight', "did you mean 'brief'"),
        ('members: ["domain:math"', 'members: ["domain:maths"', "did you mean 'math'"),
        ("source: difficulty", "source: dificulty", "did you mean 'difficulty'"),
    ],
)
def test_what_does_not_exist_is_named(old: str, new: str, message: str) -> None:
    assert old in CONFIG
    with pytest.raises(ConfigError, match=message):
        policy(CONFIG.replace(old, new))


# vSR's own recipes: every projection of theirs can be said here

RECIPES = Path(__file__).parents[2].parent / "shared" / "data" / "vsr-configs" / "v0.3"
FILES = sorted([*RECIPES.glob("recipes/*/config.yaml"), *RECIPES.glob("config.yaml")])


def ours(theirs: dict[str, Any]) -> dict[str, Any]:
    """Their spelling as ours; members get the kind ``s``, for which theirs have no place."""
    made: dict[str, Any] = {"partitions": [], "scores": [], "mappings": []}
    for partition in theirs.get("partitions", []):
        exclusive = partition["semantics"] == "exclusive"
        made["partitions"].append(
            {k: v for k, v in partition.items() if not (k == "temperature" and exclusive)}
            | {"members": [f"s:{m}" for m in partition["members"]]}
            | {"default": f"s:{partition['default']}"}
        )
    for score in theirs.get("scores", []):
        inputs = []
        for given in score["inputs"]:
            rest = {k: v for k, v in given.items() if k in ("weight", "match", "miss")}
            source = given.get("value_source", "binary")
            if given["type"] == "kb_metric":
                rest |= {"signal": f"kb:{given['kb']}.{given['metric']}", "value_source": "raw"}
            else:
                raw = source == "score" or given["type"] == "projection"
                rest |= {"signal": f"{given['type']}:{given['name']}"}
                rest |= {"value_source": "raw" if raw else source}
            inputs.append(rest)
        made["scores"].append({**score, "inputs": inputs})
    made["mappings"] = theirs.get("mappings", [])
    return made


def _projections(document: Any) -> list[dict[str, Any]]:
    found = [document["routing"].get("projections")]
    found += [r["routing"].get("projections") for r in document.get("recipes", [])]
    return [p for p in found if p]


@pytest.mark.shared
@pytest.mark.skipif(not FILES, reason="../shared/data/vsr-configs is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.parent.name)
def test_projections_of_vsrs_recipes_compile(path: Path) -> None:
    found = _projections(yaml.safe_load(path.read_text("utf-8")))
    assert found
    for theirs in found:
        settings = ProjectionSettings.model_validate(ours(theirs))
        problems: list[Problem] = []
        bands = [
            SignalRef("projection", output.name)
            for mapping in settings.mappings
            for output in mapping.outputs
        ]
        made = compile_projections(settings, bands, "projections", problems)
        assert not problems
        verdicts = made.apply({})
        held = [ref for ref, v in verdicts.items() if ref.kind == "projection" and v.matched]
        assert len(held) >= len(settings.mappings) // 2, "most mappings have a band for nothing"
