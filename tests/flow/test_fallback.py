"""The same request for another model: its name, its key, its way to think, the same guards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from wayside.runtime import Runtime, compile_policy
from wayside.settings import CredentialSettings, RouterSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential, Forward, Request

THINKS = {"qwen": {"type": "chat_template_kwargs", "parameter": "enable_thinking"}}
MODELS: dict[str, Any] = {
    "x": {
        "endpoints": ["http://x"],
        "fallbacks": ["y", "z"],
        "context_window": 1000,
        "reasoning_family": "qwen",
        "credential": {"env": "X_KEY"},
        "headers": {"x-only-x": "1"},
    },
    "y": {"endpoints": ["http://y/base/v1"], "upstream_name": "vendor/y", "context_window": 500},
    "z": {"endpoints": ["http://z"], "context_window": 4000, "reasoning_family": "qwen"},
}
SECRET = {"X_KEY": "sk-x"}


def keys(settings: CredentialSettings, where: str) -> Credential:
    return Credential(settings.header, settings.prefix, SECRET[settings.env or ""])


def sent(document: Mapping[str, Any], model: str, **body: Any) -> Forward:
    merged = {"models": MODELS, "reasoning_families": THINKS, **document}
    policy = compile_policy(RouterSettings.model_validate(merged), keys=keys)
    raw = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
    request = Request("POST", "/v1/chat/completions", {}, json.dumps(raw).encode())
    found = Runtime(policy, {}, lambda: 0.0).handle(request)
    assert isinstance(found, Forward)
    return found


def follow(forward: Forward, reason: str = "failure") -> Forward | None:
    assert forward.fallback is not None
    return forward.fallback(reason)


def routed(**decision: Any) -> dict[str, Any]:
    made = {"name": "all", "models": [{"model": "x", "reasoning": True}], **decision}
    return {"routing": {"decisions": [made]}}


@pytest.mark.parametrize("how", ["named", "routed"])
def test_each_model_gets_the_request_as_it_wants_it(how: str) -> None:
    first = sent({} if how == "named" else routed(), "x" if how == "named" else "auto")
    assert ("authorization", "Bearer sk-x") in first.set_headers
    y = follow(first)
    assert y is not None
    assert json.loads(y.body)["model"] == "vendor/y"
    assert y.path == "/base/v1/chat/completions"
    assert "sk-x" not in str(y.set_headers) and "x-only-x" not in str(y.set_headers)
    assert ("x-selected-model", "y") in y.set_headers
    told = dict(y.report)
    assert told["x-vsr-selected-model"] == "y"
    assert told["x-wayside-fallback-from"] == "x"
    assert len(told) == len(y.report), "no header twice"
    assert (y.record.model, y.record.fallback_from) == ("y", "x")
    z = follow(y)
    assert z is not None
    assert (z.target.name, z.record.fallback_from) == ("z", "x")
    assert follow(z) is None, "each is asked once"
    assert first.target.name == "x" and json.loads(first.body)["model"] == "x"


def test_each_model_is_told_to_think_in_its_own_way() -> None:
    first = sent(routed(), "auto")
    assert json.loads(first.body)["chat_template_kwargs"] == {"enable_thinking": True}
    y = follow(first)
    assert y is not None
    assert "chat_template_kwargs" not in json.loads(y.body), "what x was told is not for y"
    z = follow(y)
    assert z is not None
    assert json.loads(z.body)["chat_template_kwargs"] == {"enable_thinking": True}


def test_what_plugins_did_holds_for_every_model() -> None:
    plugins = {
        "system_prompt": {"prompt": "Be brief.", "mode": "insert"},
        "header_mutation": {"add": [{"name": "x-tag", "value": "1"}]},
    }
    first = sent(routed(plugins=plugins), "auto")
    for forward in (first, follow(first)):
        assert forward is not None
        said = json.loads(forward.body)["messages"]
        assert [m["content"] for m in said] == ["Be brief.", "hello"]
        assert ("x-tag", "1") in forward.set_headers


def test_guards_watch_whoever_answers() -> None:
    guard = {"response_pii": {}}
    first = sent(routed(plugins=guard), "auto")
    second = follow(first)
    assert second is not None
    assert first.tap is not None and second.tap is not None
    assert second.tap.begin(200, "application/json") == "whole"


def test_a_decision_may_name_its_own() -> None:
    first = sent(routed(fallbacks=["z"]), "auto")
    z = follow(first)
    assert z is not None
    assert z.target.name == "z"
    assert follow(z) is None
    assert sent(routed(fallbacks=[]), "auto").fallback is None


def test_a_prompt_that_is_too_long_goes_to_a_model_with_more_room() -> None:
    first = sent({}, "x")
    assert first.fallback is not None and first.fallback.minds_length
    z = follow(first, "context_length")
    assert z is not None
    assert z.target.name == "z", "y has even less room"


def test_only_for_what_it_may() -> None:
    x = {**MODELS["x"], "fallback_on": ["overload"]}
    first = sent({"models": {**MODELS, "x": x}}, "x")
    assert first.fallback is not None and not first.fallback.minds_length
    assert follow(first) is None
    assert follow(first, "context_length") is None
    assert follow(first, "overload") is not None


def test_urgency_is_the_decisions() -> None:
    first = sent(routed(urgency=7), "auto")
    second = follow(first)
    assert second is not None
    assert (first.urgency, second.urgency) == (7, 7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fallbacks": ["x"]}, "models.x.fallbacks[0]: a model cannot stand in for itself"),
        ({"fallbacks": ["yy"]}, "models.x.fallbacks[0]: no model 'yy'"),
        ({"fallbacks": ["y", "y"]}, "models.x.fallbacks[1]: 'y' is written twice"),
    ],
)
def test_what_cannot_be_is_told(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sent({"models": {**MODELS, "x": {**MODELS["x"], **change}}}, "x")
    assert next(str(p) for p in caught.value.problems).startswith(said)
    assert len(caught.value.problems) == 1


def test_a_decisions_unknown_fallback_is_told_once() -> None:
    decision = routed(models=["x", "y"], fallbacks=["zz"])
    with pytest.raises(ConfigError) as caught:
        sent(decision, "auto")
    (problem,) = caught.value.problems
    assert problem.where == "routing.decisions[0].fallbacks[0]"


def test_nobody_can_put_himself_first() -> None:
    for urgency in ({"header": "x-urgent"}, {"groups": {"batch": -5}}):
        with pytest.raises(ConfigError, match=r"identity\.trusted"):
            sent({"urgency": urgency}, "x")


def test_the_header_that_says_what_is_urgent_goes_no_further() -> None:
    document = {"urgency": {"header": "x-urgent"}, "identity": {"trusted": True}}
    assert "x-urgent" in sent(document, "x").remove_headers
