"""Errors say what, where and what to do."""

import pytest

from wayside.vocab.errors import AskFailed, ConfigError, Problem, RequestError, WaysideError


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("no model"), "no model"),
        (Problem("no model", "models"), "models: no model"),
        (Problem("no model", "models", "add one"), "models: no model; add one"),
        (Problem("no model", fix="add one"), "no model; add one"),
    ],
)
def test_a_problem_reads_as_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text
    assert text in repr(problem)


def test_a_config_error_lists_every_problem() -> None:
    error = ConfigError([Problem("a", "x"), Problem("b", "y")])
    assert str(error) == "x: a\ny: b"
    assert [p.where for p in error.problems] == ["x", "y"]
    assert str(ConfigError.one("a", where="x", fix="b")) == "x: a; b"


def test_every_error_knows_its_status() -> None:
    assert RequestError("x").status == 400
    assert RequestError("x", status=404).status == 404
    assert AskFailed("x").status == 503
    assert ConfigError.one("x").status == 500
    assert all(issubclass(e, WaysideError) for e in (RequestError, AskFailed, ConfigError))
