"""Only models that the caller may use are candidates; guards run whoever asks (A2-35)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flow.driving import chat, outcome, policy, post
from wayside.dialects.openai_chat import ChatBody
from wayside.fleet import Urgencies
from wayside.flow import Policy
from wayside.settings.model import IdentitySettings
from wayside.settings.resilience import UrgencySettings
from wayside.vocab.access import Caller, Hold, Release, Reserve
from wayside.vocab.ask import Now, Unguessable
from wayside.vocab.errors import RequestError
from wayside.vocab.observed import Held, Observe, Seen
from wayside.vocab.observed import Hold as Keep
from wayside.vocab.outcome import Forward, HeaderPairs, Outcome, Reply, Request

CONFIG = """
maas: {}
models:
  a: {endpoints: [h], aliases: [first], loras: [a-sql], fallbacks: [b, c]}
  b: {endpoints: [h], fallbacks: [c]}
  c: {endpoints: [h]}
  Model-D: {endpoints: [h]}
routing:
  default_model: c
  signals:
    keyword:
      sums: {keywords: [integral]}
      trade: {keywords: [invoice]}
      bad: {keywords: [bomb]}
      open: {keywords: [hours]}
      mixed: {keywords: [mixed]}
  decisions:
    - {name: math, when: "keyword:sums", models: [a, b]}
    - {name: business, when: "keyword:trade", models: [b]}
    - {name: guarded, priority: 9, when: "keyword:bad", models: [a],
       plugins: {fast_response: {message: "No."}}}
    - {name: free, when: "keyword:open", plugins: {fast_response: {message: "Nine to five."}}}
    - {name: styled, when: "keyword:mixed", models: [a],
       plugins: {system_prompt: {prompt: "Be brief."}}}
recipes:
  none: {decisions: [{name: only, models: [b]}]}
  unset: {default_model: a, decisions: [{name: rest, when: "keyword:x", models: [b]}],
          signals: {keyword: {x: {keywords: [zzz]}}}}
