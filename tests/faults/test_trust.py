"""The one table of faults, fuzz targets and load scenarios."""

from __future__ import annotations

from scripts import trust

REPORT = """<testsuites><testsuite>
<testcase classname="tests.faults.test_bodies" name="test_fault_01_a[x]" time="0.5"/>
<testcase classname="tests.faults.test_bodies" name="test_fault_01_a[y]" time="0.25">
<failure message="AssertionError: no&#10;more">text</failure></testcase>
<testcase classname="tests.faults.test_bodies" name="test_fault_02_b" time="1">
<skipped message="no Envoy"/></testcase>
<testcase classname="tests.load.test_overload" name="test_three_times_as_much" time="2">
<properties><property name="goodput" value="0.97"/></properties></testcase>
</testsuite></testsuites>"""


def test_a_row_is_as_its_worst_test() -> None:
    first, second = trust.gathered("faults", trust.cases(REPORT)[:3])
    assert (first.name, first.result, first.tests, first.seconds) == (
        "fault 01",
        "failed",
        2,
        0.75,
    )
    assert "AssertionError: no" in first.why and first.expected.startswith("400")
    assert (second.name, second.result, second.why) == (
        "fault 02",
        "skipped",
        "test_fault_02_b: no Envoy",
    )


def test_figures_are_in_the_table_and_colour_only_where_it_is_seen() -> None:
    (row,) = trust.gathered("load", trust.cases(REPORT)[3:])
    assert (row.name, row.figures) == ("three times as much", {"goodput": "0.97"})
    plain = trust.table([row], colour=False)
    assert "goodput=0.97" in plain and "\033" not in plain and "1 passed in 2 s" in plain
    assert "\033[32m" in trust.table([row], colour=True)
