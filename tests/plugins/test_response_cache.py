"""The response cache: what is asked of the store, what is answered from it, what is kept."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_completions import CompletionBody
from wayside.plugins import Answer, Draft, Route
from wayside.plugins.response_cache import HEADER, ResponseCachePlugin, ResponseCacheRule
from wayside.vocab.ask import Ask, Embed, Failure, Now
from wayside.vocab.errors import RequestError
from wayside.vocab.identity import Identity
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.stores import Hit, Recall, Recalled, Release, Remember

ROUTE = Route("default", "hard", "auto", "large", "/v1 large-7b", policy="p")
ALICE = {"x-authz-user-id": "alice"}
KEY = {"authorization": "Bearer sk-secret"}
WHO = Identity(trusted=True)
NOW = 1_800_000_000.0


def completion(text: str = "Four.", why: str = "stop", **turn: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "large-7b",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **turn},
                "finish_reason": why,
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def whole(said: dict[str, Any], **more: Any) -> Answer:
    each = {"status": 200, "content_type": "application/json", "complete": True, **more}
    return Answer(body=json.dumps(said).encode(), **each)


class Shelf:
    """A cache in a dictionary, whose embedder finds that all questions are alike."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Remember] = {}
        self.asked: list[Ask[Any]] = []
        self.broken: tuple[type[Ask[Any]], ...] = ()
        self.leads = True
        self.now = NOW

    def answer(self, question: Ask[Any]) -> Any:
        self.asked.append(question)
        if isinstance(question, self.broken):
            return Failure("connection refused")
        match question:
            case Now():
                return self.now
            case Embed(texts=texts):
                return tuple((1.0, 0.0) if text.strip() else (0.0, 0.0) for text in texts)
            case Recall():
                return self.recall(question)
            case Remember():
                self.kept[question.partition, question.key] = question
            case Release():
                pass
            case _:
                pytest.fail(f"asked {question!r}")
        return None

    def recall(self, question: Recall) -> Recalled:
        found = self.kept.get((question.partition, question.key))
        if found is not None:
            return Recalled((Hit(found.body, found.question, NOW),))
        near = []
        if question.vector is not None:
            near = [
                Hit(e.body, e.question, NOW, 0.97, exact=False)
                for (partition, _), e in self.kept.items()
                if partition == question.partition and e.vector is not None
            ]
        return Recalled(tuple(near), leads=self.leads and bool(question.key))

    def drive(self, flow: Any) -> None:
        if not isinstance(flow, Generator):
            return
        try:
            asks = next(flow)
            while True:
                asks = flow.send(tuple(self.answer(one) for one in asks))
        except StopIteration:
            pass

    def of(self, kind: type[Ask[Any]]) -> list[Any]:
        return [one for one in self.asked if isinstance(one, kind)]


class Asked:
    """One request that came to the plugin."""

    def __init__(self, shelf: Shelf, draft: Draft) -> None:
        self.shelf, self.draft = shelf, draft

    @property
    def said(self) -> dict[str, str]:
        early = self.draft.early
        return dict(early.report if early else self.draft.report)

    @property
    def hit(self) -> bool:
        early = self.draft.early
        assert early is None or (early.path == "cache" and early.completion is not None)
        return early is not None

    def answered(self, answer: Answer) -> None:
        for witness in self.draft.witnesses:
            self.shelf.drive(witness.ended(answer))


def ask(
    shelf: Shelf,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    route: Route = ROUTE,
    plugin: ResponseCachePlugin | None = None,
    prepare: Any = None,
    **rule: Any,
) -> Asked:
    """Put a request to the plugin; ``body`` is bytes, a dictionary or a question."""
    if isinstance(body, str):
        body = {"model": "auto", "messages": [{"role": "user", "content": body}]}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parsed = CompletionBody(raw) if b'"prompt"' in raw else ChatBody(raw)
    headers = ALICE if headers is None else headers
    prompt = WHO.told(parsed.prompt(headers), headers)
    draft = Draft(parsed.edit, route=route, raw=raw)
    if prepare is not None:
        prepare(draft)
    plugin = plugin or ResponseCachePlugin(ResponseCacheRule(**rule))
    shelf.drive(plugin.before(prompt, draft))
    return Asked(shelf, draft)


