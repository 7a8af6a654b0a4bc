from typing import Any

import pytest
from pydantic import ValidationError

from tests.flow.driving import chat, forwarded, policy, post
from wayside.signals.authz import AuthzRule, AuthzSignal
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Prompt

RULES = {  # fragments/signal/authz/rbac.yaml of vSR
    "admin": {"subjects": [{"kind": "Group", "name": "platform-admins"}]},
    "premium": {
        "subjects": [{"kind": "Group", "name": "premium-tier"}, {"kind": "User", "name": "alice"}]
    },
}


def matched(user: str = "", groups: tuple[str, ...] = ()) -> dict[str, str]:
    signal = AuthzSignal({name: AuthzRule.model_validate(r) for name, r in RULES.items()})
    reading = signal.read(Prompt(model="auto", user=user, groups=groups))
    assert all(verdict.matched and verdict.confidence == 1.0 for verdict in reading.values())
    return {name: verdict.because for name, verdict in reading.items()}


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("alice", (), {"premium": "user 'alice'"}),
        ("bob", ("platform-admins",), {"admin": "group 'platform-admins'"}),
        (
            "alice",
            ("x", "platform-admins"),
            {"admin": "group 'platform-admins'", "premium": "user 'alice'"},
        ),
        ("", ("premium-tier",), {"premium": "group 'premium-tier'"}),
        ("Alice", ("PREMIUM-TIER",), {}),
        ("premium-tier", ("alice",), {}),
        ("", (), {}),
    ],
)
def test_users_and_groups_are_compared_exactly(
    user: str, groups: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert matched(user, groups) == expected


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"subjects": []},
        {"subjects": [{"kind": "Robot", "name": "r"}]},
        {"subjects": [{"kind": "User", "name": ""}]},
        {"subjects": [{"kind": "User"}]},
    ],
)
def test_bad_settings_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuthzRule.model_validate(rule)


# All the way: who may say who is asking

CONFIG = """
identity: {trusted: TRUSTED, upstream: UPSTREAM}
models:
  small: {endpoints: [h]}
  large: {endpoints: [h]}
routing:
  default_model: small
  signals:
    authz: {premium: {subjects: [{kind: Group, name: premium-tier}]}}
  decisions:
    - {name: premium, when: "authz:premium", models: [large]}
"""
SAID = {"x-authz-user-id": "mallory", "x-authz-user-groups": "premium-tier"}


def configured(*, trusted: bool, upstream: bool = False) -> str:
    return CONFIG.replace("TRUSTED", str(trusted)).replace("UPSTREAM", str(upstream))


def test_a_rule_that_could_never_match_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError) as caught:
        policy(configured(trusted=False))
    (problem,) = caught.value.problems
    assert problem.where == "routing.signals.authz.premium"
    assert "identity.trusted: true" in problem.fix


def test_a_trusted_proxys_word_routes_and_goes_no_further() -> None:
    found = forwarded(policy(configured(trusted=True)), post(chat("auto"), SAID))
    assert found.target.name == "large"
    assert set(SAID) <= set(found.remove_headers)
    straight = forwarded(policy(configured(trusted=True)), post(chat("small"), SAID))
    assert set(SAID) <= set(straight.remove_headers)


def test_it_goes_upstream_where_that_is_wanted() -> None:
    found = forwarded(policy(configured(trusted=True, upstream=True)), post(chat("auto"), SAID))
    assert set(SAID).isdisjoint(found.remove_headers)


def test_without_a_word_nobody_is_anybody() -> None:
    assert forwarded(policy(configured(trusted=True)), post(chat("auto"))).target.name == "small"


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("{user_header: X-A, groups_header: x-a}", "the same"),
        ("{user_header: authorization}", "carries a key"),
        ("{user_header: x-vsr-user}", "router's own"),
        ("{groups_header: 'x a'}", "not a header name"),
    ],
)
def test_headers_that_cannot_say_it_are_refused(identity: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy(f"identity: {identity}\nmodels: {{m: {{endpoints: [h]}}}}")
