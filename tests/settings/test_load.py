"""Reading a configuration: lines for mistakes, variables that cannot change the shape."""

import json
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wayside.settings.load import MAX_BYTES, parse
from wayside.vocab.errors import ConfigError


def refused(text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, env or {})
    return str(caught.value)


def test_yaml_and_json_are_both_read() -> None:
    assert parse("a: [1, {b: x}]", {}) == {"a": [1, {"b": "x"}]}
    assert parse(json.dumps({"a": [1, {"b": None}]}), {}) == {"a": [1, {"b": None}]}


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n"])
def test_nothing_is_an_empty_configuration(text: str) -> None:
    assert parse(text, {}) == {}


@pytest.mark.parametrize("text", ["[]", "- a", "word", "5", "true"])
def test_a_configuration_is_a_mapping(text: str) -> None:
    assert "a configuration is a mapping" in refused(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\nb: [\n", "line 3, column 1"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("a: 'open", "line 1, column 9"),
        ("a: b: c", "line 1, column 5"),
        ("a: 1\nb: *nowhere", "line 2, column 4"),
        ("a: !!python/object/apply:os.system [id]", "line 1, column 4"),
    ],
)
def test_bad_yaml_is_told_with_its_line(text: str, where: str) -> None:
    assert refused(text).startswith(f"{where}: not valid YAML: ")


def test_two_documents_are_not_one_configuration() -> None:
    assert refused("a: 1\n--- \nb: 2").startswith("document 2: 2 documents in one file")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2", 2),
        ("a:\n  b: 1\n  c: 2\n  b: 3", 4),
        ('{"a": 1,\n "a": 2}', 2),
        ('a: 1\n"a": 2', 2),
        ("1: x\n'1': y", 2),
    ],
)
def test_a_key_written_twice_is_refused_with_its_line(text: str, line: int) -> None:
    message = refused(text)
    assert message.startswith(f"line {line}: key ")
    assert "written twice" in message


@pytest.mark.parametrize("text", ["? [a, b]\n: c", "{a: b}: c", "? {a: b}\n: c"])
def test_a_key_is_a_word(text: str) -> None:
    assert refused(text) == "line 1: a key is a word, not a list or mapping"


@pytest.mark.parametrize("word", ["no", "on", "yes", "true", "null", "~", "5", "1.0", "0x10"])
def test_a_key_is_the_word_that_was_written(word: str) -> None:
    assert parse(f"{word}: 1", {}) == {word: 1}


def test_merges_work_and_what_is_written_wins() -> None:
    text = """
    base: &base {a: 1, b: 2}
    more: &more {<<: *base, b: 3}
    both: {<<: [*more, {c: 4}], d: 5}
    """
    read = parse(text, {})
    assert read["more"] == {"a": 1, "b": 3}
    assert read["both"] == {"a": 1, "b": 3, "c": 4, "d": 5}


def test_a_merged_mapping_may_be_used_again() -> None:
    read = parse("a: {<<: &m {<<: {x: 1}, x: 2}, y: 3}\nb: *m", {})
    assert read == {"a": {"x": 2, "y": 3}, "b": {"x": 2}}


# Variables


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${HOST}", "10.0.0.7"),
        ("http://${HOST}:8000", "http://10.0.0.7:8000"),
        ("${HOST}${HOST}", "10.0.0.710.0.0.7"),
        ("${NOPE:-default}", "default"),
        ("${NOPE:-}", ""),
        ("${HOST:-default}", "10.0.0.7"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${NOPE:-a:-b}", "a:-b"),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("cost in $", "cost in $"),
        ("$HOST", "$HOST"),
        ("^a$", "^a$"),
        ("${1BAD}", "${1BAD}"),
        ("${}", "${}"),
    ],
)
def test_variables_are_filled_in(value: str, expected: str) -> None:
    env = {"HOST": "10.0.0.7", "EMPTY": ""}
    assert parse(json.dumps({"a": [{"b": value}]}), env) == {"a": [{"b": expected}]}