def taught(body: Any = "What is two and two?", **how: Any) -> Shelf:
    """A shelf that holds the answer to one request."""
    shelf = Shelf()
    ask(shelf, body, **how).answered(whole(completion()))
    assert len(shelf.kept) == 1, [one.said for one in [ask(shelf, body, **how)]]
    return shelf


NEAR = {"mode": "exact_then_semantic"}
QUESTION = "What is two and two?"


# hits


def test_the_same_request_is_answered_from_the_cache_under_another_id() -> None:
    shelf = taught()
    shelf.now = NOW + 60
    plugin = ResponseCachePlugin(ResponseCacheRule())
    first, second = (ask(shelf, QUESTION, plugin=plugin) for _ in range(2))
    assert first.hit and second.hit
    assert first.draft.early and first.draft.early.completion
    assert second.draft.early and second.draft.early.completion
    told = first.draft.early.completion
    assert told["choices"] == completion()["choices"] and told["usage"] == completion()["usage"]
    assert told["id"].startswith("chatcmpl-cache-") and told["created"] == int(NOW) + 60
    assert told["id"] != second.draft.early.completion["id"]
    assert first.said == {"x-vsr-cache-hit": "true", HEADER: "hit; scope=user", "age": "60"}
    assert not first.draft.witnesses and not first.draft.edited


def test_how_alike_the_questions_are_is_for_those_who_debug() -> None:
    said = ask(taught(), QUESTION, {**ALICE, "x-vsr-debug": "true"}).said
    assert said["x-vsr-cache-similarity"] == "1.0000"


@pytest.mark.parametrize(
    "change",
    [
        lambda body: dict(reversed(body.items())),
        lambda body: {**body, "stream": True, "stream_options": {"include_usage": True}},
        lambda body: {**body, "prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        lambda body: json.dumps(body, indent=3).encode(),
        lambda body: json.dumps(body).replace("two", "\\u0074wo").encode(),
    ],
)
def test_what_does_not_change_an_answer_does_not_change_the_hit(change: Any) -> None:
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": QUESTION}],
        "metadata": {"a": "1", "b": "2"},
    }
    assert ask(taught(body), change(body)).hit


def test_completions_are_cached_too_but_only_for_the_same_prompt() -> None:
    body = {"model": "auto", "prompt": "Once upon a time"}
    shelf = Shelf()
    said = {**completion(), "object": "text_completion"}
    said["choices"] = [{"index": 0, "text": " there was", "finish_reason": "stop"}]
    ask(shelf, body, **NEAR).answered(whole(said))
    found = ask(shelf, body, **NEAR)
    assert found.hit and found.draft.early and found.draft.early.completion
    assert found.draft.early.completion["id"].startswith("cmpl-cache-")
    assert not shelf.of(Embed)


# who shares


@pytest.mark.parametrize("mode", ["exact", "semantic", "exact_then_semantic"])
@settings(max_examples=60, deadline=None)
@given(
    scope=st.sampled_from(["user", "team", "tenant"]),
    ours=st.tuples(*[st.sampled_from(["", "a", "b"])] * 3),
    theirs=st.tuples(*[st.sampled_from(["", "a", "b"])] * 3),
    keys=st.tuples(*[st.sampled_from(["", "sk-1", "sk-2"])] * 2),
)
def test_nobody_of_another_tenant_is_ever_answered(
    mode: str, scope: str, ours: Any, theirs: Any, keys: Any
) -> None:
    assume((ours[0], keys[0]) != (theirs[0], keys[1]))

    def headers(who: Any, key: str) -> dict[str, str]:
        names = ("x-authz-tenant-id", "x-authz-team-id", "x-authz-user-id")
        told = {name: value for name, value in zip(names, who, strict=True) if value}
        return told | ({"authorization": f"Bearer {key}"} if key else {})

    shelf = Shelf()
    how = {"mode": mode, "scope": scope}
    ask(shelf, QUESTION, headers(ours, keys[0]), **how).answered(whole(completion()))
    found = ask(shelf, QUESTION, headers(theirs, keys[1]), **how)
    if ours[0] != theirs[0]:
        assert not found.hit
    elif found.hit:  # of one tenant, or of none: the same team, the same user
        told = found.said[HEADER].rpartition("=")[2]
        place = ("tenant", "team", "user").index(told)
        assert ours[place] == theirs[place] != ""
        if scope == "user":
            assert told == "user"


