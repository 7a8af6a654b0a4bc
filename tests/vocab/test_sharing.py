"""With whom something may be shared: never with more than was asked for."""

import pytest

from wayside.vocab.prompt import Prompt
from wayside.vocab.sharing import Scope, sharers

KEY = {"authorization": "Bearer k"}


def who(scope: Scope, user: str = "", team: str = "", tenant: str = "", **headers: str) -> str:
    prompt = Prompt(model="m", user=user, team=team, tenant=tenant, headers=headers)
    found = sharers(prompt, scope)
    return "" if found is None else " ".join((found.kind, *found.names[:2]))


@pytest.mark.parametrize(
    ("scope", "user", "team", "tenant", "expected"),
    [
        ("user", "ann", "red", "acme", "user acme ann"),
        ("team", "ann", "red", "acme", "team acme red"),
        ("tenant", "ann", "red", "acme", "tenant acme"),
        ("global", "ann", "red", "acme", "global"),
        ("tenant", "ann", "red", "", "team  red"),
        ("tenant", "ann", "", "", "user  ann"),
        ("team", "ann", "", "acme", "user acme ann"),
        ("team", "", "", "acme", ""),
        ("user", "", "red", "acme", ""),
        ("global", "", "", "", "global"),
    ],
)
def test_the_scope_or_the_next_narrower(
    scope: Scope, user: str, team: str, tenant: str, expected: str
) -> None:
    assert who(scope, user, team, tenant) == expected


def test_a_key_is_told_by_a_digest_and_within_its_tenant() -> None:
    prompt = Prompt(model="m", tenant="acme", headers=KEY)
    found = sharers(prompt, "user")
    assert found is not None and found.kind == "key"
    assert found.names[0] == "acme" and len(found.names[2]) == 64
    assert "Bearer" not in repr(found)
    for headers in ({"authorization": "Bearer j"}, {"x-api-key": "Bearer k"}):
        assert sharers(Prompt(model="m", tenant="acme", headers=headers), "user") != found
    assert sharers(Prompt(model="m", headers=KEY), "user") != found


@pytest.mark.parametrize("said", ["", " ", "Bearer", "bearer ", "Basic", "Basic Og=="])
def test_a_scheme_without_a_key_shows_no_key(said: str) -> None:
    headers = {"authorization": said}
    assert sharers(Prompt(model="m", headers=headers), "user") is None


@pytest.mark.parametrize("scope", ["global", "tenant", "team", "user"])
def test_what_is_paid_for_with_a_key_of_ones_own_is_shared_with_nobody(scope: Scope) -> None:
    own = {"x-user-openai-key": "sk", **KEY}
    told = Prompt(model="m", user="ann", team="t", tenant="acme", headers=own)
    assert sharers(told, scope) == ("user", ("acme", "ann"))
    untold = sharers(Prompt(model="m", headers=own), scope)
    assert untold is not None
    assert untold.kind == "key"
