import pytest

from wayside.vocab.identity import NOBODY, Identity
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto")
SAID = {"x-authz-user-id": " alice ", "x-authz-user-groups": "staff, , on call,staff"}


def test_nobody_is_believed_unless_told_so() -> None:
    assert NOBODY.told(PROMPT, SAID) is PROMPT


def test_a_trusted_proxy_names_the_user_and_the_groups() -> None:
    told = Identity(trusted=True).told(PROMPT, SAID)
    assert told.user == "alice"
    assert told.groups == ("staff", "on call", "staff")


@pytest.mark.parametrize(
    "headers", [{}, {"x-authz-user-id": " "}, {"x-authz-user-groups": ",, ,"}, {"x-user": "a"}]
)
def test_what_is_not_said_changes_nothing(headers: dict[str, str]) -> None:
    assert Identity(trusted=True).told(PROMPT, headers) is PROMPT


def test_other_names_of_headers() -> None:
    told = Identity("x-sub", "x-roles", trusted=True).told(
        PROMPT, {**SAID, "x-sub": "bob", "x-roles": "r"}
    )
    assert (told.user, told.groups) == ("bob", ("r",))


def test_a_team_and_a_tenant_are_told_too() -> None:
    told = Identity(trusted=True).told(
        PROMPT, {"x-authz-team-id": "red", "x-authz-tenant-id": " acme"}
    )
    assert (told.user, told.team, told.tenant) == ("", "red", "acme")


def test_the_headers_stay_here_unless_they_are_trusted_and_wanted_upstream() -> None:
    names = ("user-id", "user-groups", "team-id", "tenant-id")
    both = (
        *(f"x-authz-{name}" for name in names),
        *(f"x-authz-{name}".replace("-", "_") for name in names),
    )
    assert NOBODY.removed == Identity(trusted=True).removed == both
    assert Identity(upstream=True).removed == both
    assert Identity(trusted=True, upstream=True).removed == ()