def test_a_scope_that_a_request_does_not_tell_narrows() -> None:
    for scope in ("team", "tenant"):
        assert ask(Shelf(), QUESTION, scope=scope).said[HEADER] == "miss; scope=user"
        assert ask(Shelf(), QUESTION, KEY, scope=scope).said[HEADER] == "miss; scope=key"
    team = {**ALICE, "x-authz-team-id": "red"}
    bob = {"x-authz-user-id": "bob", "x-authz-team-id": "red"}
    shelf = taught(headers=team, scope="team")
    assert ask(shelf, QUESTION, bob, scope="team").hit
    assert not ask(shelf, QUESTION, bob, scope="user").hit


def test_without_an_identity_the_key_is_a_partition_of_its_own_and_is_told_to_nobody() -> None:
    shelf = taught(headers=KEY)
    assert ask(shelf, QUESTION, KEY).hit
    assert not ask(shelf, QUESTION, {"authorization": "Bearer sk-other"}).hit
    assert not ask(shelf, QUESTION, {"x-api-key": "Bearer sk-secret"}).hit
    assert "sk-secret" not in repr(shelf.asked)


def test_anonymous_requests_are_not_cached_unless_asked_for_and_the_answer_says_so() -> None:
    shelf = Shelf()
    found = ask(shelf, QUESTION, {})
    assert found.said == {HEADER: "off; nobody knows who asks"} and not shelf.asked
    assert not found.draft.witnesses
    shelf = taught(headers={}, anonymous="shared")
    assert ask(shelf, QUESTION, {}, anonymous="shared").hit
    assert not ask(shelf, QUESTION, KEY, anonymous="shared").hit
    assert not ask(shelf, QUESTION, {}, scope="global").hit
    assert ask(taught(headers={}, scope="global"), QUESTION, KEY, scope="global").hit


def test_users_that_a_client_tells_apart_are_apart() -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": QUESTION}]}
    ann, ben = {**body, "user": "ann"}, {**body, "user": "ben"}
    shelf = taught(ann, headers=KEY)
    assert ask(shelf, ann, KEY).hit and not ask(shelf, ben, KEY).hit
    assert not ask(shelf, {**body, "safety_identifier": "ann"}, KEY).hit
    assert ask(taught(ann, scope="global"), ben, scope="global").hit


# what tells answers apart

BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": QUESTION},
    ],
    "temperature": 0.2,
    "seed": 7,
    "metadata": {"flow": "a"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["top_p", "seed", "max_tokens", "stop", "tool_choice", "response_format", "logit_bias",
     "reasoning_effort", "metadata", "n", "tools", "unheard_of", "temperature", "chat_template"]
)  # fmt: skip


@pytest.mark.parametrize("mode", ["exact", "semantic", "exact_then_semantic"])
@settings(max_examples=80, deadline=None)
@given(name=NAMES, value=JSON)
def test_any_other_field_misses(mode: str, name: str, value: Any) -> None:
    shelf = taught(BODY, mode=mode)
    other = {**BODY, name: value}
    assume(json.dumps(other, sort_keys=True) != json.dumps(BODY, sort_keys=True))
    try:
        found = ask(shelf, json.dumps(other).encode(), mode=mode)
    except RequestError:
        reject()
    assert not found.hit


