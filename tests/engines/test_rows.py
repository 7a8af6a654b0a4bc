"""Reading labelled rows: what is accepted, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from wayside.engines.rows import Example, read, relabelled
from wayside.vocab.errors import ConfigError


def written(folder: Path, *lines: str) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    return file


def test_rows_are_read_with_what_they_say_of_themselves(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '{"text": "hi", "label": "a", "lang": "en", "kind": "chat", "group": "7", "more": 1}',
        "",
        '{"label": "b", "messages": [{"role": "user", "content": "x"}, '
        '{"role": "assistant", "content": "y"}, {"role": "user", "content": "last"}]}',
    )
    assert read(file) == [
        Example("hi", "a", "en", "chat", "rows.jsonl", "7"),
        Example("last", "b", source="rows.jsonl"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "rows.jsonl:2: not JSON"),
        ("[1]", "rows.jsonl:2: list where an object should be"),
        ('{"text": "x", "lable": "a"}', "rows.jsonl:2: no field 'label'; is 'lable' meant"),
        ('{"txt": "x", "label": "a"}', "rows.jsonl:2: no field 'text'; is 'txt' meant"),
        ('{"text": 3, "label": "a"}', "rows.jsonl:2: text is int, not text"),
        ('{"text": "x", "label": ""}', "rows.jsonl:2: label is empty"),
        ('{"text": "x", "label": "satisfyed"}', "did you mean 'satisfied'"),
        ('{"label": "a", "messages": []}', "rows.jsonl:2: no user turn"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_fix(
    tmp_path: Path, line: str, said: str
) -> None:
    file = written(tmp_path, '{"text": "fine", "label": "satisfied"}', line)
    with pytest.raises(ConfigError) as error:
        read(file, ("satisfied", "a"))
    assert said.replace(";", "") in str(error.value).replace(";", "")


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "odd").write_bytes(b'{"text": "\xff"}')
    with pytest.raises(ConfigError, match="not UTF-8"):
        read(tmp_path / "odd")


def test_labels_are_renamed_and_others_left_out() -> None:
    rows = [Example("1", "math"), Example("2", "law")]
    assert relabelled(rows, {"math": "none"}) == [Example("1", "none")]
