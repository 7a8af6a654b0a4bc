from __future__ import annotations

import pytest

from wayside.vocab.ask import Failure, Similar
from wayside.vocab.likeness import Examples, best, compare, prototype, share, shown, unknown


def test_every_text_stands_in_a_bank_once() -> None:
    examples = Examples()
    assert examples.add(["a", "b", "a"], "small") == (0, 1)
    assert examples.add(["c", "b"], "small") == (2, 1)
    assert examples.add(["b"], "large") == (0,)
    banks = examples.banks()
    assert {engine: bank.texts for engine, bank in banks.items()} == {
        "small": ("a", "b", "c"),
        "large": ("b",),
    }
    flow = compare("t", banks)
    assert next(flow) == (Similar("t", banks["small"]), Similar("t", banks["large"]))


def test_a_score_is_the_best_and_a_little_of_the_second() -> None:
    cosines = (0.8, 0.1, 0.4, 0.9)
    assert prototype(cosines, (0, 1, 2)) == pytest.approx(0.75 * 0.8 + 0.25 * 0.6)
    assert prototype(cosines, (1,)) == pytest.approx(0.1)
    assert best(cosines, (0, 1, 2)) == 0


def test_what_people_read_is_one_short_line() -> None:
    assert shown("a\n\tb") == "a b"
    assert shown("x" * 1_000_000) == "x" * 59 + "…"
    assert unknown(Failure("no\nbody")).because == "no body"
    assert unknown(Failure("x")).unknown
    assert (share(1.2), share(-0.1), share(0.4)) == (1.0, 0.0, 0.4)