@pytest.mark.parametrize("mode", ["exact", "semantic", "exact_then_semantic"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("change", [{"content": "x"}, {"role": "developer"}, {"name": "n"}])
def test_any_other_turn_before_the_question_misses(
    mode: str, place: int, change: dict[str, Any]
) -> None:
    turns = [dict(turn) for turn in BODY["messages"]]
    turns[place] |= change
    assert not ask(taught(BODY, mode=mode), {**BODY, "messages": turns}, mode=mode).hit


@pytest.mark.parametrize("field", [name for name in Route._fields if name != "headers"])
@pytest.mark.parametrize("mode", ["exact", "semantic"])
def test_another_route_or_policy_misses(field: str, mode: str) -> None:
    shelf = taught(mode=mode)
    other = ROUTE._replace(**{field: "other"})
    assert ask(shelf, QUESTION, mode=mode).hit
    assert not ask(shelf, QUESTION, route=other, mode=mode).hit


@pytest.mark.parametrize("mode", ["exact", "semantic"])
@pytest.mark.parametrize("change", [{"namespace": "b"}, {"revision": "2"}])
def test_another_namespace_or_revision_misses(change: dict[str, str], mode: str) -> None:
    assert not ask(taught(mode=mode), QUESTION, mode=mode, **change).hit


@pytest.mark.parametrize("mode", ["exact", "semantic"])
def test_what_other_plugins_changed_counts_and_so_does_what_they_changed_it_from(
    mode: str,
) -> None:
    def masked(draft: Draft) -> None:
        draft.edit.rewrite_texts(lambda text: "Write to <EMAIL_ADDRESS_1>.")

    def instructed(draft: Draft) -> None:
        draft.edit.instruct("Be brief.", replace=True)

    def told(draft: Draft) -> None:
        draft.set["x-extra"] = "1"

    how = {"mode": mode}
    shelf = taught("Write to ann@x.org.", prepare=masked, **how)
    assert ask(shelf, "Write to ann@x.org.", prepare=masked, **how).hit
    assert not ask(shelf, "Write to ben@x.org.", prepare=masked, **how).hit
    assert not ask(taught(**how), QUESTION, prepare=instructed, **how).hit
    assert not ask(taught(**how), QUESTION, prepare=told, **how).hit


def test_the_version_of_an_api_counts() -> None:
    assert not ask(taught(), QUESTION, {**ALICE, "anthropic-beta": "b"}).hit
    assert ask(taught(), QUESTION, {**ALICE, "x-stainless-retry-count": "1"}).hit


# near answers


def test_a_near_question_is_answered_when_nothing_that_matters_differs() -> None:
    shelf = taught("What is the capital of France?", **NEAR)
    found = ask(shelf, "what's the capital of France", **NEAR)
    assert found.hit and found.said[HEADER] == "near; scope=user"
    assert not ask(shelf, "what's the capital of France").hit, "exact asks for the same"


def test_a_near_miss_is_no_hit_and_the_answer_says_why() -> None:
    shelf = taught("Is 20 mg of aspirin too much?", **NEAR)
    assert ask(shelf, "Is 200 mg of aspirin too much?", **NEAR).said[HEADER] == (
        "miss; scope=user; near miss: number"
    )


def test_the_question_is_embedded_only_when_it_may_help() -> None:
    shelf = taught("Hello! What is the capital of Peru, please?", **NEAR)
    assert shelf.of(Embed) == [Embed(("capital peru",))], "without what changes nothing"
    shelf = taught(**NEAR)
    shelf.asked.clear()
    assert ask(shelf, QUESTION, **NEAR).hit and not shelf.of(Embed)
    ask(shelf, QUESTION, mode="semantic")
    assert len(shelf.of(Embed)) == 1


def without(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": "a"}], **body, **more}


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("body", "asked_for"),
    [
        (without({}, tools=[TOOL]), "tools"),
        (without({}, n=2), None),
        (without({}, messages=[{"role": "user", "content": "```py\nprint(1)\n```"}]), "code"),
        (without({}, messages=[{"role": "user", "content": "1 2 3 4 5 6 7 8 9"}]), "numbers"),
        (without({}, messages=[{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:,"}}]}]), None),
        (without({}, messages=[{"role": "user", "content": "f"},
                               {"role": "tool", "tool_call_id": "1", "content": "4"}]), None),
        (without({}, messages=[{"role": "user", "content": "  "}]), None),
    ],
)  # fmt: skip
def test_some_requests_are_answered_only_by_the_same(body: Any, asked_for: str | None) -> None:
    shelf = taught(body, **NEAR)
    assert ask(shelf, body, **NEAR).hit
    assert not any(one.vector for one in shelf.of(Recall))
    if asked_for:
        shelf = Shelf()
        ask(shelf, body, **NEAR, semantic_for=[asked_for])
        assert any(one.vector for one in shelf.of(Recall))


def test_without_an_embedder_the_same_request_is_still_found() -> None:
    shelf = Shelf()
    shelf.broken = (Embed,)
    for mode in ("semantic", "exact_then_semantic"):
        ask(shelf, QUESTION, mode=mode).answered(whole(completion()))
        assert ask(shelf, QUESTION, mode=mode).hit


# what is not cached


def test_a_personal_request_is_not_cached_or_only_for_the_same_request() -> None:
    def personal(draft: Draft) -> None:
        draft.personal = True

    shelf = Shelf()
    found = ask(shelf, QUESTION, prepare=personal)
    assert found.said == {HEADER: "off; the request is personal"} and not shelf.asked
    how = {"personalized": "exact", "prepare": personal, **NEAR}
    shelf = taught(**how)
    assert ask(shelf, QUESTION, **how).hit and not shelf.of(Embed)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"temperature": 1.3}, "the temperature is high"),
        ({"audio": {"voice": "alloy"}}, "the answer is to be spoken"),
        ({"padding": "x" * (1 << 20)}, "the request is too large"),
    ],
)
def test_some_requests_are_not_cached_at_all(more: dict[str, Any], why: str) -> None:
    shelf = Shelf()
    assert ask(shelf, without(more)).said == {HEADER: f"off; {why}"}
    assert not shelf.asked


def test_a_request_that_cannot_be_read_is_not_cached() -> None:
    raw = b'{"model":"auto","messages":[{"role":"user","content":"a"}],"x":1e999}'
    assert ask(Shelf(), raw).said == {HEADER: "off; the request cannot be read"}


def test_a_field_that_stands_twice_is_not_cached() -> None:
    turn = b'"messages":[{"role":"user","content":"a \\"seed\\" or two"}]'
    twice = b'{"model":"auto",%b,"seed":1,"seed":2}' % turn
    assert ask(Shelf(), twice).said == {HEADER: "off; the request can be read in two ways"}
    once = b'{"model":"auto",%b,"seed":1}' % turn
    assert ask(Shelf(), once).said == {HEADER: "miss; scope=user"}


def test_all_that_a_server_of_the_clients_own_api_is_sent_counts() -> None:
    """A chat that plugins see may say less than the Messages request it was made of."""
    raw = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "What?"}]}
    route = ROUTE._replace(as_is=True)
    for mode in ("exact", "exact_then_semantic"):
        shelf = taught(raw, route=route, mode=mode)
        assert ask(shelf, {**raw, "stream": True}, route=route, mode=mode).hit
        for more in ({"thinking": {"type": "enabled"}}, {"max_tokens": 8}):
            assert not ask(shelf, {**raw, **more}, route=route, mode=mode).hit


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    "answer",
    [
        whole(completion(why="length")),
        whole(completion(why="content_filter")),
        whole(completion("", refusal="No.")),
        whole(completion("")),
        whole(completion(why="tool_calls", tool_calls=CALL)),
        whole({**completion(), "error": {"message": "no"}}),
        whole({**completion(), "choices": []}),
        whole(completion(), status=500),
        whole(completion(), status=201),
        whole(completion(), complete=False),
        whole(completion(), warnings=("hallucination",)),
        whole(completion(), path="cache"),
        whole(completion("x" * (1 << 20))),
        Answer(),
        Answer(status=200, content_type="application/json", body=b"{", complete=True),
    ],
)
def test_an_answer_that_is_not_fit_is_not_kept_and_whoever_waits_goes_on(answer: Answer) -> None:
    shelf = Shelf()
    ask(shelf, QUESTION).answered(answer)
    assert not shelf.kept
    (released,) = shelf.of(Release)
    (recalled,) = shelf.of(Recall)
    assert (released.partition, released.key) == (recalled.partition, recalled.key)


