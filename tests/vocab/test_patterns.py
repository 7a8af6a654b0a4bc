"""Patterns that users write: RE2, in linear time, refused with what to write instead."""

import time

import pytest

from wayside.vocab.errors import ConfigError
from wayside.vocab.patterns import compile_pattern, compile_set


@pytest.mark.parametrize("case_sensitive", [True, False])
def test_case_matters_only_if_it_is_to(case_sensitive: bool) -> None:
    assert compile_pattern(r"\burgent\b", case_sensitive=case_sensitive).search("very urgent!")
    found = compile_pattern("urgent", case_sensitive=case_sensitive).search("URGENT")
    assert bool(found) is not case_sensitive


def test_a_set_says_which_of_its_patterns_match() -> None:
    together = compile_set(["a+", "b+", "c"], case_sensitive=False)
    assert sorted(together.Match("xBBaa") or ()) == [0, 1]


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "(?<!x)y", "a{100000}", "[z-a]"])
def test_what_re2_does_not_do_is_refused_with_the_place(pattern: str) -> None:
    with pytest.raises(ConfigError, match="does not compile") as caught:
        compile_pattern(pattern, where="urgent.keywords[0]")
    (problem,) = caught.value.problems
    assert problem.where == "urgent.keywords[0]"
    assert "RE2" in problem.fix
    with pytest.raises(ConfigError):
        compile_set(["fine", pattern])


def test_a_pattern_that_eats_other_engines_takes_no_time() -> None:
    pattern = compile_pattern(r"^(a+)+$")
    began = time.process_time()
    assert not pattern.search("a" * 50_000 + "b")
    assert time.process_time() - began < 1