def test_every_variable_that_is_missing_is_listed_with_its_path() -> None:
    message = refused("a: {b: ['x', '${ONE}']}\nc: ${TWO}")
    assert message.splitlines() == [
        "a.b[1]: environment variable ONE is not set; set it, or write ${ONE:-a default}",
        "c: environment variable TWO is not set; set it, or write ${TWO:-a default}",
    ]


@pytest.mark.parametrize(
    "value",
    [
        "a: b",
        "[1, 2]",
        "{x: y}",
        "x\ny: z",
        "'",
        '"',
        "# no",
        "&a",
        "*a",
        "!!int 5",
        "${HOST}",
        "no",
    ],
)
def test_a_value_that_looks_like_yaml_stays_a_string(value: str) -> None:
    assert parse("a: ${V}\nb: 1", {"V": value, "HOST": "!"}) == {"a": value, "b": 1}


@given(st.text())
def test_no_value_of_a_variable_changes_the_shape(value: str) -> None:
    assert parse("a: {c: 'pre-${V}-post'}\nb: ${V}", {"V": value}) == {
        "a": {"c": f"pre-{value}-post"},
        "b": value,
    }


def test_a_variable_that_yaml_needs_quotes_for_is_told_so() -> None:
    assert refused("a: [${V}]").endswith('a variable needs quotes: "${NAME}"')
    assert parse('a: ["${V}"]', {"V": "x"}) == {"a": ["x"]}


def test_keys_are_never_filled_in() -> None:
    assert parse("${A}: 1", {"A": "x"}) == {"${A}": 1}


# Bounds


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    assert "larger than 8 MiB" in refused("a" * (MAX_BYTES + 1))


def bomb(line: str, depth: int = 12) -> str:
    lines = ["x0: &x0 " + line.replace("PREVIOUS", "1").replace("<<: ", "y: ")]
    for i in range(1, depth):
        lines.append(f"x{i}: &x{i} " + line.replace("PREVIOUS", ", ".join([f"*x{i - 1}"] * 10)))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb("[PREVIOUS]"),
        bomb("{a: [PREVIOUS], b: [PREVIOUS]}"),
        bomb("{<<: [PREVIOUS]}"),
        "z:\n  <<: {<<: [&a {<<: ["
        + "&b {k: 1}, "
        + "*b, " * 2000
        + "]}, "
        + "*a, " * 2000
        + "]}",
        f"a: &a {'x' * 1_000_000}\nb: [{'*a, ' * 100_000}]",
    ],
    ids=["lists", "mappings", "merges", "inline merges", "text"],
)
def test_aliases_cannot_blow_up(text: str) -> None:
    began = time.process_time()
    assert "aliases make more than 1,000,000 values" in refused(text)
    assert time.process_time() - began < 30


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}"])
def test_a_value_inside_itself_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("text", ["a: " + "[" * 5_000, "{a: " * 5_000, "- " * 5_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    assert "not valid YAML" in refused(text)


def test_a_number_of_five_thousand_digits_is_refused() -> None:
    assert "not valid YAML" in refused("a: " + "9" * 5_000)


@pytest.mark.parametrize(
    "text", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x", "2026-99-99"]
)
def test_text_that_does_not_fit_its_tag_is_refused(text: str) -> None:
    said = refused(f"a: {text}")
    assert "line 1, column 4" in said and "is not a" in said


@pytest.mark.parametrize("text", ["9" * 400, "-" + "9" * 400, "0x" + "f" * 5_000])
def test_a_number_that_nothing_has_room_for_is_refused(text: str) -> None:
    assert "line 1, column 4" in refused(f"a: {text}")


@pytest.mark.parametrize("text", ["!!set [a]", "!!map [a]", "!!map a", "a: !!set [b]"])
def test_a_mapping_is_not_made_of_something_else(text: str) -> None:
    assert "is not a mapping" in refused(text)


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]).filter(lambda c: c != "$")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", min_size=1), _plain, max_size=4))
def test_what_was_dumped_is_what_is_read(document: dict[str, object]) -> None:
    assert parse(yaml.safe_dump(document, allow_unicode=True), {}) == document