def test_calls_of_tools_are_kept_where_that_is_asked_for() -> None:
    shelf = Shelf()
    said = completion("", why="tool_calls", tool_calls=CALL)
    ask(shelf, QUESTION, tool_calls=True).answered(whole(said))
    assert ask(shelf, QUESTION, tool_calls=True).hit


def test_a_stream_is_kept_only_whole_and_is_what_a_whole_answer_would_have_been() -> None:
    each = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    pieces = [({"role": "assistant", "content": "Fo"}, None), ({"content": "ur."}, "stop")]
    events = [
        {**each, "choices": [{"index": 0, "delta": delta, "finish_reason": why}]}
        for delta, why in pieces
    ]
    stream = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    answer = {"status": 200, "content_type": "text/event-stream", "complete": True}
    shelf = Shelf()
    ask(shelf, QUESTION).answered(Answer(body=stream, **answer))
    assert not shelf.kept, "a stream without its end"
    ask(shelf, QUESTION).answered(Answer(body=stream + b"data: [DONE]\n\n", **answer))
    found = ask(shelf, QUESTION)
    assert found.hit and found.draft.early and found.draft.early.completion
    assert found.draft.early.completion["choices"][0]["message"]["content"] == "Four."


# the store


def test_a_store_that_is_not_there_costs_only_the_cache() -> None:
    shelf = Shelf()
    shelf.broken = (Recall, Remember, Release)
    found = ask(shelf, QUESTION)
    assert not found.hit and found.said == {HEADER: "off; the store gave no answer"}
    shelf.broken = (Remember, Release)
    for answer in (whole(completion()), Answer()):
        ask(shelf, QUESTION).answered(answer)  # nothing is raised
    assert not shelf.kept


