from __future__ import annotations

import base64

import pytest

from tests.endpoints.rig import need, servers
from wayside.vocab.endpoint import Endpoint, Need, Roster
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
    assert held.find(b"4", 12.5) is None
    held.keep(b"4", b, now=12.5)
    assert held.find(b"4", 12.5) is b, "it came back empty, and takes sessions again"
    held.forget(a)
    for i in range(9):
        held.keep(b"%d" % i, b, now=13.0)
    assert len(held) == 2 and not any(home.endpoint is a for home, _ in held._held.values())


def test_no_time_and_no_clock_that_jumps_breaks_sessions() -> None:
    held, (a, b) = Sessions(most=9, ttl_s=1e-12), servers(2).endpoints
    held.keep(b"1", a, now=1e6)
    assert held.find(b"1", 1e6) is None
    held = Sessions(most=9, ttl_s=10)
    for now in (5.0, 1e9, 3.0, 4.0):
        held.keep(b"%d" % now, b, now=now)
    assert held.find(b"3", 4.0) is b and len(held) <= 4


def test_a_server_without_a_name_of_its_own_is_not_told_to_clients_by_its_address() -> None:
    own, other = (Endpoint(name, "10.0.0.7:8000") for name in ("10.0.0.7:8000", "gpu-7"))
    roster = Roster((other, own))
    token = token_of(own)
    assert b"10.0" not in base64.b64decode(token) and len(token) == 24
    assert by_token(token, roster) == 1 and by_token(token_of(other), roster) == 0
    guess = base64.b64encode(b"10.0.0.7:8000").decode()
    assert by_token(guess, roster) is None, "nor can it be asked for by it"


@pytest.mark.parametrize(
    "body",
    [
        b'{"user":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"user":"\xff\xfe"}',
        b'{"user":' + b"9" * 100_000 + b"}",
        b'{"user":1e400}',
    ],
)
def test_no_body_is_too_strange_to_look_for_a_session_in(body: bytes) -> None:
    assert reader([{"field": "user"}])(Need("m", body=body)) is None
