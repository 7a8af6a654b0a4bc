import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_completions import CompletionBody
from wayside.dialects.openai_embeddings import EmbeddingBody
from wayside.plugins import Draft
from wayside.plugins.request_params import RequestParamsPlugin, RequestParamsRule
from wayside.vocab.prompt import Prompt

CHAT = {"model": "m", "messages": []}
BODIES: list[tuple[Any, dict[str, Any]]] = [
    (ChatBody, CHAT),
    (CompletionBody, {"model": "m", "prompt": "x"}),
    (EmbeddingBody, {"model": "m", "input": "x"}),
]


def sent(body: dict[str, Any], dialect: Any = ChatBody, **rule: Any) -> dict[str, Any]:
    draft = Draft(dialect(json.dumps(body).encode()).edit)
    plugin = RequestParamsPlugin(RequestParamsRule.model_validate(rule))
    plugin.before(Prompt(model="m"), draft)
    found: dict[str, Any] = json.loads(draft.edit.encode())
    return found


def chat(rule: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found = sent({**CHAT, **fields}, **rule)
    return {name: value for name, value in found.items() if name not in CHAT}


def test_blocked_fields_go_and_others_stay() -> None:
    rule = {"blocked": ["logprobs", "top_logprobs", "absent"]}
    assert chat(rule, logprobs=True, top_logprobs=5, temperature=1) == {"temperature": 1}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (100, 100),
        (500, 500),
        (501, 500),
        (10**9, 500),
        (1e9, 500),
        (0, 0),
        ("10", 500),
        (True, 500),
    ],
)
def test_both_names_of_the_length_are_capped(name: str, given_value: Any, kept: Any) -> None:
    assert chat({"max_tokens_limit": 500}, **{name: given_value}) == {name: kept}


def test_one_name_does_not_get_round_the_other() -> None:
    both = {"max_tokens": 100, "max_completion_tokens": 9_999}
    assert chat({"max_tokens_limit": 500}, **both) == {**both, "max_completion_tokens": 500}


@pytest.mark.parametrize("fields", [{}, {"max_tokens": None}, {"max_completion_tokens": None}])
def test_no_length_is_not_every_length(fields: dict[str, Any]) -> None:
    assert chat({"max_tokens_limit": 500}, **fields) == {"max_completion_tokens": 500}


def test_each_dialect_has_its_name_for_the_length() -> None:
    told = [set(sent(body, d, max_tokens_limit=9)) - set(body) for d, body in BODIES]
    assert told == [{"max_completion_tokens"}, {"max_tokens"}, set()]


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_answers_are_counted_under_either_name(name: str) -> None:
    assert chat({"max_n": 1}, **{name: 5}) == {name: 1}
    assert chat({"max_n": 3}, **{name: 2}) == {name: 2}
    assert chat({"max_n": 1}) == {}


def test_unknown_fields_go_unless_allowed() -> None:
    rule = {"strip_unknown": True, "allowed": ["top_k"]}
    fields = {
        "max_completion_tokens": 5,
        "top_k": 3,
        "guided_json": {},
        "chat_template_kwargs": {},
    }
    assert chat(rule, **fields) == {"max_completion_tokens": 5, "top_k": 3}
    for dialect, body in BODIES:
        assert sent(body, dialect, strip_unknown=True) == body


def test_everything_at_once() -> None:
    rule = {  # fragments/plugin/request-params/budget-tier.yaml of vSR
        "blocked": ["logprobs", "top_logprobs"],
        "max_tokens_limit": 500,
        "max_n": 1,
        "strip_unknown": True,
    }
    fields = {"n": 3, "max_completion_tokens": 4_096, "logprobs": True, "x": 1, "stop": ["."]}
    assert chat(rule, **fields) == {"n": 1, "max_completion_tokens": 500, "stop": ["."]}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["max_tokens", "max_completion_tokens", "n", "best_of", "logprobs", "x"]),
        JSON,
    )
)
def test_nothing_that_a_client_writes_gets_past(fields: dict[str, Any]) -> None:
    rule = {"max_tokens_limit": 500, "max_n": 2, "blocked": ["logprobs"], "strip_unknown": True}
    found = chat(rule, **fields)
    assert not set(found) & {"logprobs", "x"}
    lengths = [found[k] for k in ("max_tokens", "max_completion_tokens") if k in found]
    assert lengths and all(not isinstance(v, bool) and v <= 500 for v in lengths)
    assert all(found[k] <= 2 for k in ("n", "best_of") if k in found)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "give blocked"),
        ({"blocked": ["model"]}, "cannot be blocked"),
        ({"blocked": ["messages"]}, "cannot be blocked"),
        ({"max_tokens_limit": 0}, "greater than 0"),
        ({"max_n": 1, "allowed": ["top_k"]}, "strip_unknown"),
    ],
)
def test_bad_settings_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RequestParamsRule.model_validate(rule)