def test_what_is_asked_of_the_store_is_what_the_settings_say() -> None:
    shelf = Shelf()
    rule = {"store": "redis", "ttl_s": 60, "wait_s": 0.5, "threshold": 0.95}
    ask(shelf, QUESTION, mode="semantic", **rule).answered(whole(completion()))
    (recall,), (keep,) = shelf.of(Recall), shelf.of(Remember)
    assert (recall.store, recall.wait_s, recall.threshold) == ("redis", 0.5, 0.95)
    assert (keep.store, keep.ttl_s, keep.question) == ("redis", 60, QUESTION)
    assert keep.partition.startswith("-/default/hard/large/") and len(keep.key) == 64


def test_an_entry_nobody_can_read_is_passed_over_and_replaced() -> None:
    shelf = taught()
    ((at, entry),) = shelf.kept.items()
    for body in (b"{", b"[]", b"{}"):
        shelf.kept[at] = Remember(entry.store, *at, body, 60)
        found = ask(shelf, QUESTION)
        assert not found.hit and "unreadable entry" in found.said[HEADER]
        found.answered(whole(completion()))
        assert ask(shelf, QUESTION).hit


def test_a_hit_by_meaning_lets_those_go_who_wait_for_the_same() -> None:
    shelf = taught("What is the capital of France?", **NEAR)
    shelf.asked.clear()
    assert ask(shelf, "what is the capital of France", **NEAR).hit
    assert len(shelf.of(Release)) == 1
    shelf.asked.clear()
    shelf.leads = False
    assert ask(shelf, "what is the capital of France", **NEAR).hit
    assert not shelf.of(Release), "it is somebody else who leads"


