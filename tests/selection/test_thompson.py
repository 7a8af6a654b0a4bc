from __future__ import annotations

import pytest

from tests.selection.choosing import PROMPT, answers, candidates, picked
from wayside.selection import Picked
from wayside.selection.thompson import ThompsonRule, ThompsonSelector
from wayside.vocab.ask import Ask, Failure
from wayside.vocab.observed import ModelFacts, Observe, Seen, Standing
from wayside.vocab.prompt import Prompt

AMONG = candidates("base", "other")
BASE = ModelFacts(name="base", quality=0.9, prompt_per_1m=10, completion_per_1m=10)
OTHER = ModelFacts(name="other", quality=0.7, prompt_per_1m=5, completion_per_1m=5)
GOOD = Standing(rating=1500, good_fit=6)


def choose(
    rule: dict[str, object] | None = None,
    standing: dict[str, Standing] | None = None,
    observed: dict[str, Seen] | None = None,
    facts: tuple[ModelFacts, ...] = (BASE, OTHER),
    dice: float = 0.5,
    prompt: Prompt = PROMPT,
    category: str = "",
) -> Picked:
    """With the distributions' means, unless ``rule`` says otherwise."""
    chooser = ThompsonSelector(ThompsonRule.model_validate({"sample": False, **(rule or {})}))
    chooser.meet(facts)
    known = {(name, category): s for name, s in (standing or {}).items()}
    reply = answers(observed or {}, known)
    return picked(chooser, AMONG, reply, dice=dice, prompt=prompt)


def test_without_outcomes_the_quality_in_the_settings_decides() -> None:
    # base: (1.8 + 1) / 4 = .7, less .04 for its price and .03 for its input, plus .001
    # other: (1.4 + 1) / 4 = .6, less .02 and .03
    choice = choose()
    assert choice.scores == pytest.approx((0.631, 0.55))
    assert choice.candidate.name == "base"


def test_outcomes_move_the_distribution() -> None:
    # other: (1.4 + 6 + 1) / (4 + 6) = .84;  base after 6 bad ones: 2.8 / 10 = .28
    choice = choose(standing={"other": GOOD, "base": Standing(rating=1500, underpowered=6)})
    assert choice.scores == pytest.approx((0.28 - 0.069, 0.79))
    assert choice.candidate.name == "other"


def test_outcomes_of_other_kinds_cost_something() -> None:
    # n = 6 + 2 + 1 + 1 = 10: .03 * .2 + .1 * .1 = .016
    mixed = Standing(rating=1500, good_fit=6, overprovisioned=2, failed=1)
    assert choose(standing={"other": mixed}).scores[1] == pytest.approx(0.774)


def test_slow_models_and_cold_caches_cost_something() -> None:
    cheap_cache = ModelFacts(
        name="other", quality=0.7, prompt_per_1m=5, completion_per_1m=5, cached_per_1m=0.5
    )
    observed = {"base": Seen(latency_s=2), "other": Seen(latency_s=4, cache_hit=0.5)}
    choice = choose(observed=observed, facts=(BASE, cheap_cache))
    # base: .02 * 2/4 slower.  other: .02 * 1 slower, .02 * .5 cached, input 1 - .5 * .9 = .55
    assert choice.scores[0] == pytest.approx(0.631 - 0.01)
    assert choice.scores[1] == pytest.approx(0.6 - 0.02 - 0.0165 + 0.01 - 0.02)


def test_the_first_is_left_only_for_a_margin() -> None:
    standing = {"other": GOOD}  # .79 against .631
    assert choose({"switch_margin": 0.15}, standing).candidate.name == "other"
    assert choose({"switch_margin": 0.16}, standing).candidate.name == "base"


def test_a_dearer_one_has_to_win_what_it_costs_more() -> None:
    # base costs .02, other .04.  other .84 - .04 - .03 = .77; base x - .02 - .03 + .001
    cheap = ModelFacts(name="base", quality=0.9, prompt_per_1m=5, completion_per_1m=5)
    dear = ModelFacts(name="other", quality=0.7, prompt_per_1m=10, completion_per_1m=10)
    # (1.8 + g + 1) / (4 + g): g = 3.2 gives 6/7.2 = .8333 and .7843; g = 2.0 .8 and .751
    for good, chosen in (
        (2.0, "base"),
        (1.0, "other"),
    ):  # .77 < .751 + .02; .76 - .049 + .02 = .731
        standing = {"other": GOOD, "base": Standing(rating=1500, good_fit=good)}
        assert choose(standing=standing, facts=(cheap, dear)).candidate.name == chosen


def test_cost_margin_is_what_the_dearest_loses() -> None:
    assert choose({"cost_margin": 0.0}).scores == pytest.approx((0.671, 0.57))
    assert choose({"cost_margin": 0.2}).scores == pytest.approx((0.471, 0.47))


def test_outcomes_of_the_domain_alone_where_asked_for() -> None:
    math = Prompt(model="auto", question="2+2?", category="math")
    found = choose({"by_category": True}, {"other": GOOD}, prompt=math, category="math")
    assert found.candidate.name == "other"
    assert choose({}, {"other": GOOD}, prompt=math, category="math").candidate.name == "base"


def test_the_same_dice_draw_the_same_and_others_differ() -> None:
    drawn = [choose({"sample": True}, dice=d).why for d in (0.25, 0.25, 0.75)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].startswith("dice 0.25: ")


def test_each_is_taken_as_often_as_it_is_likely_to_be_the_best() -> None:
    """Two coins nobody has judged are taken about equally often, and a clear winner mostly."""
    coins = (ModelFacts(name="base"), ModelFacts(name="other"))
    rolls = [(i + 0.5) / 400 for i in range(400)]

    def share(standing: dict[str, Standing]) -> float:
        names = [
            choose({"sample": True}, standing, facts=coins, dice=d).candidate.name for d in rolls
        ]
        return names.count("other") / len(names)

    assert 0.4 < share({}) < 0.6
    assert share({"other": Standing(rating=1500, good_fit=20)}) > 0.9
    assert share({"other": Standing(rating=1500, underpowered=20)}) < 0.1


def test_scores_for_conversations_are_what_is_expected_not_what_was_drawn() -> None:
    drawn = choose({"sample": True}, dice=0.1)
    assert drawn.scores == pytest.approx(choose().scores)


def test_without_latencies_outcomes_decide_alone() -> None:
    known = answers(standing={("other", ""): GOOD})

    def reply(question: Ask[object]) -> object:
        return Failure("nobody") if isinstance(question, Observe) else known(question)

    chooser = ThompsonSelector(ThompsonRule(sample=False))
    chooser.meet((BASE, OTHER))
    assert picked(chooser, AMONG, reply).candidate.name == "other"
