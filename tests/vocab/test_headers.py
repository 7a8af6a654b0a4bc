"""Which headers are ours, and which configuration may set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.headers import HOP_BY_HOP, OURS, header_name, header_value, is_internal


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("x-selected-model", True),  # A4-40
        ("x-gateway-destination-endpoint", True),
        ("x-vsr-debug", True),
        ("x-vsr-selected-decision", True),
        ("x-wayside-anything", True),
        ("x-user-openai-key", True),
        ("x-user-gemini-key", True),
        ("x-user-id", False),
        ("x-user-key-id", False),
        ("authorization", False),
        ("x-request-id", False),
        ("x-vsr", False),
        ("content-type", False),
    ],
)
def test_ours_are_known_by_name(name: str, ours: bool) -> None:
    assert is_internal(name) is ours


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "café", "x\x00", "(x)"])
def test_what_is_no_token_is_no_header_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        header_name(name)


@pytest.mark.parametrize("name", [*sorted(OURS), "Host", "X-Selected-Model", "X-User-OpenAI-Key"])
def test_configuration_cannot_set_what_the_router_sets(name: str) -> None:
    with pytest.raises(ValueError, match="router's own"):
        header_name(name)


def test_names_become_lower_case() -> None:
    assert header_name("X-Tenant") == "x-tenant"
    assert all(name == name.lower() for name in HOP_BY_HOP)


@given(st.text())
def test_a_value_is_one_line_or_refused(text: str) -> None:
    try:
        value = header_value(text)
    except ValueError:
        return
    assert value == text
    assert all(" " <= c <= "~" for c in value)
