"""A request that names its model goes straight through (A4-27, A4-34, A4-36, A4-39)."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.driving import A4, CHAT, chat, forwarded, nobody, outcome, policy, post
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.ask import Failure
from wayside.vocab.errors import RequestError
from wayside.vocab.headers import CREDENTIALS
from wayside.vocab.identity import NOBODY
from wayside.vocab.outcome import Reply

SEED = policy(A4)


def test_the_body_is_the_very_same_bytes_and_no_signal_is_read() -> None:  # A4-34
    request = post(b'{ "model" : "llama3-8b",\n"messages":[{"role":"user","content":"2+2 is"}]}')
    found = forwarded(SEED, request, nobody)
    assert found.body is request.body
    assert not found.changed
    assert found.target.name == "llama3-8b"
    assert dict(found.set_headers)["x-selected-model"] == "llama3-8b"
    assert found.record.recipe == found.record.decision == ""


def test_a_conversation_that_is_not_read_is_not_judged() -> None:
    request = post(b'{"model":"llama3-8b","messages":"whatever","tools":7,"x":"\xc3\xa9"}')
    assert forwarded(SEED, request).body is request.body


def test_a_body_that_is_no_text_is_refused_wherever_that_is() -> None:
    """Fault 1: no server shall read what was not read here."""
    request = post(b'{"model":"llama3-8b","messages":"whatever","x":"\xff"}')
    with pytest.raises(RequestError, match="not UTF-8"):
        forwarded(SEED, request)


def test_a_body_that_says_the_upstream_name_already_is_not_touched() -> None:
    named = policy("models: {big: {endpoints: [h], upstream_name: org/big, aliases: [org/big]}}")
    request = post(chat("org/big"))
    assert forwarded(named, request).body is request.body


@pytest.mark.parametrize("model", ["auto", "llama3-8b"])
@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (None, None),
        ("application/json", None),
        ("Application/JSON; charset=utf-8", None),
        ("application/x-www-form-urlencoded", "application/json"),
        ("text/plain", "application/json"),
    ],
)
def test_what_was_read_as_json_goes_on_as_json(
    model: str, said: str | None, sent: str | None
) -> None:
    headers = {} if said is None else {"content-type": said}
    found = forwarded(SEED, post(chat(model), headers), lambda ask: Failure("timed out"))
    assert dict(found.set_headers).get("content-type") == sent


# Names


NAMES = policy("""
models:
  big:
    endpoints: [h]
    upstream_name: meta-llama/Llama-3.1-70B
    aliases: [gpt-4, large]
    loras: [law, {name: medicine, description: doctors}]
