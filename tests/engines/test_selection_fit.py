from __future__ import annotations

import numpy as np
import pytest

from wayside.engines.selection_file import UNMEASURED, Floats, Learnt
from wayside.engines.selection_fit import FITS, Choices, winners
from wayside.engines.selection_run import Model
from wayside.vocab.taught import Algorithm

CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)] * 12, np.float32)
CORNERS[4:] += np.random.default_rng(3).normal(0, 0.05, (44, 2)).astype(np.float32)
ODD = np.array([0, 1, 1, 0] * 12)
"""Exclusive or: no straight line tells these apart."""


def tables() -> tuple[Floats, Floats]:
    """Model 0 is right where the corner is even, model 1 where it is odd."""
    quality = np.stack((1 - ODD, ODD), axis=1).astype(np.float32)
    return quality, np.ones_like(quality)


def model(algorithm: Algorithm, arrays: dict[str, Floats]) -> Model:
    return Model(Learnt(algorithm, ("even", "odd"), (), "", np.zeros(2, np.float32), arrays, {}))


def test_winners_are_the_best_then_the_faster_then_the_first() -> None:
    quality = np.array([(1, 0, 1), (1, 1, 1), (0, 0.5, UNMEASURED), (1, 1, 0)], np.float32)
    seconds = np.array([(2, 1, 1), (3, 3, 3), (1, 9, 0), (UNMEASURED, 5, 0)], np.float32)
    assert winners(quality, seconds).tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize("algorithm", ["svm", "mlp"])
def test_it_learns_what_no_straight_line_tells(algorithm: Algorithm) -> None:
    arrays = FITS[algorithm](CORNERS, *tables(), Choices(epochs=200, gamma=4.0))
    scores = [model(algorithm, arrays).scores(x, (0, 1)) for x in CORNERS]
    assert [int(b > a) for a, b in scores] == ODD.tolist()


def test_knn_keeps_the_rows() -> None:
    quality, seconds = tables()
    arrays = FITS["knn"](CORNERS, quality, seconds, Choices())
    near = model("knn", arrays).nearest(CORNERS[1], 3, (0, 1))
    assert [n.quality for n in near] == [(0.0, 1.0)] * 3


def test_kmeans_finds_the_groups_and_their_means() -> None:
    quality, seconds = tables()
    quality[0] = UNMEASURED, 0.6
    arrays = FITS["kmeans"](CORNERS, quality, seconds, Choices(clusters=4))
    found = sorted(map(tuple, arrays["points"].round().tolist()))
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1)]
    (near,) = model("kmeans", arrays).nearest(np.zeros(2, np.float32), 1, (0, 1))
    assert near.quality == pytest.approx((1.0, 0.05))  # 11 ones and one nothing; .6 / 12
    more = FITS["kmeans"](np.ones((9, 2), np.float32), quality[:9], seconds[:9], Choices())
    assert more["points"].shape == (1, 2)


def test_a_group_in_which_a_model_was_not_tried_has_its_mean_everywhere() -> None:
    points = np.array([(0, 0), (0, 0.1), (9, 9)], np.float32)
    quality = np.array([(0.2, 1), (0.4, 1), (UNMEASURED, 0)], np.float32)
    arrays = FITS["kmeans"](points, quality, np.ones_like(quality), Choices(clusters=2))
    (far,) = model("kmeans", arrays).nearest(points[2], 1, (0, 1))
    assert far.quality == pytest.approx((0.3, 0.0))


def test_mlp_expects_the_measured_quality_and_skips_what_was_not_tried() -> None:
    points = np.ones((64, 1), np.float32)
    quality = np.full((64, 2), 0.25, np.float32)
    quality[:32, 1] = UNMEASURED
    arrays = FITS["mlp"](points, quality, quality, Choices(epochs=200))
    a = Model(Learnt("mlp", ("a", "b"), (), "", np.zeros(1, np.float32), arrays, {}))
    assert a.scores(points[0], (0, 1)) == pytest.approx((0.25, 0.25), abs=0.03)


def test_svm_of_a_model_that_is_always_best_prefers_it() -> None:
    quality = np.tile(np.array((1.0, 0.0), np.float32), (8, 1))
    arrays = FITS["svm"](CORNERS[:8], quality, quality, Choices())
    always, never = model("svm", arrays).scores(np.full(2, 5, np.float32), (0, 1))
    assert always > never


@pytest.mark.parametrize("algorithm", sorted(FITS))
def test_the_same_seed_gives_the_same_arrays(algorithm: Algorithm) -> None:
    runs = [FITS[algorithm](CORNERS, *tables(), Choices(seed=s, epochs=3)) for s in (5, 5, 6)]
    for name, array in runs[0].items():
        assert array.dtype == np.float32 and array.tobytes() == runs[1][name].tobytes()
    if algorithm == "mlp":
        assert runs[0]["inner"].tobytes() != runs[2]["inner"].tobytes()