# what clients may say


def test_no_cache_asks_again_and_replaces_what_was_kept() -> None:
    shelf = taught()
    for header in ("x-vsr-cache-control", "cache-control"):
        found = ask(shelf, QUESTION, {**ALICE, header: "no-cache"})
        assert not found.hit
        found.answered(whole(completion(f"by {header}")))
        assert f"by {header}".encode() in next(iter(shelf.kept.values())).body
    assert not shelf.of(Release)


def test_no_store_reads_but_keeps_nothing_and_bypass_does_neither() -> None:
    shelf = Shelf()
    said = {**ALICE, "cache-control": "no-store"}
    ask(shelf, QUESTION, said).answered(whole(completion()))
    assert not shelf.kept and len(shelf.of(Release)) == 1
    assert ask(taught(), QUESTION, said).hit
    shelf = taught()
    shelf.asked.clear()
    found = ask(shelf, QUESTION, {**ALICE, "x-vsr-cache-control": "bypass"})
    assert found.said == {HEADER: "off; the client says so"} and not shelf.asked


def test_an_answer_may_be_too_old_for_a_client() -> None:
    shelf = taught()
    shelf.now = NOW + 100
    header = "x-vsr-cache-control"
    assert ask(shelf, QUESTION, {**ALICE, header: "max-age=100"}).hit
    found = ask(shelf, QUESTION, {**ALICE, header: "max-age=99"})
    assert not found.hit and found.said[HEADER] == "miss; scope=user; too old"


def test_a_client_may_say_how_long_its_answer_is_kept_up_to_a_limit() -> None:
    for wanted, kept_s in (("60", 60), ("999999", 500)):
        shelf = Shelf()
        header = {**ALICE, "x-vsr-cache-control": f"ttl={wanted}"}
        found = ask(shelf, QUESTION, header, controls={"max_ttl_s": 500})
        found.answered(whole(completion()))
        assert shelf.of(Remember)[0].ttl_s == kept_s


def test_what_a_client_may_not_say_is_not_followed_and_the_answer_says_so() -> None:
    header = {**ALICE, "x-vsr-cache-control": "no-cache, ttl=5"}
    found = ask(taught(), QUESTION, header, controls={"allowed": ["no-store"]})
    assert found.hit
    found = ask(Shelf(), QUESTION, header, controls={"allowed": ["no-cache"]})
    assert found.said[HEADER] == "miss; scope=user; ignored=ttl"
    assert ask(taught(), QUESTION, header, controls={"enabled": False}).hit


def test_a_header_of_ones_own_is_read_and_does_not_go_upstream() -> None:
    rule = {"controls": {"header": "X-My-Cache"}}
    shelf = taught(**rule)
    found = ask(shelf, QUESTION, {**ALICE, "x-my-cache": "no-cache"}, **rule)
    assert not found.hit and found.draft.removed == ["x-my-cache"]


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"controls": {"header": "authorization"}}, "something else"),
        ({"controls": {"header": "x-wayside-x"}}, "router's own"),
        ({"threshold": 0.8}, "for mode semantic"),
        ({"mode": "exact", "semantic_for": ["code"]}, "semantic_for"),
        ({"scope": "everybody"}, "scope"),
        ({"wait_s": 61}, "wait_s"),
        ({"ttl_s": 0}, "ttl_s"),
    ],
)
def test_settings_that_mean_nothing_are_refused(rule: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        ResponseCacheRule.model_validate(rule)


def test_the_report_is_plain_headers() -> None:
    pairs: HeaderPairs = tuple(ask(Shelf(), QUESTION).draft.report)
    assert all(value.isascii() and value.isprintable() for _, value in pairs)
