"""Measuring a classifier: figures checked by hand."""

import json

import pytest

from wayside.engines.evaluate import calibration_error, evaluate, to_dict, to_text


class Canned:
    """Says what it is told to: the text is "label:probability"."""

    labels = ("cat", "dog", "eel")

    def classify(self, text: str) -> tuple[tuple[str, float], ...]:
        label, probability = text.split(":")
        rest = [(other, 0.0) for other in self.labels if other != label]
        return ((label, float(probability)), *rest)


ROWS = [("cat:0.95", "cat"), ("cat:0.95", "dog"), ("dog:0.55", "dog"), ("cat:0.55", "cat")]


def ticks() -> float:
    _time.append(_time[-1] + 0.002)
    return _time[-1]


_time = [0.0]


def test_accuracy_and_figures_per_label() -> None:
    found = evaluate(Canned(), ROWS, clock=ticks)
    scores = dict(found.per_label)
    assert found.accuracy == 0.75
    assert scores["cat"].precision == pytest.approx(2 / 3)
    assert (scores["cat"].recall, scores["cat"].support) == (1, 2)
    assert (scores["dog"].precision, scores["dog"].recall) == (1, 0.5)
    assert scores["dog"].f1 == pytest.approx(2 / 3)
    assert (scores["eel"].f1, scores["eel"].support) == (0, 0)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_the_confusion_matrix_has_a_row_per_true_label() -> None:
    assert evaluate(Canned(), ROWS).confusion == ((2, 0, 0), (1, 1, 0), (0, 0, 0))


def test_cost_is_the_clock_over_the_rows() -> None:
    assert evaluate(Canned(), ROWS, clock=ticks).us_per_prompt == pytest.approx(500)


def test_calibration_error_weighs_each_bins_gap() -> None:
    # the .9 bin: two rows, .95 sure, half right; the .5 bin: two rows, .55 sure, all right
    assert evaluate(Canned(), ROWS).ece == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    assert calibration_error([], []) == 0


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(Canned(), [])


def test_an_unknown_label_names_its_row() -> None:
    with pytest.raises(ValueError, match=r"row 2: no label 'fox'; use one of: cat, dog, eel"):
        evaluate(Canned(), [("cat:1", "cat"), ("cat:1", "fox")])


def test_the_dict_is_json_and_the_text_a_table() -> None:
    found = evaluate(Canned(), ROWS, clock=ticks)
    data = json.loads(json.dumps(to_dict(found)))
    assert data["accuracy"] == 0.75
    assert data["labels"]["dog"]["recall"] == 0.5
    assert data["confusion"]["counts"][1] == [1, 1, 0]
    text = to_text(found)
    assert "4 rows, accuracy 0.750" in text
    assert "cat        0.667" in text
    assert text.splitlines()[-1].split() == ["eel", ".", ".", "."]
