"""Go's durations."""

from __future__ import annotations

import pytest

from wayside.maas import durations

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "ns", "shown"),
    [
        ("10m", 600 * SECOND, "10m0s"),
        ("4h", 14_400 * SECOND, "4h0m0s"),
        ("720h", 2_592_000 * SECOND, "720h0m0s"),
        ("90s", 90 * SECOND, "1m30s"),
        ("1.5h", 5400 * SECOND, "1h30m0s"),
        ("1h0m0.5s", 3600 * SECOND + SECOND // 2, "1h0m0.5s"),
        ("100ms", SECOND // 10, "100ms"),
        ("1.5ms", 1_500_000, "1.5ms"),
        ("1us", 1000, "1µs"),
        ("1µs", 1000, "1µs"),
        ("7ns", 7, "7ns"),
        ("-5m", -300 * SECOND, "-5m0s"),
        ("+5m", 300 * SECOND, "5m0s"),
        ("0", 0, "0s"),
        (".5s", SECOND // 2, "500ms"),
        ("2562047h47m16.854775807s", (1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_in_and_out(text: str, ns: int, shown: str) -> None:
    """A2-05: what Go's time.ParseDuration reads, and Duration.String writes."""
    assert durations.parse(text) == ns
    assert durations.text(ns) == shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("2x", 'time: unknown unit "x" in duration "2x"'),
        ("10", 'time: missing unit in duration "10"'),
        ("abc", 'time: invalid duration "abc"'),
        ("1h2", 'time: missing unit in duration "1h2"'),
        (".s", 'time: invalid duration ".s"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("١m", 'time: invalid duration "\\u0661m"'),  # a digit, though not one of Go's
        ("2562047h47m16.854775808s", 'time: invalid duration "2562047h47m16.854775808s"'),
    ],
)
def test_words_of_errors(text: str, error: str) -> None:
    """A2-05."""
    with pytest.raises(ValueError, match="time") as caught:
        durations.parse(text)
    assert str(caught.value) == error


def test_hostile_texts_are_answered_at_once_and_briefly() -> None:
    for text in ("9" * 1_000_000 + "h", "1s" * 500_000, '"\n' * 1000):
        with pytest.raises(ValueError, match="invalid duration") as caught:
            durations.parse(text)
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [True, [], {}, float("nan"), float("inf"), 1e300])
def test_other_types_are_no_durations(value: object) -> None:
    """A2-05."""
    with pytest.raises(ValueError, match=r"^invalid duration$"):
        durations.read(value)


def test_numbers_are_seconds() -> None:
    """A2-05."""
    assert durations.read(600) == 600 * SECOND
    assert durations.read(0.5) == SECOND // 2
