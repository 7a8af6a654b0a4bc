from __future__ import annotations

import pytest
from pydantic import ValidationError

from wayside.signals.requested_model import RequestedModelRule, RequestedModelSignal
from wayside.vocab.prompt import Prompt


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("big", {"large", "any"}), ("Big", set()), ("small", {"any"}), ("auto", set()), ("", set())],
)
def test_the_name_is_compared_exactly(asked: str, expected: set[str]) -> None:
    rules = {"large": ("big",), "any": ("big", "small")}
    signal = RequestedModelSignal({n: RequestedModelRule(models=m) for n, m in rules.items()})
    reading = signal.read(Prompt(model=asked))
    assert set(reading) == expected
    assert all(verdict.matched and asked in verdict.because for verdict in reading.values())


def test_a_rule_names_a_model() -> None:
    with pytest.raises(ValidationError):
        RequestedModelRule(models=())
