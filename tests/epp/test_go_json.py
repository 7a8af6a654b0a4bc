"""The words of Go's ``encoding/json``, which clients of the reference picker know."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.epp.go_json import READ, complaint

# From Go 1.24: json.Unmarshal into a map[string]any.
SAID = {
    b"no healthy upstream": "invalid character 'o' in literal null (expecting 'u')",
    b"": "unexpected end of JSON input",
    b"  {": "unexpected end of JSON input",
    b"tru": "unexpected end of JSON input",
    b"trux": "invalid character 'x' in literal true (expecting 'e')",
    b"hello": "invalid character 'h' looking for beginning of value",
    b"'a'": r"invalid character '\'' looking for beginning of value",
    b'{"a":1,}': "invalid character '}' looking for beginning of object key string",
    b"{a:1}": "invalid character 'a' looking for beginning of object key string",
    b'{"a" 1}': "invalid character '1' after object key",
    b'{"a":1 "b":2}': "invalid character '\"' after object key:value pair",
    b'{"a":}': "invalid character '}' looking for beginning of value",
    b"[1 2]": "invalid character '2' after array element",
    b"[1,]": "invalid character ']' looking for beginning of value",
    b"01": "invalid character '1' after top-level value",
    b"{} x": "invalid character 'x' after top-level value",
    b"-a": "invalid character 'a' in numeric literal",
    b"1.a": "invalid character 'a' after decimal point in numeric literal",
    b"1e+": "unexpected end of JSON input",
    b"1ea": "invalid character 'a' in exponent of numeric literal",
    rb'"\x"': "invalid character 'x' in string escape code",
    rb'"\u12g4"': r"invalid character 'g' in \u hexadecimal character escape",
    b'"a\nb"': r"invalid character '\n' in string literal",
    b'"a\x01b"': r"invalid character '\x01' in string literal",
    b"\xef\xbb\xbf{}": "invalid character '\u00ef' looking for beginning of value",
    "\u00e9".encode(): "invalid character '\u00c3' looking for beginning of value",
    b"\x85": r"invalid character '\u0085' looking for beginning of value",
    b"\x7f": r"invalid character '\x7f' looking for beginning of value",
    b'"a\x07"': r"invalid character '\a' in string literal",
    b'"a\x0b"': r"invalid character '\v' in string literal",
    b"[]": "json: cannot unmarshal array into Go value of type map[string]interface {}",
    b'"x"': "json: cannot unmarshal string into Go value of type map[string]interface {}",
    b"1.5e3": "json: cannot unmarshal number into Go value of type map[string]interface {}",
    b"false": "json: cannot unmarshal bool into Go value of type map[string]interface {}",
    b"null": "",
    b' {"a": [1, {"b": "\\u00e9\\n"}, -0.5e-3, true, null]} ': "",
}


@pytest.mark.parametrize("body", SAID)
def test_what_go_says(body: bytes) -> None:
    assert complaint(body) == SAID[body]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.booleans())
def test_there_is_nothing_to_say_of_an_object(value: dict[str, object], ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii, allow_nan=False)
    assert complaint(text.encode("utf-8", "replace")) == ""


@given(st.binary(max_size=300))
def test_it_always_has_an_answer(body: bytes) -> None:
    assert isinstance(complaint(body), str)


def test_long_and_deep_bodies_are_not_read_to_their_end() -> None:
    assert complaint(b'{"a":"' + b"x" * (2 * READ)) == "invalid JSON"
    assert complaint(b"[" * 100_000) == "exceeded max depth"
