from __future__ import annotations

import pytest

from wayside.signals.context import ContextRule, ContextSignal
from wayside.vocab.prompt import Prompt


@pytest.mark.parametrize(
    ("written", "tokens"),
    [
        (0, 0),
        (4096, 4096),
        ("999", 999),
        ("1K", 1_000),
        ("32K", 32_000),
        ("32k", 32_000),
        (" 1.5 K ", 1_500),
        ("1M", 1_000_000),
    ],
)
def test_token_counts_may_be_written_short(written: int | str, tokens: int) -> None:
    assert ContextRule.model_validate({"min_tokens": written}).min_tokens == tokens


@pytest.mark.parametrize("written", ["32KB", "-1", -1, "many", "", 1.5, None])
def test_other_token_counts_are_refused(written: object) -> None:
    with pytest.raises(ValueError):
        ContextRule.model_validate({"min_tokens": written})


def test_limits_that_nothing_can_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing could match"):
        ContextRule.model_validate({"min_tokens": "32K", "max_tokens": "8K"})


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(0, "short"), (999, "short"), (1_000, "middle"), (8_000, "middle"), (8_001, "long")],
)
def test_both_limits_are_inclusive(tokens: int, expected: str) -> None:
    rules = {
        "short": ContextRule(max_tokens=999),
        "middle": ContextRule(min_tokens=1_000, max_tokens=8_000),
        "long": ContextRule(min_tokens=8_001),
    }
    reading = ContextSignal(rules).read(Prompt(model="auto", tokens=tokens))
    assert [name for name, verdict in reading.items() if verdict.matched] == [expected]
    assert {verdict.value for verdict in reading.values()} == {tokens}
