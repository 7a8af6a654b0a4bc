"""``wayside calibrate``: a threshold, what it is worth, and YAML that is right as it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Wayside
from wayside.engines.built_in import WEIGHTS
from wayside.engines.static import StaticClassifier
from wayside.selection.strong_weak import OWN_WEIGHTS, strength
from wayside.settings import RouterSettings

PROMPTS = [
    f"{verb} {thing} {n}"
    for verb in ("prove the theorem about", "what is", "design a system for", "say hello to")
    for thing in ("the primes", "rain", "my queue")
    for n in range(12)
]
CONFIG = """
models:
  big: {endpoints: [http://127.0.0.1:1]}
  small: {endpoints: [http://127.0.0.1:1]}
routing:
  decisions:
    - {name: hard, models: [big, small], select: {strong_weak: {weights: {hard: 1}}}}
    - {name: other, models: [small]}
"""


@pytest.fixture
def prompts(here: Path) -> Path:
    file = here / "p.txt"
    file.write_text("\n".join(PROMPTS))
    return file


def share(threshold: float, weights: dict[str, float] | None = None) -> float:
    classify = StaticClassifier.load(WEIGHTS / "complexity.model").classify
    scores = [strength(classify(p), weights or OWN_WEIGHTS) for p in PROMPTS]
    return sum(score >= threshold for score in scores) / len(scores)


def test_the_threshold_sends_that_share(wayside: Wayside, prompts: Path) -> None:
    said = wayside("calibrate", "--strong-share", "0.25", "--prompts", "p.txt", "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found["prompts"] == len(PROMPTS) and found["engine"] == "complexity"
    assert abs(found["gives"] - 0.25) < 0.02
    assert share(found["threshold"]) == pytest.approx(found["gives"])
    assert found["share"][0] < found["gives"] < found["share"][1]
    assert [row["wanted"] for row in found["table"]][:3] == [0.05, 0.1, 0.2]


def test_the_yaml_is_right_as_it_stands(wayside: Wayside, prompts: Path) -> None:
    said = wayside("calibrate", "--strong-share", "0.4", "--prompts", "p.txt")
    assert said.status == 0, said.err
    document = yaml.safe_load(said.out[said.out.index("routing:") :])
    RouterSettings.model_validate(document)
    (decision,) = document["routing"]["decisions"]
    threshold = decision["select"]["strong_weak"]["threshold"]
    assert abs(share(threshold) - 0.4) < 0.02
    assert "Of other prompts of the same kind" in said.out
    assert "Other traffic has another share" in said.out


def test_a_decision_of_a_configuration_is_calibrated_as_it_is(
    wayside: Wayside, prompts: Path
) -> None:
    Path("wayside.yaml").write_text(CONFIG)
    words = ("calibrate", "--strong-share", "0.3", "--prompts", "p.txt")
    said = wayside(*words, "--config", "wayside.yaml")
    assert said.status == 0, said.err
    (made,) = yaml.safe_load(said.out[said.out.index("routing:") :])["routing"]["decisions"]
    assert made["name"] == "hard" and made["models"] == ["big", "small"]
    rule = made["select"]["strong_weak"]
    assert rule["weights"] == {"hard": 1.0}
    assert abs(share(rule["threshold"], {"hard": 1.0}) - 0.3) < 0.02
    said = wayside(*words, "--config", "wayside.yaml", "--decision", "hart")
    assert said.status == 2 and "did you mean 'hard'?" in said.err


@pytest.mark.parametrize("form", ["text", "query", "prompt", "messages", "parts"])
def test_prompts_as_json(wayside: Wayside, here: Path, form: str) -> None:
    def row(prompt: str) -> object:
        if form == "messages":
            talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
            return {"messages": [*talk, {"role": "user", "content": prompt}]}
        if form == "parts":
            part = {"type": "text", "text": prompt}
            return {"messages": [{"role": "user", "content": [part, {"type": "image_url"}]}]}
        return {form: prompt, "more": 1}

    text = "\n".join(json.dumps(row(p)) for p in PROMPTS)
    said = wayside("calibrate", "--strong-share", "0.25", "--prompts", "-", "--json", text=text)
    assert said.status == 0, said.err
    assert share(json.loads(said.out)["threshold"]) == json.loads(said.out)["gives"]


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("one\ntwo\n", (), "only 2 prompts"),
        ('{"a": 1}\n', (), "p.txt:1: no text among a"),
        ("x\n" * 200, ("--engine", "domain"), "set weights"),
        ("x\n" * 200, ("--engine", "complexty"), "did you mean 'complexity'?"),
        ("x\n" * 200, ("--decision", "x"), "--decision needs --config"),
        ("x\n" * 200, ("--strong-share", "1"), "not in the range"),
    ],
)
def test_mistakes_are_told_with_their_fix(
    wayside: Wayside, here: Path, text: str, words: tuple[str, ...], said: str
) -> None:
    Path("p.txt").write_text(text)
    Path("wayside.yaml").write_text("")
    base = ("--strong-share", "0.3", "--prompts", "p.txt")
    found = wayside("calibrate", *base, *words)
    assert found.status == 2 and said in found.err, found.err


def test_prompts_of_one_score_cannot_be_divided(wayside: Wayside, here: Path) -> None:
    Path("p.txt").write_text("hello\n" * 150)
    said = wayside("calibrate", "--strong-share", "0.3", "--prompts", "p.txt")
    assert "30% cannot be met more closely" in said.out


def test_without_prompts_it_says_whose_they_are(wayside: Wayside) -> None:
    said = wayside("calibrate", "--strong-share", "0.5", "--json")
    assert said.status == 0 and "not your traffic" in said.err
