"""Tiers, and the names that follow from them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import yaml

from tests.maas.rig import ALICE, BOB, rig
from wayside.maas import names
from wayside.maas.tiers import Tiers, allowed, read_tiers
from wayside.settings.maas import MaasSettings
from wayside.settings.model import ModelSettings
from wayside.vocab.errors import ConfigError


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("alice", "alice-522b276a"),
        ("Alice", "alice-35318264"),
        ("alice@example.com", "alice-example-com-fc2398a7"),
        ("system:serviceaccount:a:b", "system-serviceaccount-a-b-"),
        ("--a__b--", "a-b-"),
        ("日本", "user-"),
        ("\u212belvin", "elvin-"),  # the sign for angstrom is no letter of ours
        ("\u212aelvin", "kelvin-"),  # the sign for kelvin becomes a k, here as in Go
        ("\u0130x", "ix-"),
        ("x" * 200, "x" * 54 + "-"),
        ("x" * 53 + "@tail", "x" * 53 + "-"),
    ],
)
def test_names_of_accounts(user: str, account: str) -> None:
    """A2-34: sanitised, with eight digits of the SHA-1, 63 characters at most."""
    found = names.account(user)
    digest = hashlib.sha1(user.encode()).hexdigest()[:8]
    assert found == account if not account.endswith("-") else found == account + digest
    assert found.endswith(f"-{digest}")
    assert len(found) <= 63


def test_names_that_leave_the_same_are_kept_apart() -> None:
    """A2-34."""
    users = ["alice", "ALICE", "alice!", "alice ", "älice", "a-lice", "a.lice"]
    assert len({names.account(user) for user in users}) == len(users)


def test_a_tenant_of_another_name() -> None:
    """A2-14, A2-34."""
    assert names.namespace("acme", "free") == "acme-tier-free"
    assert names.audience("acme") == "acme-sa"
    assert names.tier_of("acme", "acme-tier-pre-mium") == "pre-mium"
    assert names.tier_of("acme", "maas-default-gateway-tier-free") is None
    assert names.tier_of("acme", "acme-tier-") is None
    assert names.tier_of("a", "a-tier-b-tier-c") == "b-tier-c"


@pytest.mark.parametrize("sub", ["alice", "system:serviceaccount:a", "system:serviceaccount::b",
                                 "system:serviceaccount:a:b:c", "system:node:a:b"])  # fmt: skip
def test_who_is_no_account(sub: str) -> None:
    assert names.parts(sub) is None


def test_the_highest_level_wins_and_ties_keep_their_order() -> None:
    """A2-33."""
    entries = [
        {"name": "free", "groups": ["all", "both"], "level": 0},
        {"name": "first", "groups": ["tie", "both"], "level": 5},
        {"name": "second", "groups": ["tie"], "level": 5},
    ]
    tiers = Tiers(MaasSettings.model_validate({"tiers": entries}))
    found = {g: tier and tier.name for g in ("all", "tie", "both", "none")
             for tier in [tiers.lookup([g])]}  # fmt: skip
    assert found == {"all": "free", "tie": "first", "both": "first", "none": None}
    own = "system:serviceaccounts:maas-default-gateway-tier-second"
    assert tiers.lookup(["all", own]).name == "second"  # type: ignore[union-attr]
    assert tiers.lookup([]) is None


@pytest.mark.parametrize(
    ("tiers", "who"),
    [(None, set()), ([], {"free", "premium"}), (["premium"], {"premium"}), (["no"], set())],
)
def test_which_tiers_a_model_answers(tiers: list[str] | None, who: set[str]) -> None:
    """A2-36: absent is nobody, [] is everybody with a tier, a list is those."""
    models = {"m": ModelSettings.model_validate({"tiers": tiers} if tiers is not None else {})}
    assert {t for t in ("free", "premium", "") if allowed(models, t)} == who


def written(path: Path, entries: object) -> None:
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(entries))
    new.replace(path)


def test_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    """A2-33: hot, with the limits of the settings; a bad one changes nothing and is told once."""
    path = tmp_path / "tiers"
    written(path, [{"name": "free", "displayName": "Free", "groups": ["g"], "level": 0}])
    tiers = Tiers(MaasSettings(tiers_file=str(path)))
    assert tiers.lookup(["g"]).tokens[0].limit == 100  # type: ignore[union-attr]
    said: list[str] = []
    assert not tiers.refresh(said.append)
    written(path, [{"name": "gold", "groups": ["g"], "level": 3}])
    assert tiers.refresh(said.append)
    assert tiers.lookup(["g"]).name == "gold"  # type: ignore[union-attr]
    path.write_text("- {name: UPPER}")
    assert not tiers.refresh(said.append)
    assert not tiers.refresh(said.append)
    path.unlink()
    assert not tiers.refresh(said.append)
    assert tiers.lookup(["g"]).name == "gold"  # type: ignore[union-attr]
    assert len(said) == 2
    assert "tiers[0].name" in said[0]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, "a list"),
        ([], "from 1"),
        (["x"], "mapping"),
        ([{"name": "a"}, {"name": "a"}], "twice"),
        ([{"name": "a", "displayName": " "}], "blank"),
        ([{"name": "a", "level": "1"}], "level"),
        ([{"name": "a", "groups": "g"}], "groups"),
        ([{"name": "a", "Groups": []}], "unknown"),
        ([{"name": "a" * 40}], "name"),
        ([{"name": ""}], "name"),
    ],
)
def test_what_is_no_list_of_tiers(found: object, why: str) -> None:
    """A2-33: names unique and not empty, displayName not blank."""
    with pytest.raises(ValueError, match=why):
        read_tiers(found, {})


def test_a_namespace_that_is_too_long_is_refused() -> None:
    """A2-34."""
    said = {"instance": "i" * 40, "tiers": [{"name": "t" * 30}]}
    with pytest.raises(ConfigError, match=r"maas\.tiers"):
        Tiers(MaasSettings.model_validate(said))


async def test_a_changed_tier_counts_with_the_next_request(tmp_path: Path) -> None:
    """A2-33: of tokens that were given before, too."""
    path = tmp_path / "tiers"
    written(path, [{"name": "free", "groups": ["system:authenticated"], "level": 0},
                   {"name": "premium", "groups": ["premium-user"], "level": 1}])  # fmt: skip
    r = rig(tmp_path / "maas", maas={"tiers_file": str(path)})
    token, key = await r.token(ALICE), (await r.key(ALICE))["token"]
    assert (await r.chat(token, "Model-A")).status == 200
    written(path, [{"name": "free", "groups": ["system:authenticated"], "level": 0}])
    os.utime(path, ns=(1, 1))
    r.maas.refresh()
    for shown in (token, key):
        assert (await r.chat(shown, "Model-A")).status in (403, 404)
        assert (await r.chat(shown, "Model-B")).status == 200
    written(path, [{"name": "gold", "groups": ["gold-user"], "level": 1}])
    r.maas.refresh()
    assert (await r.chat(token, "Model-B")).status == 403
    refused = await r.ask("POST", "/maas-api/v1/tokens", BOB)
    assert refused.status == 403
    assert "tier" in refused.json["error"]
    await r.app.close()


@pytest.mark.parametrize(
    "text",
    [b"", b"\x00\x01\xfe\xff", b"\x80" * 100, b"[" * 200_000, b"{a: " * 50_000, b"- &a [*a]\n",
     b"a: &a [x]\n" * 9, b"- {name: t, groups: *nothing}", b"\xef\xbb\xbf",
     b"- !!python/name:os.x"],
)  # fmt: skip
def test_a_file_of_nonsense_changes_nothing(tmp_path: Path, text: bytes) -> None:
    """Whatever is in it: neither the process nor the tiers in force end by it."""
    path = tmp_path / "tiers"
    path.write_bytes(b"- {name: free, groups: [g]}")
    found = Tiers(MaasSettings(tiers_file=str(path)))
    path.write_bytes(text)
    said: list[str] = []
    assert not found.refresh(said.append)
    assert len(said) == 1 and len(said[0]) < 600
    tier = found.lookup(["g"])
    assert tier is not None and tier.name == "free"
