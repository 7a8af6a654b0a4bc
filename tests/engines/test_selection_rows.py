from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wayside.engines.selection_rows import Question, models, read, split
from wayside.vocab.errors import ConfigError

ROW = {"query": "2+2?", "model": "small", "performance": 1, "response_time": 0.5}


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return path


def test_rows_of_one_question_are_put_together_and_repeats_averaged(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ROW,
        {**ROW, "performance": 0, "response_time": 1.5, "category": " Math "},
        "",
        {**ROW, "model": "big", "performance": True, "response_time": None, "cost": 3},
    )
    assert read([path]) == [
        Question("2+2?", "math", {"big": 1.0, "small": 0.5}, {"small": 1.0}),
    ]


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [{**ROW, "query": f"{i}", "model": m} for i in range(50) for m in "ab"]
    one = read([written(tmp_path, *rows)])
    two = read([written(tmp_path, *reversed(rows))])
    assert one == two and models(one) == ("a", "b")
    learn, measure = split(one, 0.2)
    assert len(measure) == 10 and not {q.text for q in learn} & {q.text for q in measure}


def test_the_best_is_the_faster_of_equals() -> None:
    question = Question("x", "", {"a": 0.5, "b": 1, "c": 1, "d": 1}, {"b": 2.0, "c": 1.0})
    assert question.best(("a", "b", "c", "d")) == "c"
    assert question.best(("a", "d", "b")) == "b"  # d was not timed
    assert question.best(("a", "e")) == "a"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "rows.jsonl:2: not JSON"),
        ("[]", "rows.jsonl:2: list where an object should be"),
        ({**ROW, "query": ""}, 'rows.jsonl:2: query is ""; give text'),
        ({"query": "x", "performance": 1}, "no field 'model'; add \"model\": text"),
        ({"query": "x", "model_name": "y"}, "no field 'model'; is 'model_name' meant? rename it"),
        ({**ROW, "performance": 1.5}, "performance is 1.5; give a number from 0 to 1"),
        ({**ROW, "performance": "good"}, "performance is"),
        ({**ROW, "response_time": -1}, "response_time is -1"),
        ('{"query": "x", "model": "y", "performance": NaN}', "performance is NaN"),
    ],
)
def test_a_line_that_is_no_row_is_named_with_the_fix(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read([written(tmp_path, ROW, row)])
    assert said in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read([tmp_path / "none"])
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read([tmp_path / "latin"])
