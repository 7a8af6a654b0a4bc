from __future__ import annotations

import numpy as np
import pytest

from tests.selection.taught import FACTS, fails_safe, picked
from wayside.engines.selection_file import Floats, Learnt
from wayside.engines.selection_run import Model
from wayside.selection.svm import SvmRule, SvmSelector
from wayside.vocab.taught import Scored


def selector() -> SvmSelector:
    made = SvmSelector(SvmRule(file="mine.selector"))
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
    assert question.taught.algorithm == "svm" and question.taught.file == "mine.selector"
    assert found.scores == scores and found.candidate.model == model


def test_scores_worked_by_hand() -> None:
    """Support vectors at (1, 0) and (0, 1), gamma 1, a prompt at (1, 0): distances 0 and 2."""
    learnt = Learnt(
        "svm",
        ("a", "b"),
        (),
        "embedding",
        floats(0, 0),
        {
            "points": floats((1, 0), (0, 1)),
            "weights": floats((0.5, -1.0), (2.0, 0.25)),
            "biases": floats(0.1, -0.2),
            "gamma": floats(1),
        },
        {},
    )
    # .5 + 2 e^-2 + .1 = .870671;  -1 + .25 e^-2 - .2 = -1.166166
    assert Model(learnt).scores(floats(1, 0), (0, 1)) == pytest.approx((0.870671, -1.166166))
    assert Model(learnt).scores(floats(1, 0), (1,)) == pytest.approx((-1.166166,))


def test_it_fails_safe() -> None:
    fails_safe(selector())
