"""The table of families, and what the shipped small models must keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from wayside.engines import families, modelfile
from wayside.engines.built_in import BUILT_IN, WEIGHTS
from wayside.engines.families import FAMILIES, MAX_BYTES
from wayside.engines.report import Report, answers, report
from wayside.engines.static import StaticClassifier
from wayside.vocab.errors import ConfigError

ROOT = Path(__file__).parents[2]
CORPORA = ROOT / "corpora"
SMALL = ("fact_check", "feedback", "complexity", "modality", "safety")

FLOORS = {
    "fact_check": (0.79, 0.78),
    "feedback": (0.60, 0.69),
    "complexity": (0.69, 0.73),
    "modality": (0.77, 0.81),
    "safety": (0.70, 0.69),
}
"""Accuracy on all held-out rows and on the English ones: a little below the cards' figures."""


def shipped(family: str, english: bool = False) -> Report:
    model = StaticClassifier.load(WEIGHTS / f"{family}.model")
    unseen = families.held_out(FAMILIES[family], CORPORA)
    chosen = [one for one in unseen if one.lang == "en"] if english else unseen
    return report(family, answers(model.classify, chosen))


def test_every_family_is_a_built_in_engine_that_classifies() -> None:
    assert all(BUILT_IN[name].task == "classify" for name in FAMILIES)


@pytest.mark.parametrize("family", SMALL)
def test_its_rows_are_there_and_carry_its_labels(family: str) -> None:
    found = families.examples(FAMILIES[family], CORPORA)
    assert {one.label for one in found} == set(FAMILIES[family].labels)
    assert len(found) >= 1_500
    assert FAMILIES[family].limits, "whoever relies on it should know its limits"


@pytest.mark.parametrize("family", SMALL)
def test_the_shipped_model_is_small_and_has_its_labels_and_a_card(family: str) -> None:
    file = WEIGHTS / f"{family}.model"
    assert file.stat().st_size <= MAX_BYTES
    assert modelfile.read(file).labels == FAMILIES[family].labels
    card = (ROOT / "docs/reference/models" / f"{family}.md").read_text("utf-8")
    assert f"{file.stat().st_size:,} bytes" in card, "the card tells of another file"
    for heading in (
        "## How good it is",
        "## What it learnt from",
        "## What it costs",
        "## Limits",
    ):
        assert heading in card


@pytest.mark.parametrize("family", SMALL)
def test_the_shipped_model_keeps_its_figures(family: str) -> None:
    whole, english = FLOORS[family]
    assert shipped(family).accuracy >= whole
    assert shipped(family, english=True).accuracy >= english


@pytest.mark.parametrize(
    ("family", "label", "share"),
    [("safety", "safe", 0.03), ("modality", "text", 0.05), ("feedback", "none", 0.10)],
)
def test_everyday_prompts_are_left_alone(family: str, label: str, share: float) -> None:
    """Prompts of the domain corpus: harmless, for text, and no judgement of an answer."""
    found = families.rows.read(CORPORA / "domain/heldout.jsonl")
    model = StaticClassifier.load(WEIGHTS / f"{family}.model")
    given = [model.classify(row.text)[0] for row in found]
    wrong = sum(said != label and sure >= 0.5 for said, sure in given)
    assert wrong / len(found) <= share


def test_corpora_are_found_around_the_code_or_where_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert families.corpora() == CORPORA
    assert families.corpora(tmp_path) == tmp_path
    monkeypatch.setattr(families, "__file__", str(tmp_path / "families.py"))
    with pytest.raises(ConfigError, match="no corpora here"):
        families.corpora()
