from __future__ import annotations

import pytest

from tests.selection.choosing import PROMPT, answers, candidates, picked
from wayside.selection import Picked
from wayside.selection.elo import EloRule, EloSelector
from wayside.vocab.observed import Standing
from wayside.vocab.prompt import Prompt

AMONG = candidates("a", "b")
MATH = Prompt(model="auto", question="2+2?", category="math")
A_IN_GENERAL = Standing(rating=1600, games=50)
B_IN_GENERAL = Standing(rating=1400, games=40)
GENERAL = {("a", ""): A_IN_GENERAL, ("b", ""): B_IN_GENERAL}


def choose(
    standing: dict[tuple[str, str], Standing],
    prompt: Prompt = PROMPT,
    dice: float = 0.5,
    **rule: object,
) -> Picked:
    selector = EloSelector(EloRule.model_validate(rule))
    return picked(selector, AMONG, answers(standing=standing), dice=dice, prompt=prompt)


def test_the_best_rating_wins() -> None:
    choice = choose(GENERAL)
    assert choice.candidate.name == "a"
    assert choice.why == "Elo: a 1600, b 1400"


def test_the_score_is_the_chance_to_be_preferred_to_the_mean() -> None:
    # 100 points over the mean: 1 / (1 + 10^(-1/4)) = 0.6401; 100 under it: 0.3599
    assert choose(GENERAL).scores == pytest.approx((0.6401, 0.3599), abs=1e-4)


def test_ratings_of_the_domain_count_first_where_they_are_enough() -> None:
    local = {
        ("a", "math"): Standing(rating=1450, games=5),
        ("b", "math"): Standing(rating=1550, games=5),
    }
    assert choose({**GENERAL, **local}, MATH).candidate.name == "b"
    assert choose({**GENERAL, **local}, MATH, min_outcomes=6).candidate.name == "a"
    assert choose({**GENERAL, **local}, MATH, by_category=False).candidate.name == "a"
    assert choose({**GENERAL, **local}).candidate.name == "a", "no domain was seen"


def test_equal_ratings_share_the_requests() -> None:
    assert choose({}, explore=0, dice=0.49).candidate.name == "a"
    assert choose({}, explore=0, dice=0.5).candidate.name == "b"
    assert choose({}, explore=0.1, dice=0.54).candidate.name == "a"  # (.54 - .1) / .9 < .5
    assert choose({}, explore=0.1, dice=0.56).candidate.name == "b"


def test_a_share_of_requests_tries_the_one_that_was_judged_least() -> None:
    assert choose(GENERAL, dice=0.0499).candidate.name == "b"
    assert choose(GENERAL, dice=0.05).candidate.name == "a"
    assert choose(GENERAL, dice=0.0, explore=0).candidate.name == "a"
    assert choose(GENERAL, dice=0.999, explore=1).candidate.name == "b"
