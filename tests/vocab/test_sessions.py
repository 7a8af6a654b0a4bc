from __future__ import annotations

import base64

import pytest

from tests.endpoints.rig import need, servers
from wayside.vocab.errors import ConfigError
from wayside.vocab.sessions import Sessions, by_token, reader, token_of


@pytest.mark.parametrize(
    ("source", "headers", "body", "has"),
    [
        ({"header": "X-Session-ID"}, {"x-session-id": "s1"}, {}, True),
        ({"header": "x-session-id"}, {"x-session-id": ""}, {}, False),
        ({"cookie": "sid"}, {"cookie": "a=b; sid=s1; c"}, {}, True),
        ({"cookie": "sid"}, {"cookie": "asid=s1; id=s1"}, {}, False),
        ({"field": "user"}, {}, {"user": "s1"}, True),
        ({"field": "user"}, {}, {"user": 17}, True),
        ({"field": "user"}, {}, {"user": None}, False),
        (
            {"field": "session_params.session_id"},
            {},
            {"session_params": {"session_id": "s"}},
            True,
        ),
        ({"field": "session_params.session_id"}, {}, {"session_params": "s1"}, False),
        ({"field": "session_params"}, {}, {"session_params": {"session_id": "s"}}, False),
    ],
)
def test_a_source_has_a_session_or_not(source, headers, body, has) -> None:
    key = reader([source])(need(headers=headers, **body))
    assert (key is not None) == has and (key is None or len(key) == 16)


def test_the_first_source_that_says_something_counts() -> None:
    read = reader([{"header": "x-session-id"}, {"field": "user"}])
    both = need(headers={"x-session-id": "s1"}, user="u1")
    assert read(both) == read(need(headers={"x-session-id": "s1"}, user="u2"))
    assert read(need(user="u1")) == read(need("Something else.", user="u1"))
    assert read(need(user="s1")) != read(both), "a user is not a session of the same name"


def test_one_entry_names_one_place() -> None:
    with pytest.raises(ConfigError, match=r"sources\[1\]: one place at a time, not 2"):
        reader([{"header": "a"}, {"header": "a", "cookie": "b"}])


def test_a_token_is_the_servers_name() -> None:
    roster = servers(3)
    token = token_of(roster.endpoints[1])
    assert base64.b64decode(token) == b"b" and by_token(token, roster) == 1


@pytest.mark.parametrize("token", [None, "", "b", "!!", "eA==", "gICA", "YQ" * 2000])
def test_what_names_no_server_is_no_token(token) -> None:
    assert by_token(token, servers(3)) is None


def test_sessions_end_and_are_bounded() -> None:
    held, (a, b) = Sessions(most=2, ttl_s=10.0), servers(2).endpoints
    held.keep(b"1", a, now=0.0)
    held.keep(b"2", b, now=1.0)
    held.keep(b"1", a, now=2.0)
    held.keep(b"3", b, now=3.0)
    assert held.find(b"2", 3.0) is None, "unused for longest"
    assert held.find(b"1", 11.9) is a and held.find(b"1", 12.0) is None
    held.keep(b"4", b, now=12.5)
    assert len(held) == 2, "what ended makes room"
    held.forget(b)
    assert len(held) == 0
