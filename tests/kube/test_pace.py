"""Pauses grow, spread, and begin anew."""

from __future__ import annotations

from wayside.kube.errors import TooManyRequests, Unreachable
from wayside.kube.pace import LONGEST_REST_S, Pace, Pauses

PACE = Pace(first_s=1, longest_s=5, refused_first_s=4, refused_longest_s=20)


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Pauses(PACE, lambda: 0.0)

    assert [pauses.after(Unreachable("x")) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [pauses.after_refusal() for _ in range(4)] == [4, 8, 16, 20]


def test_dice_shorten_them_by_up_to_a_half() -> None:
    pauses = Pauses(PACE, lambda: 1.0)

    assert [pauses.after(None) for _ in range(4)] == [0.5, 1, 2, 2.5]
    assert pauses.after_refusal() == 2


def test_each_sort_begins_anew_by_itself() -> None:
    pauses = Pauses(PACE, lambda: 0.0)
    for _ in range(3):
        pauses.after(None)
        pauses.after_refusal()
    pauses.steady()
    assert (pauses.after(None), pauses.after_refusal()) == (1, 20)
    pauses.allowed()
    assert (pauses.after(None), pauses.after_refusal()) == (2, 4)


def test_what_the_server_asks_for_is_waited_within_reason() -> None:
    pauses = Pauses(PACE, lambda: 0.0)

    assert pauses.after(TooManyRequests("x", 429, retry_after_s=3)) == 3
    assert pauses.after(TooManyRequests("x", 429, retry_after_s=1)) == 2
    assert pauses.after(TooManyRequests("x", 429, retry_after_s=1e9)) == LONGEST_REST_S
