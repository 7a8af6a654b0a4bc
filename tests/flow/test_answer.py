"""Where a request goes before anything is decided: paths, methods, names, the listing."""

import json
from typing import Any

import pytest

from tests.flow.driving import A4, CHAT, chat, outcome, policy, post
from wayside.flow import BODIES, Policy, refuse
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Reply

SEED = policy(A4)


def refused(request: Any, at: Policy = SEED) -> tuple[RequestError, dict[str, Any]]:
    with pytest.raises(RequestError) as caught:
        outcome(at, request)
    reply = refuse(caught.value)
    assert reply.status == caught.value.status
    assert reply.content_type == "application/json"
    assert reply.record.path == "error"
    body = json.loads(reply.body)
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return caught.value, body["error"]


def test_an_unknown_model_is_openais_404() -> None:
    error, body = refused(post(chat("gpt-9")))
    assert error.status == 404
    assert body == {
        "message": "The model `gpt-9` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_huge_model_name_is_not_repeated_in_full() -> None:
    assert len(refused(post(chat("x" * 100_000)))[1]["message"]) < 400


@pytest.mark.parametrize("path", sorted(BODIES))
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "post"])
def test_a_wrong_method_is_405_and_says_the_right_one(path: str, method: str) -> None:
    error, body = refused(post(b"", path=path + "?x=1", method=method))
    assert error.status == 405
    assert error.headers == (("allow", "POST"),)
    assert body["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v2/models",
        "/v1/modelsx",
        "*",
        "//v1/models",
    ],
)
def test_an_unknown_path_is_404_and_says_what_is_served(path: str) -> None:
    error, body = refused(post(b"{}", path=path))
    assert error.status == 404
    assert body["code"] == "unknown_url"
    assert CHAT in body["message"]
    assert "/v1/models" in body["message"]


def test_a_query_is_no_part_of_the_path() -> None:
    assert isinstance(outcome(SEED, post(b"", path="/v1/models?limit=1", method="GET")), Reply)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":5}', b'{"model":"\xff"}'])
def test_a_bad_body_is_400(body: bytes) -> None:
    assert refused(post(body))[0].status == 400


# The listing

LISTED = policy("""
models:
  big: {endpoints: [h], description: "The big one.", aliases: [gpt-4], loras: [law]}
  org/small: {endpoints: [h]}
recipes: {other: {default_model: big}}
entrypoints: [{names: [other-auto], recipe: other}]
""")


def listing(at: Policy, path: str = "/v1/models", method: str = "GET") -> Any:
    found = outcome(at, post(b"", path=path, method=method))
    assert isinstance(found, Reply)
    assert found.status == 200
    return json.loads(found.body)


def test_models_are_listed_with_the_names_that_route() -> None:
    found = listing(LISTED)
    assert found["object"] == "list"
    names = [item["id"] for item in found["data"]]
    assert names == ["auto", "MoM", "other-auto", "big", "gpt-4", "law", "org/small"]
    for item in found["data"]:
        assert item["object"] == "model"
        assert item["created"] == 1_700_000_000


def test_an_item_says_how_its_name_resolves() -> None:
    auto, *_ = listing(LISTED)["data"]
    assert auto["routing"] == {
        "resolution": "virtual",
        "selectable": True,
        "default_route": True,
        "recipe": "default",
    }
    big = listing(LISTED, "/v1/models/big")
    assert big["owned_by"] == "upstream-endpoint"
    assert big["description"] == "The big one."
    assert big["routing"]["resolution"] == "passthrough"
    assert listing(LISTED, "/v1/models/other-auto")["routing"]["recipe"] == "other"


@pytest.mark.parametrize("path", ["/v1/models/org/small", "/v1/models/org%2Fsmall"])
def test_an_item_with_a_slash_is_found_either_way(path: str) -> None:
    assert listing(LISTED, path)["id"] == "org/small"


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models"])
def test_the_listing_is_found_with_and_without_a_slash(path: str) -> None:
    assert listing(LISTED, path, "HEAD")["object"] == "list"


def test_an_unlisted_model_is_openais_404() -> None:
    error, body = refused(post(b"", path="/v1/models/nope", method="GET"))
    assert (error.status, body["code"]) == (404, "model_not_found")


def test_the_listing_is_only_read() -> None:
    error, _ = refused(post(b"", path="/v1/models", method="POST"))
    assert error.status == 405
    assert error.headers == (("allow", "GET, HEAD"),)


def test_configured_models_may_be_kept_out_of_the_listing() -> None:
    found = policy("models: {big: {endpoints: [h]}}\nlist_models: false")
    assert [item["id"] for item in listing(found)["data"]] == ["auto", "MoM"]


def test_no_name_may_route_at_all() -> None:
    found = policy("""
    models: {big: {endpoints: [h]}}
    auto_names: []
    recipes: {r: {default_model: big}}
    entrypoints: [{names: [e], recipe: r}]
    """)
    first, *_ = listing(found)["data"]
    assert first["id"] == "e"
    assert first["routing"]["default_route"] is False
    assert refused(post(chat("auto")), found)[0].status == 404
