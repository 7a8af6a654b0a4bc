"""Signals and the built-in classifiers they ask agree on what the labels are called."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from wayside.engines import BUILT_IN
from wayside.signals.complexity import ComplexityRule
from wayside.signals.fact_check import FactCheckRule
from wayside.signals.modality import ModalityRule
from wayside.signals.safety import HAZARDS, SAFE
from wayside.signals.user_feedback import Feedback


def choices(rule: type[Any], field: str) -> set[str]:
    return set(get_args(rule.model_fields[field].annotation))


@pytest.mark.parametrize(
    ("engine", "labels"),
    [
        ("fact_check", choices(FactCheckRule, "label")),
        ("feedback", {*get_args(Feedback), "none"}),
        ("complexity", choices(ComplexityRule, "level")),
        ("modality", choices(ModalityRule, "output")),
        ("safety", {*HAZARDS, SAFE}),
    ],
)
def test_the_labels_of_a_signal_are_those_of_its_classifier(engine: str, labels: set[str]) -> None:
    assert set(BUILT_IN[engine].load().labels) == labels