entrypoints: [{names: [none], recipe: none}, {names: [unset], recipe: unset}]
"""
POLICY = policy(CONFIG)


class Desk:
    """Lets everybody have what they ask for, and counts what is given back."""

    def __init__(self) -> None:
        self.reserved: list[str] = []
        self.released = 0
        self.kept: dict[str, bytes] = {}

    def __call__(self, question: Any) -> Any:
        match question:
            case Reserve(model=model):
                self.reserved.append(model)
                return Hold(id="h", tokens=9)
            case Release():
                self.released += 1
                return None
            case Keep(key=key, value=value):
                self.kept[key] = value
                return None
            case Held(key=key):
                return self.kept.get(key)
            case Observe(models=models):
                return tuple(Seen() for _ in models)
            case Now():
                return 1.0
            case Unguessable():
                return "0" * 32
        raise AssertionError(f"nothing was to be asked: {question}")


def asked(
    body: Any,
    *models: str,
    path: str = "/v1/chat/completions",
    at: Policy = POLICY,
    desk: Desk | None = None,
    method: str = "POST",
    **who: Any,
) -> Outcome:
    caller = Caller(user="alice", tier="free", models=frozenset(models), **who)
    came = post(body, path=path, method=method)
    request = Request(came.method, came.path, came.headers, came.body, caller=caller)
    return outcome(at, request, desk or Desk())


def sent(body: Any, *models: str, **more: Any) -> Forward:
    found = asked(body, *models, **more)
    assert isinstance(found, Forward), found
    return found


def refused(body: Any, *models: str, **more: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        asked(body, *models, **more)
    return caught.value


def header(pairs: HeaderPairs, name: str) -> str | None:
    return dict(pairs).get(name)


def test_the_candidates_are_those_that_the_caller_may_use() -> None:
    """A2-29, A2-35: the decision stands; another of its models answers."""
    assert sent(chat("auto", "an integral"), "a", "b", "c").target.name == "a"
    other = sent(chat("auto", "an integral"), "b", "c")
    assert other.target.name == "b"
    assert header(other.report, "x-vsr-selected-decision") == "math"
    assert json.loads(other.body)["model"] == "b"


def test_the_default_answers_where_no_candidate_is_left() -> None:
    """A2-35: with the plugins of the decision that holds."""
    found = sent(chat("auto", "mixed"), "c")
    assert found.target.name == "c"
    assert header(found.report, "x-vsr-selected-decision") == "styled"
    assert header(found.report, "x-vsr-selected-algorithm") == "default"
    assert json.loads(found.body)["messages"][0]["content"] == "Be brief."


def test_403_only_where_nothing_is_left_and_it_says_why() -> None:
    """A2-35: names of models that the caller may not use are not told."""
    desk = Desk()
    error = refused(chat("auto", "an integral"), "Model-D", desk=desk)
    assert (error.status, error.kind, error.code) == (403, "permission_error", "model_not_allowed")
    assert "'math'" in str(error) and "Model-D" in str(error)
    assert "b" not in str(error).split() and "`" not in str(error)
    assert error.record is not None and error.record.decision == "math"
    assert desk.released == 1, "what was set aside is given back"


def test_403_where_no_decision_holds_and_the_default_is_not_for_the_caller() -> None:
    error = refused(chat("auto", "hello"), "a")
    assert error.status == 403 and "default model" in str(error) and str(error).endswith(": a.")


def test_who_may_use_nothing_is_told_so() -> None:
    assert "no model that you may use" in str(refused(chat("auto", "hello")))


def test_a_guard_answers_whoever_asks() -> None:
    """A guard is never skipped because of rights."""
    for models in (("a",), ("Model-D",), ()):
        found = asked(chat("auto", "a bomb"), *models)
        assert isinstance(found, Reply) and b"No." in found.body
        assert header(found.report, "x-maas-model-executed") == "none"


def test_a_decision_without_a_model_needs_no_right() -> None:
    found = asked(chat("auto", "opening hours"))
    assert isinstance(found, Reply) and b"Nine to five." in found.body


@pytest.mark.parametrize("name", ["a", "first", "a-sql"])
def test_a_model_is_named_by_its_aliases_and_adapters_too(name: str) -> None:
    """A2-35: 403 for one that is there, 404 for one that is not."""
    assert sent(chat(name), "a").target.name == "a"
    error = refused(chat(name), "b")
    assert (error.status, error.code, error.param) == (403, "model_not_allowed", "model")
    assert f"`{name}`" in str(error) and str(error).endswith("may use: b.")
    assert refused(chat("nobody"), "b").status == 404


def test_only_what_the_caller_may_use_stands_in() -> None:
    """A2-35, A2-37: and the answer says which model it was."""
    first = sent(chat("a"), "a", "c")
    assert header(first.report, "x-maas-model-executed") == "a"
    assert header(first.report, "x-maas-model-requested") == "a"
    assert first.fallback is not None
    second = first.fallback("failure")
    assert second is not None and second.target.name == "c", "b is not for the caller"
    assert header(second.report, "x-maas-model-executed") == "c"
    assert header(second.report, "x-maas-model-requested") == "a"
    assert second.fallback is not None and second.fallback("failure") is None
    assert sent(chat("a"), "a").fallback is None
    routed = sent(chat("auto", "an integral"), "a", "b")
    assert routed.fallback is not None
    following = routed.fallback("failure")
    assert following is not None and following.target.name == "b"
    assert routed.fallback("failure") is None


def test_a_conversation_leaves_a_model_that_was_taken_away() -> None:
    """A2-35: rights count from the next request on."""
    at = policy(
        CONFIG.replace(
            "models: [a, b]}", "models: [a, b], select: weighted, sticky: {enabled: true}}"
        )
    )
    desk, caller = Desk(), {"at": at}
    begins = chat("auto", "an integral")
    goes_on = {
        "model": "auto",
        "messages": [
            {"role": "user", "content": "an integral"},
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": "another integral"},
        ],
    }
    assert sent(begins, "a", "b", desk=desk, **caller).target.name == "a"
    stays = sent(goes_on, "a", "b", desk=desk, **caller)
    assert (stays.target.name, stays.record.session) == ("a", "stay")
    left = sent(goes_on, "b", "c", desk=desk, **caller)
    assert (left.target.name, left.record.session) == ("b", "left")


def test_an_algorithm_asks_no_model_that_is_not_for_the_caller() -> None:
    """A judge that may not be asked makes its decision impossible; a helper that only chooses is
    done without."""
    extra = """
    - {name: panel, models: [a, b], when: "keyword:sums", priority: 20,
       select: {fusion: {model: Model-D}}}
    - {name: helped, models: [a, b], when: "keyword:trade", priority: 20,
       select: {prompt: {model: Model-D}}}