""")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("big", "meta-llama/Llama-3.1-70B"),
        ("gpt-4", "meta-llama/Llama-3.1-70B"),
        ("large", "meta-llama/Llama-3.1-70B"),
        ("law", "law"),
        ("medicine", "medicine"),
    ],
)
def test_every_name_of_a_model_leads_to_its_servers(asked: str, sent: str) -> None:
    raw = b'{"a":1.0,"model":"%s","b":[1e400, 2],"messages":[]}' % asked.encode()
    found = forwarded(NAMES, post(raw))
    assert found.target.name == "big"
    assert found.body == raw.replace(asked.encode(), sent.encode())
    assert found.changed is (asked != sent)
    assert dict(found.set_headers)["x-selected-model"] == "big"
    assert found.record.requested == asked
    assert found.record.model == "big"


def test_nobody_answers_by_the_upstream_name_unless_told_to() -> None:
    with pytest.raises(RequestError, match="does not exist"):
        outcome(NAMES, post(chat("meta-llama/Llama-3.1-70B")))


def test_a_stream_is_remembered() -> None:
    assert forwarded(SEED, post(chat("llama3-8b", stream=True))).record.stream
    assert not forwarded(SEED, post(chat("llama3-8b"))).record.stream


# Paths


@pytest.mark.parametrize(
    ("base", "path", "sent"),
    [
        ("", CHAT, "/v1/chat/completions"),
        ("/v1", CHAT, "/v1/chat/completions"),
        ("/v1/", CHAT, "/v1/chat/completions"),
        ("/openai/v1", CHAT, "/openai/v1/chat/completions"),
        ("/api", CHAT + "?api-version=1", "/api/chat/completions?api-version=1"),
        ("/v1beta/openai", "/v1/embeddings", "/v1beta/openai/embeddings"),
        ("", "/v1/completions?a=/v1", "/v1/completions?a=/v1"),
    ],
)
def test_a_base_path_takes_the_place_of_v1(base: str, path: str, sent: str) -> None:
    found = policy(f"models: {{m: {{endpoints: ['http://h{base}']}}}}")
    assert forwarded(found, post(chat("m"), path=path)).path == sent


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_every_dialect_goes_straight_through(path: str) -> None:
    request = post({"model": "llama3-8b", "input": "x", "prompt": "x"}, path=path)
    found = forwarded(SEED, request)
    assert found.body is request.body
    assert found.path == path


# Credentials (A4-27)

WHO = set(NOBODY.removed)
"""Nobody is trusted to say who is asking, so what says it goes no further."""


def headers_of(
    model: str, sent: Mapping[str, str] | None = None
) -> tuple[dict[str, str], set[str]]:
    found = forwarded(SEED, post(chat(model), sent))
    return dict(found.set_headers), set(found.remove_headers)


def test_a_key_goes_to_its_own_provider_only() -> None:
    given, removed = headers_of("gpt-4o-mini")
    assert given["authorization"] == "Bearer sk-ours"
    assert removed == {"x-api-key", "api-key"} | WHO
    given, removed = headers_of("llama3-8b")
    assert "authorization" not in given
    assert "sk-ours" not in str(given)
    assert removed == set(CREDENTIALS) | WHO


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ("", set()),
        ("keep_authorization: true", {"authorization"}),
        ("credential: {env: OTHER_KEY, header: X-Api-Key, prefix: ''}", {"x-api-key"}),
        (
            "keep_authorization: true, credential: {env: OTHER_KEY, header: api-key, prefix: ''}",
            {"authorization", "api-key"},
        ),
    ],
)
def test_a_clients_own_key_is_dropped_unless_it_is_to_be_kept(
    settings: str, kept: set[str]
) -> None:
    found = forwarded(policy(f"models: {{m: {{endpoints: [h], {settings}}}}}"), post(chat("m")))
    assert set(found.remove_headers) == set(CREDENTIALS) - kept | WHO
    if "credential" in settings:
        (header,) = kept - {"authorization"}
        assert dict(found.set_headers)[header] == "other"


def test_a_rotated_key_is_in_the_next_request() -> None:
    seed = policy(A4)
    credential = seed.concrete["gpt-4o-mini"].target.credential
    assert credential is not None
    credential.value = "sk-rotated"
    found = forwarded(seed, post(chat("gpt-4o-mini")))
    assert dict(found.set_headers)["authorization"] == "Bearer sk-rotated"


def test_a_models_own_headers_go_with_it_in_lower_case() -> None:
    found = policy("models: {m: {endpoints: [h], headers: {X-Team: blue}}}")
    assert dict(forwarded(found, post(chat("m"))).set_headers) == {
        "x-selected-model": "m",
        "x-team": "blue",
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_name_of_a_model_can_forge_a_header(name: str) -> None:
    settings = RouterSettings.model_validate({"models": {name: {"endpoints": ["h"]}}})
    found = forwarded(compile_policy(settings), post(chat(name)))
    for pair in (*found.set_headers, *found.report):
        for part in pair:
            assert part.isascii() and part.isprintable()


def test_what_is_not_forwarded_is_a_reply() -> None:
    assert isinstance(outcome(SEED, post(b"", method="GET", path="/v1/models")), Reply)


def test_a_body_with_two_models_is_refused_before_anything_is_decided() -> None:
    for body in (b'{"model":"auto","messages":[],"model":"gpt-4o-mini"}',
                 b'{"model":"gpt-4o-mini","messages":[],"model":"gpt-4o-mini"}'):  # fmt: skip
        with pytest.raises(RequestError, match="'model' twice"):
            outcome(policy(A4), post(body))
