"""The response cache's endpoints of the management API."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.api_rig import Api, listening, models
from wayside.vocab.stores import Recall, Recalled, Remember

ROOT = "/api/v1/response-cache"
CONFIG = """
models: {small: {endpoints: [http://127.0.0.1:1]}, large: {endpoints: [http://127.0.0.1:2]}}
identity: {trusted: true}
routing:
  default_model: small
  signals:
    keyword: {sums: {keywords: [sum]}, help: {keywords: [help]}}
  decisions:
    - name: maths
      when: "keyword:sums"
      models: [large]
      plugins: {response_cache: {mode: exact}}
    - name: support
      when: "keyword:help"
      models: [small]
      plugins: {response_cache: {mode: exact_then_semantic, threshold: 0.95}}
"""


QUICK = CONFIG.replace("{mode: exact_then_semantic, threshold: 0.95}", "{mode: exact}")
"""Loads no embedder."""


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with listening(models(), getattr(request, "param", QUICK)) as found:
        yield found


AWAY = QUICK.replace("{mode: exact}", "{mode: exact, store: shared}", 1).replace(
    "routing:", 'stores: {shared: {redis: {url: "redis://127.0.0.1:1/0"}}}\nrouting:'
)
by_meaning = pytest.mark.parametrize("api", [CONFIG], ids=["embedder"], indirect=True)


async def remember(api: Api, partition: str, key: str, **more: Any) -> None:
    await _ask(api, Remember("memory", partition, key, b"{}", 60, **more))


async def recalled(api: Api, partition: str, key: str) -> Recalled:
    found: Recalled = await _ask(api, Recall("memory", partition, key))
    return found


async def _ask(api: Api, question: Any) -> Any:
    found = api.app.stores.answerers()[type(question)](question)
    return await found if inspect.isawaitable(found) else found


async def test_what_its_stores_can_do_and_how_they_are(api: Api) -> None:
    status, told = await api.get(f"{ROOT}/capabilities")
    assert status == 200 and told["dry_run"] and told["audit"] == 500
    (row,) = told["stores"]
    assert row["store"] == row["kind"] == "memory" and "cache" in row["capabilities"]
    assert not row["shared"]
    status, told = await api.get(f"{ROOT}/health")
    assert status == 200 and told["status"] == "healthy"
    assert told["stores"][0]["mode"].startswith("in this process")


async def test_without_the_plugin_no_store_is_in_use() -> None:
    plain = "models: {small: {endpoints: [http://127.0.0.1:1]}}\nrouting: {default_model: small}"
    async with listening(models(), plain) as api:
        assert (await api.get(f"{ROOT}/health"))[1] == {"status": "unused", "stores": []}
        assert (await api.get(f"{ROOT}/stats"))[1] == {"stores": [], "total_entries": 0}


async def test_statistics_tell_no_secrets(api: Api) -> None:
    await remember(api, "-/auto/maths/large/d", "k", question="what is my salary?")
    status, told = await api.get(f"{ROOT}/stats")
    assert status == 200 and told["total_entries"] == 1
    assert told["stores"][0]["answers"] == 1 and told["stores"][0]["bytes"] > 500
    assert "salary" not in str(told)


async def test_answers_are_let_go_by_decision_model_and_question(api: Api) -> None:
    await remember(api, "-/auto/maths/large/d", "1", question="one?")
    await remember(api, "-/auto/maths/large/e", "2", question="two?")
    await remember(api, "-/auto/support/small/d", "3", question="one?")
    body = {"selector": {"decision": "maths"}}
    status, told = await api.post(f"{ROOT}/invalidate", body)
    assert status == 200 and told["dry_run"] is True and told["answers"] == 2
    assert (await recalled(api, "-/auto/maths/large/d", "1")).hits
    body = {"selector": {"decision": "maths", "question": "one?"}, "dry_run": False}
    status, told = await api.post(f"{ROOT}/invalidate", body)
    assert told["answers"] == 1 and told["dry_run"] is False
    assert not (await recalled(api, "-/auto/maths/large/d", "1")).hits
    assert (await recalled(api, "-/auto/support/small/d", "3")).hits
    for selector, gone in ({"model": "small"}, 1), ({"older_than_s": 0}, 1), ({"recipe": "x"}, 0):
        body = {"selector": selector, "dry_run": False}
        assert (await api.post(f"{ROOT}/invalidate", body))[1]["answers"] == gone, selector


async def test_a_flush_has_to_be_meant(api: Api) -> None:
    await remember(api, "p", "k")
    for body in ({}, {"confirm": "yes"}, {"confirm": None}):
        status, told = await api.post(f"{ROOT}/flush", body)
        assert status == 400 and "confirm" in told["error"]["message"]
    status, told = await api.post(f"{ROOT}/flush", {"dry_run": True})
    assert (status, told["answers"], told["stores"][0]["epoch"]) == (200, 1, "")
    assert (await recalled(api, "p", "k")).hits
    status, told = await api.post(f"{ROOT}/flush", {"confirm": "flush"})
    assert (status, told["answers"], told["stores"][0]["epoch"]) == (200, 1, "1")
    assert not (await recalled(api, "p", "k")).hits


async def test_the_audit_says_who_when_and_what_but_no_question(api: Api) -> None:
    await api.post(
        f"{ROOT}/invalidate", {"selector": {"question": "my salary?", "model": "small"}}
    )
    api.session.headers["x-wayside-operator"] = "joe"
    await api.post(f"{ROOT}/flush", {"confirm": "flush"})
    status, told = await api.get(f"{ROOT}/audit")
    assert status == 200
    flushed, dry = told["entries"]
    assert (flushed["action"], flushed["dry_run"], flushed["by"]) == (
        "flush", False, "joe at 127.0.0.1",
    )  # fmt: skip
    assert dry["selector"] == {"question": "(given)", "model": "small"} and dry["dry_run"]
    assert dry["by"] == "127.0.0.1" and flushed["at"] >= dry["at"] > 1.7e9
    assert "salary" not in str(told)


async def test_the_audit_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(510):
        await api.post(f"{ROOT}/flush", {"dry_run": True})
    assert len((await api.get(f"{ROOT}/audit"))[1]["entries"]) == 500


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("invalidate", {"selector": {}}, "is empty"),
        ("invalidate", {"selector": {"decison": "x"}}, "did you mean"),
        ("invalidate", {}, "selector"),
        ("invalidate", {"selector": {"model": "m"}, "store": "memroy"}, "did you mean 'memory'"),
        ("flush", {"confirm": "flush", "store": "other"}, "no cache 'other'"),
        ("test", {"first": {"text": "a"}, "second": {"text": ""}}, "second.text"),
        ("test", {"first": {"text": "a"}, "second": {"text": "b"}, "model": "aut"}, "'auto'"),
    ],
)
async def test_a_slip_is_told(api: Api, path: str, body: Any, says: str) -> None:
    status, told = await api.post(f"{ROOT}/{path}", body)
    assert status in (400, 404) and says in told["error"]["message"]


async def test_a_store_that_is_away_is_said_to_be_and_nothing_else_fails() -> None:
    async with listening(models(), AWAY) as api:
        status, told = await api.get(f"{ROOT}/health")
        assert status == 200 and told["status"] == "degraded"
        (away,) = [row for row in told["stores"] if not row["healthy"]]
        assert away["store"] == "shared" and "not connected" in away["mode"]
        status, told = await api.get(f"{ROOT}/stats")
        assert status == 200
        assert [bool(row["error"]) for row in told["stores"]] == [True, False]
        body = {"store": "shared", "selector": {"model": "small"}}
        status, told = await api.post(f"{ROOT}/invalidate", body)
        assert status == 503 and told["error"]["code"] == "CACHE_UNAVAILABLE"
        status, told = await api.post(f"{ROOT}/flush", {"confirm": "flush"})
        assert status == 200 and told["stores"][0]["error"]
        assert (await api.get(f"{ROOT}/audit"))[1]["entries"][0]["errors"] == 1
        api.app.stores.close()


# two prompts


async def trial(api: Api, first: Any, second: Any, **more: Any) -> Any:
    ask = [{"text": p} if isinstance(p, str) else p for p in (first, second)]
    status, told = await api.post(f"{ROOT}/test", {"first": ask[0], "second": ask[1], **more})
    assert status == 200, told
    return told


async def test_the_same_request_shares_an_answer_and_nothing_is_left_behind(api: Api) -> None:
    told = await trial(api, "what is the sum of 2 and 2", "what is the sum of 2 and 2")
    assert told["shared"] and told["why"] == "The requests are the same."
    assert told["first"] == {"decision": "maths", "model": "large", "cache": "miss; scope=user"}
    assert told["second"]["cache"].startswith("hit")
    assert (await api.get(f"{ROOT}/stats"))[1]["total_entries"] == 0


@by_meaning
async def test_a_question_that_means_the_same_shares_where_the_decision_says_so(
    api: Api,
) -> None:
    first, second = "please help me reset a password", "Please help me reset a password!"
    told = await trial(api, first, second)
    assert told["shared"] and told["why"] == "The questions mean the same."
    assert told["similarity"] > 0.95
    first, second = "what is the sum of a and b", "What is the sum of a and b?"
    told = await trial(api, first, second)
    assert not told["shared"] and "compares whole requests only" in told["why"]


@by_meaning
@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("help me with 2 abacuses", "help me with 3 abacuses", "Found, but not given: near miss"),
        ("help aaaa", "help bbbb", "too far apart"),
        ("help me", "what is the sum of a", "They go different ways: support, small and maths"),
        ("hello", "hello", "the default route, which has no response_cache"),
    ],
)
async def test_why_two_prompts_do_not_share(api: Api, first: str, second: str, why: str) -> None:
    told = await trial(api, first, second)
    assert not told["shared"] and why in told["why"]


async def test_two_users_do_not_share(api: Api) -> None:
    ask = "what is the sum of 2 and 2"
    other = {"text": ask, "headers": {"X-Authz-User-Id": "joe"}}
    told = await trial(api, ask, other)
    assert not told["shared"] and "who asks" in told["why"]
    told = await trial(api, ask, {"text": ask, "headers": {"x-vsr-cache-control": "bypass"}})
    assert not told["shared"] and "not cached" in told["why"]
