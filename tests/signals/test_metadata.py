from __future__ import annotations

import pytest

from wayside.signals.metadata import MetadataRule, MetadataSignal
from wayside.vocab.prompt import Prompt


@pytest.mark.parametrize(
    ("predicate", "metadata", "expected"),
    [
        ({"equals": "denied"}, {"consent": "denied"}, True),
        ({"equals": "denied"}, {"consent": "Denied"}, False),
        ({"equals": "denied"}, {"other": "denied"}, False),
        ({"equals": ""}, {"consent": ""}, True),
        ({"equals": ""}, {}, False),
        ({"equals": True}, {"consent": "true"}, True),
        ({"equals": 5}, {"consent": "5"}, True),
        ({"in": ["a", "b"]}, {"consent": "b"}, True),
        ({"in": ["a", "b"]}, {"consent": "ab"}, False),
        ({"in": ["a", "b"]}, {}, False),
        ({"exists": True}, {"consent": ""}, True),
        ({"exists": True}, {}, False),
        ({"exists": False}, {}, True),
        ({"exists": False}, {"consent": "x"}, False),
    ],
)
def test_the_value_is_compared_exactly(
    predicate: dict[str, object], metadata: dict[str, str], expected: bool
) -> None:
    rule = MetadataRule.model_validate({"key": "consent", "predicate": predicate})
    reading = MetadataSignal({"it": rule}).read(Prompt(model="auto", metadata=metadata))
    assert ("it" in reading) is expected
    assert all(verdict.matched for verdict in reading.values())


@pytest.mark.parametrize(
    "predicate", [{}, {"equals": "a", "exists": True}, {"in": []}, {"equal": "a"}, None]
)
def test_a_predicate_says_exactly_one_thing(predicate: object) -> None:
    with pytest.raises(ValueError):
        MetadataRule.model_validate({"key": "consent", "predicate": predicate})
