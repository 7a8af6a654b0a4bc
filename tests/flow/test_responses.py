"""What is kept of the Responses API, and when."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from tests.flow.driving import A4, outcome, policy, post
from wayside.dialects.openai_responses import ResponsesBody
from wayside.flow import answer
from wayside.flow.responses import Keeping, _keeping
from wayside.flow.tap import ReplyTap
from wayside.vocab.ask import Ask, Failure, Now, Unguessable
from wayside.vocab.errors import RequestError
from wayside.vocab.identity import Identity
from wayside.vocab.outcome import Forward, Reply, Tap
from wayside.vocab.stores import Get, Put

PATH = "/v1/responses"
NUMBER = "0123456789abcdef" * 2
ID = f"resp_{NUMBER}"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


class Store:
    """Answers the asks of a request, and remembers in what order things happened."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.log: list[str] = []
        self.fails = False

    def __call__(self, question: Ask[Any]) -> Any:
        match question:
            case Now():
                return 1_700_000_000.7
            case Unguessable():
                return NUMBER
            case Get() | Put() if self.fails:
                return Failure("no disk")
            case Get(space=space, key=key):
                return self.kept.get((space, key))
            case Put(space=space, key=key, value=value, ttl_s=ttl_s):
                assert ttl_s == 2_592_000
                self.kept[space, key] = value
                self.log.append("kept")
                return None
        raise AssertionError(question)

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        try:
            batch = next(flow)
            while True:
                batch = flow.send(tuple(self(question) for question in batch))
        except StopIteration as stop:
            return stop.value


def asked(store: Store, **fields: Any) -> Forward:
    found = outcome(policy(A4), request(**fields), store)
    assert isinstance(found, Forward)
    return found


def request(key: str = "mine", **fields: Any) -> Any:
    body = {"model": "gpt-4o-mini", "input": "hi", **fields}
    return post(body, {"authorization": f"Bearer {key}"}, path=PATH)


def tap_of(forward: Forward) -> Tap:
    assert forward.tap is not None
    return forward.tap


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"


def completion(finish: str = "stop") -> bytes:
    turn = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": turn, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice], "usage": USAGE}).encode()


def test_a_request_goes_out_as_a_chat_and_its_answer_comes_back_as_a_response() -> None:
    store = Store()
    forward = asked(store, instructions="Be brief.")
    assert forward.path == "/v1/chat/completions"
    assert json.loads(forward.body) == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
    }
    tap = tap_of(forward)
    assert tap.begin(200, "application/json") == "whole"
    assert store.run(tap.feed(completion())) == b""
    said = json.loads(store.run(tap.finish()).body)
    assert (said["id"], said["created_at"], said["store"]) == (ID, 1_700_000_000, True)
    assert store.log == ["kept"]


def test_a_stream_is_kept_before_the_client_reads_its_end() -> None:
    store = Store()
    tap = tap_of(asked(store, stream=True))
    tap.begin(200, "text/event-stream")
    for piece in (chunk(content="hel"), chunk(content="lo"), chunk("stop")):
        store.run(tap.feed(piece))
    assert store.log == [], "nothing is kept of half an answer"
    flow = tap.feed(b"data: [DONE]\n\n")
    (batch,) = [next(flow)]
    assert isinstance(batch[0], Put), "the end is told when the store has it"
    with pytest.raises(StopIteration) as done:
        flow.send((None,))
    assert b"response.completed" in done.value.value
    assert store.run(tap.finish()).body == b""


@pytest.mark.parametrize(
    ("finish", "kept"), [("stop", True), ("length", True), ("content_filter", False)]
)
def test_what_a_filter_cut_short_is_not_gone_on_from(finish: str, kept: bool) -> None:
    store = Store()
    tap = tap_of(asked(store))
    tap.begin(200, "application/json")
    store.run(tap.feed(completion(finish)))
    store.run(tap.finish())
    assert bool(store.kept) is kept


def test_errors_are_not_kept() -> None:
    store = Store()
    tap = tap_of(asked(store))
    tap.begin(500, "application/json")
    store.run(tap.feed(b'{"error":{"message":"no","type":"x","param":null,"code":null}}'))
    store.run(tap.finish())
    assert not store.kept


