"""What an evaluation counts, worked out by hand on a few answers."""

from __future__ import annotations

import json
import re

import pytest

from wayside.engines.page import as_html
from wayside.engines.report import Answer, answers, as_dict, as_text, chance_error, report
from wayside.engines.rows import Example


def answer(label: str, given: str, sure: float, lang: str = "en", us: float = 5.0) -> Answer:
    other = "no" if given == "yes" else "yes"
    return Answer(
        Example(f"{label} as {given}", label, lang, "plain", "a"),
        ((given, sure), (other, 1 - sure)),
        us,
    )


FOUND = [
    answer("yes", "yes", 0.95),
    answer("yes", "yes", 0.75),
    answer("yes", "no", 0.55, "de"),
    answer("no", "no", 0.95),
    answer("no", "yes", 0.65, "de", us=9.0),
]


def test_accuracy_labels_and_confusion() -> None:
    found = report("x", FOUND, "yes")
    assert found.accuracy == 0.6
    assert found.confusion == ((1, 1), (1, 2))  # no, yes
    yes = found.labels[1]
    assert (yes.label, yes.rows) == ("yes", 3)
    assert (yes.precision, yes.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.macro_f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.us_median == 5.0 and found.us_mean == pytest.approx(5.8)


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    # bins: .5 (one wrong at .55), .6 (one wrong at .65), .7 (one right), .9 (two right)
    gaps = 0.55 + 0.65 + 0.25 + 2 * 0.05
    assert report("x", FOUND).ece == pytest.approx(gaps / 5)


def test_honest_answers_would_show_an_error_too_on_so_few_rows() -> None:
    # one row of confidence p is off by 2 p (1 - p) on average; two of .95 by .1805
    off = 2 * 0.55 * 0.45 + 2 * 0.65 * 0.35 + 2 * 0.75 * 0.25 + 0.1805
    assert chance_error(report("x", FOUND)) == pytest.approx(off / 5)
    assert chance_error(report("x", [answer("yes", "yes", 1.0)])) == 0.0


def test_a_threshold_trades_coverage_for_precision() -> None:
    at = {t.threshold: t for t in report("x", FOUND).thresholds}
    assert at[0.7].coverage == pytest.approx(3 / 5) and at[0.7].precision == 1.0
    assert at[0.99].coverage == 0.0


def test_a_two_class_head_is_a_detector() -> None:
    roc = report("x", FOUND, "yes").roc
    assert roc is not None and roc.positive == "yes"
    # scores of yes: .95 .75 .45 (yes) and .05 .65 (no): five of six pairs are in order
    assert roc.auc == pytest.approx(5 / 6)
    assert roc.recall_at == ((0.01, pytest.approx(2 / 3)), (0.001, pytest.approx(2 / 3)))
    assert dict((t, (r, f)) for t, r, f in roc.by_threshold)[0.5] == (pytest.approx(2 / 3), 0.5)
    three = [Answer(Example("t", "a"), (("a", 0.5), ("b", 0.3), ("c", 0.2)))]
    assert report("x", three).roc is None


def test_equal_scores_are_one_step() -> None:
    same = [answer("yes", "yes", 0.5), answer("no", "yes", 0.5)]
    roc = report("x", same, "yes").roc
    assert roc is not None and roc.auc == pytest.approx(0.5)


def test_parts_are_told_by_language_and_source() -> None:
    parts = dict(report("x", FOUND).parts)
    assert {p.name: (p.rows, p.accuracy) for p in parts["lang"]} == {
        "en": (3, 1.0),
        "de": (2, 0.0),
    }
    assert [p.name for p in parts["source"]] == ["a"]
    assert "kind" not in parts, "one kind is no comparison"


def test_an_answer_without_labels_is_wrong_and_counted() -> None:
    found = report("x", [Answer(Example("?", "en"), ())])
    assert found.accuracy == 0 and "(none)" in as_text(found)


def test_no_answers_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to evaluate"):
        report("x", [])


def test_every_text_is_asked_and_timed() -> None:
    ticks = iter([0.0, 1e-6, 5.0, 5.0 + 3e-6])
    found = answers(
        lambda t: (("a", 1.0),), [Example("1", "a"), Example("2", "b")], ticks.__next__
    )
    assert [round(a.us) for a in found] == [1, 3]
    assert [a.right for a in found] == [True, False]


def test_the_dict_is_json() -> None:
    data = json.loads(json.dumps(as_dict(report("x", FOUND, "yes"))))
    assert data["accuracy"] == 0.6
    assert data["detector"]["recall_at_false_positives"]["0.01"] == 0.6667
    assert data["surest_mistakes"][0]["confidence"] == 0.65
    assert sum(bin["rows"] for bin in data["reliability"]) == 5


def test_the_page_stands_alone_and_escapes_what_people_wrote() -> None:
    evil = Answer(Example("<script>alert(1)</script>\ud800", "yes"), (("no", 0.9), ("yes", 0.1)))
    text = as_html(report("a <b> & c", [*FOUND, evil], "yes"))
    assert "<script" not in text and "&lt;script&gt;" in text and "a &lt;b&gt; &amp; c" in text
    assert not re.search(r"https?://|src=|href=|@import|url\(", text), "no request to anywhere"
    assert text.count("<svg") == 3 and "prefers-color-scheme:dark" in text
    text.encode("utf-8")