"""
    at = policy(CONFIG.replace("recipes:\n", f"{extra.lstrip(chr(10))}recipes:\n"))
    found = sent(chat("auto", "an integral"), "a", "b", "c", at=at)
    assert found.target.name == "c" and found.record.algorithm == "default"
    assert refused(chat("auto", "an integral"), "a", "b", at=at).status == 403
    found = sent(chat("auto", "an invoice"), "a", "b", at=at)
    assert found.target.name == "a" and found.record.algorithm == "prompt"
    assert "no answer" in found.record.why and not found.record.calls


def test_who_asks_is_known_from_the_gate_and_from_no_header() -> None:
    """A header that a client may write says nothing beside a token that was believed."""
    recipe = POLICY.recipes["default"]
    body = json.dumps(chat("auto")).encode()
    caller = Caller(user="alice", groups=("g",), tenant="t")
    forged = {"x-authz-user-id": "bob", "x-authz-team-id": "red", "authorization": "Bearer x"}
    prompt = recipe.prompt(ChatBody(body), forged, caller)
    assert (prompt.user, prompt.groups, prompt.team, prompt.tenant) == ("alice", ("g",), "", "t")


def test_kept_answers_belong_to_the_user_whatever_token_they_show() -> None:
    shelves = [
        POLICY.responses.shelf({"authorization": token}, Caller(user=user, tenant="t")).space
        for user, token in (("alice", "Bearer 1"), ("alice", "Bearer 2"), ("bob", "Bearer 1"))
    ]
    assert shelves[0] == shelves[1] != shelves[2]


# paths that name a model

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/a/v1/chat/completions", "a"),
        ("/first/v1/chat/completions", "a"),
        ("/model-d/v1/chat/completions", "Model-D"),
        ("/Model-D/v1/chat/completions", "Model-D"),
        ("/any-namespace/model-d/v1/chat/completions", "Model-D"),
    ],
)
def test_the_path_may_name_the_model(path: str, model: str) -> None:
    """A2-01: beside ``/v1/chat/*``."""
    found = sent(CHAT, "a", "Model-D", path=f"{path}?trace=1")
    assert found.target.name == model and found.path == "/v1/chat/completions?trace=1"
    assert json.loads(found.body)["model"] == model and found.changed
    assert header(found.report, "x-maas-model-requested") == model


def test_a_body_may_say_the_same_and_nothing_else() -> None:
    """A2-01: an adapter of the model is the same model."""
    for name in ("a", "first", "a-sql"):
        found = sent({"model": name, **CHAT}, "a", "b", path="/a/v1/chat/completions")
        assert found.target.name == "a"
    for other in ("b", "auto", "nobody", 7):
        error = refused({"model": other, **CHAT}, "a", "b", path="/a/v1/chat/completions")
        assert (error.status, error.code) == (400, "model_mismatch"), other


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        ("completions", {"prompt": "x"}),
        ("embeddings", {"input": "x"}),
        ("messages", {"max_tokens": 5, **CHAT}),
        ("responses", {"input": "x"}),
    ],
)
def test_every_api_has_such_a_path(rest: str, body: dict[str, Any]) -> None:
    assert sent(body, "a", path=f"/a/v1/{rest}").target.name == "a"


def test_a_path_with_a_model_that_is_not_for_the_caller() -> None:
    assert refused(CHAT, "b", path="/a/v1/chat/completions").status == 403
    assert refused(CHAT, "b", path="/nobody/v1/chat/completions").status == 404
    assert refused(CHAT, "a", path="/a/v1/nothing").status == 404


def test_a_namespace_that_is_known_has_to_be_right() -> None:
    where = "{kubernetes: {models_namespace: llm, models: {b: other/model-b}}}"
    at = policy(CONFIG.replace("maas: {}", f"maas: {where}"))
    chats = "v1/chat/completions"
    assert sent(CHAT, "a", path=f"/llm/a/{chats}", at=at).target.name == "a"
    assert refused(CHAT, "a", path=f"/other/a/{chats}", at=at).status == 404
    assert sent(CHAT, "b", path=f"/other/model-b/{chats}", at=at).target.name == "b"
    assert refused(CHAT, "b", path=f"/llm/model-b/{chats}", at=at).status == 404


def test_without_a_gate_paths_name_no_models() -> None:
    with pytest.raises(RequestError) as caught:
        outcome(POLICY, post(CHAT, path="/a/v1/chat/completions"))
    assert caught.value.status == 404


# the list of models


def listed(*models: str, path: str = "/v1/models") -> list[str]:
    found = asked(b"", *models, path=path, method="GET")
    assert isinstance(found, Reply)
    return [item["id"] for item in json.loads(found.body)["data"]]


def test_a_caller_sees_what_they_may_ask() -> None:
    """A2-35: and the names that route, where any decision of theirs is possible."""
    assert listed("b") == ["auto", "MoM", "none", "unset", "b"]
    assert listed("a") == ["auto", "MoM", "unset", "a", "first", "a-sql"]
    assert listed("Model-D") == ["auto", "MoM", "Model-D"], "a decision without a model is one"
    assert listed("a", "b", path="/a/v1/models") == ["a"]
    assert refused(b"", "b", path="/v1/models/a", method="GET").status == 404
    assert refused(b"", "b", path="/a/v1/models", method="GET").status == 403


def test_nothing_is_set_aside_to_see_models() -> None:
    desk = Desk()
    asked(b"", "b", path="/v1/models", method="GET", desk=desk)
    assert desk.reserved == []


def test_tokens_are_counted_for_models_of_the_caller_alone() -> None:
    body = {"model": "a", "max_tokens": 5, **CHAT}
    assert isinstance(asked(body, "a", path="/v1/messages/count_tokens"), Reply)
    assert refused(body, "b", path="/v1/messages/count_tokens").status == 403


def test_signals_and_urgency_go_by_the_groups_that_were_proven() -> None:
    """No proxy has to be trusted where a gate knows who asks."""
    at = policy("""
maas: {}
urgency: {groups: {staff: 7}}
models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
routing:
  default_model: a
  signals: {authz: {staff: {subjects: [{kind: Group, name: staff}]}}}
  decisions: [{name: ours, when: "authz:staff", models: [b]}]
""")
    assert sent(chat("auto"), "a", "b", at=at, groups=("staff",)).target.name == "b"
    assert sent(chat("auto"), "a", "b", at=at, groups=("others",)).target.name == "a"
    urgencies = Urgencies(UrgencySettings(groups={"staff": 7}), IdentitySettings())
    forged = {"x-authz-user-groups": "staff"}
    assert urgencies.of(forged, 0, ("staff",)) == 7
    assert urgencies.of(forged, 0, ("others",)) == urgencies.of(forged, 0) == 0


def test_a_bound_that_limits_set_counts_as_a_change() -> None:
    """An Envoy is told of a body that is not the client's, even where only that was added."""

    class Capping(Desk):
        def __call__(self, question: Any) -> Any:
            found = super().__call__(question)
            return Hold(id="h", tokens=9, cap=5) if isinstance(question, Reserve) else found

    found = sent(chat("a"), "a", desk=Capping())
    assert found.changed and json.loads(found.body)["max_completion_tokens"] == 5
    assert not sent(chat("a"), "a").changed