def test_a_store_that_fails_costs_no_answer() -> None:
    store = Store()
    tap = tap_of(asked(store))
    store.fails = True
    tap.begin(200, "application/json")
    store.run(tap.feed(completion()))
    assert json.loads(store.run(tap.finish()).body)["status"] == "completed"
    for method, path in (("GET", f"{PATH}/{ID}"), ("DELETE", f"{PATH}/{ID}")):
        with pytest.raises(RequestError) as caught:
            outcome(policy(A4), post(b"", path=path, method=method), fails)
        assert (caught.value.status, caught.value.code) == (503, "state_unavailable")
    with pytest.raises(RequestError) as caught:
        asked(store, previous_response_id=ID)
    assert caught.value.code == "state_unavailable"


def fails(question: Ask[Any]) -> Any:
    return Failure("no disk at /secret/path")


def test_a_conversation_is_put_before_the_request_the_oldest_first() -> None:
    store = Store()
    tap = tap_of(asked(store, input="first"))
    tap.begin(200, "application/json")
    store.run(tap.feed(completion()))
    store.run(tap.finish())
    forward = asked(store, input="second", previous_response_id=ID)
    assert [turn["content"] for turn in json.loads(forward.body)["messages"]] == [
        "first",
        "hello",
        "second",
    ]
    with pytest.raises(RequestError, match="not found"):
        asked(store, key="theirs", previous_response_id=ID)
    found = outcome(policy(A4), post(b"", {"authorization": "Bearer mine"}, f"{PATH}/{ID}", "GET"),
                    store)  # fmt: skip
    assert isinstance(found, Reply) and json.loads(found.body)["id"] == ID


def test_a_circle_of_responses_ends() -> None:
    store = Store()
    space = Keeping(store="memory").shelf({"authorization": "Bearer mine"}).space
    response = {"id": ID, "output": []}
    store.kept[space, ID] = json.dumps(
        {"response": response, "input": [], "previous": ID}
    ).encode()
    with pytest.raises(RequestError) as caught:
        asked(store, previous_response_id=ID)
    assert caught.value.code == "conversation_too_long"


def test_callers_are_told_apart_by_user_then_by_key() -> None:
    trusting = Keeping(Identity(trusted=True), "memory")
    plain = Keeping(store="memory")

    def space(keeping: Keeping, user: str = "", key: str = "", tenant: str = "") -> str:
        headers = {
            "x-authz-user-id": user,
            "x-authz-tenant-id": tenant,
            "authorization": key,
        }
        return keeping.shelf({name: value for name, value in headers.items() if value}).space

    assert space(trusting, "ann", "k1") == space(trusting, "ann", "k2")
    assert space(trusting, "ann", "k1") != space(trusting, "bob", "k1")
    assert space(trusting, "ann", "k1", "t1") != space(trusting, "ann", "k1", "t2")
    assert space(plain, "ann", "k1") == space(plain, "bob", "k1"), "nobody vouches for the name"
    assert space(plain, key="k1") != space(plain, key="k2")
    assert "k1" not in space(plain, key="k1") and "ann" not in space(trusting, "ann")


def test_nothing_is_asked_about_ids_that_are_none_of_ours() -> None:
    for path in (f"{PATH}/resp_1", f"{PATH}/..%2f..", f"{PATH}/{ID}%00"):
        found = answer(policy(A4), post(b"", path=path, method="GET"), 0.0)
        assert isinstance(found, Generator)
        with pytest.raises(RequestError) as caught:
            next(found)
        assert caught.value.status == 404


class Others:
    """One model that may answer in the first one's place."""

    minds_length = True

    def __init__(self, forward: Forward) -> None:
        self.forward: Forward | None = forward

    def __call__(self, reason: str) -> Forward | None:
        following, self.forward = self.forward, None
        return following


def test_what_another_model_says_instead_is_kept_too() -> None:
    store = Store()
    plain = outcome(policy(A4), request(store=False), store)
    assert isinstance(plain, Forward)
    body = ResponsesBody(b'{"model":"m","input":"hi"}')
    body.begin(NUMBER, 1, keep=True)
    second = msgspec.structs.replace(plain, tap=ReplyTap((), (), None, body.client_stage()))
    first = msgspec.structs.replace(plain, fallback=Others(second))
    kept = _keeping(first, Keeping(store="memory").shelf({}), body)
    assert kept.fallback is not None and kept.fallback.minds_length
    following = kept.fallback("failure")
    assert following is not None and kept.fallback("failure") is None
    tap = tap_of(following)
    tap.begin(200, "application/json")
    store.run(tap.feed(completion()))
    store.run(tap.finish())
    assert store.log == ["kept"]
