from __future__ import annotations

import numpy as np
import pytest

from tests.selection.taught import FACTS, fails_safe, picked
from wayside.engines.selection_file import Floats, Learnt
from wayside.engines.selection_run import Model
from wayside.selection.mlp import MlpRule, MlpSelector
from wayside.vocab.taught import Scored


def selector() -> MlpSelector:
    made = MlpSelector(MlpRule(file="mine.selector"))
    made.meet(FACTS)
    return made


def floats(*rows: object) -> Floats:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("scores", "model"),
    [((0.2, 0.7, 0.6), "mid"), ((-0.5, -0.9, -0.4), "small"), ((0.5, 0.5, 0.5), "big")],
)
def test_the_greatest_score_is_chosen(scores: tuple[float, ...], model: str) -> None:
    found, question = picked(selector(), scores)
    assert isinstance(question, Scored)
    assert question.taught.algorithm == "mlp" and question.taught.file == "mine.selector"
    assert found.scores == scores and found.candidate.model == model


def test_scores_worked_by_hand() -> None:
    """x = (1, 2): hidden (1 - 2 + .5, 2 + 0) = (-.5, 2), rectified (0, 2)."""
    learnt = Learnt(
        "mlp",
        ("a", "b"),
        (),
        "embedding",
        floats(0, 0),
        {
            "inner": floats((1, 2), (-1, 0)),
            "inner_biases": floats(0.5, 0),
            "outer": floats((5, 5), (0.5, -1)),
            "outer_biases": floats(0, 0.5),
        },
        {},
    )
    # sigmoid(2 * .5) = .731059;  sigmoid(2 * -1 + .5) = sigmoid(-1.5) = .182426
    assert Model(learnt).scores(floats(1, 2), (0, 1)) == pytest.approx((0.731059, 0.182426), 1e-5)


def test_it_fails_safe() -> None:
    fails_safe(selector())
