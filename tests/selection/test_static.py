from __future__ import annotations

import pytest

from wayside.selection import Candidate
from wayside.selection.static import StaticRule, StaticSelector
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto")


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.999])
def test_the_first_candidate_is_chosen_whatever_the_dice_and_weights(dice: float) -> None:
    candidates = (Candidate("small", weight=0), Candidate("large", weight=100))
    assert StaticSelector(StaticRule()).choose(PROMPT, candidates, dice) is candidates[0]


def test_it_has_no_settings() -> None:
    with pytest.raises(ValueError):
        StaticRule.model_validate({"model": "small"})
