from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.draw import two_by_weight

SHARE = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9), SHARE, SHARE)
def test_the_two_are_never_the_same(weights: list[float], a: float, b: float) -> None:
    rolls = iter((a, b))
    i, j = two_by_weight(list(accumulate(weights)), lambda: next(rolls))
    assert i != j and {i, j} <= set(range(len(weights)))


def test_the_first_is_drawn_in_proportion() -> None:
    dice = random.Random(1).random
    drawn = Counter(two_by_weight([1.0, 3.0, 4.0], dice)[0] for _ in range(8000))
    assert [round(drawn[i] / 1000) for i in range(3)] == [2, 4, 2]
