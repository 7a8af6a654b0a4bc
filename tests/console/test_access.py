"""Tiers, keys for programs, and what was used."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.data_rig import CONFIG, Rig, console
from wayside.maas.keys import Person
from wayside.maas.ledger import Row
from wayside.vocab.outcome import Forward, Reply, Request

TOKEN = "a-token-of-ada-with-some-length"
MAAS = """
maas:
  folder: FOLDER
  users: [{name: ada, groups: [premium-user], token: {env: ADA}}]
  tiers:
    - {name: free, level: 0, groups: ["system:authenticated"],
       tokens: [{limit: 100000, window: 1m}]}
    - {name: premium, level: 1, groups: [premium-user],
       requests: [{limit: 20, window: 2m}], budgets: [{limit: 5.5, window: 30d}]}
"""


def config(folder: Path) -> str:
    text = CONFIG + MAAS.replace("FOLDER", str(folder))
    text = text.replace("coder:\n", "coder:\n    tiers: [premium]\n")
    return text.replace("small: {", "small: {tiers: [], ")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with console(config(tmp_path), env={"ADA": TOKEN}) as found:
        yield found


async def ask(rig: Rig, key: str, model: str) -> int:
    """The status of a request with this key; 200 where it would go on to a model."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "urgent"}]})
    headers = {"authorization": f"Bearer {key}"}
    found = rig.app.runtime.handle(Request("POST", "/v1/chat/completions", headers, body.encode()))
    outcome: Any = found if isinstance(found, Forward | Reply) else await found
    return 200 if isinstance(outcome, Forward) else int(outcome.status)


async def test_without_maas_there_is_nothing_to_see() -> None:
    async with console() as rig:
        status, told = await rig.get("/access")
        assert status == 404 and told["error"]["code"] == "NO_MAAS"


async def test_tiers_with_their_models_and_limits(rig: Rig) -> None:
    status, told = await rig.get("/access")
    assert status == 200 and told["currency"] == "USD" and told["usage"] == []
    free, premium = told["tiers"]
    assert free["models"] == ["small"] and premium["models"] == ["coder", "small"]
    assert free["limits"] == [{"what": "tokens", "amount": 100_000, "window": "1m"}]
    assert premium["limits"] == [
        {"what": "requests", "amount": 20, "window": "2m"},
        {"what": "budgets", "amount": 5.5, "window": "30d"},
    ]
    assert premium["groups"] == ["premium-user"]


async def test_a_key_is_told_once_and_is_good_for_its_tier_alone(rig: Rig) -> None:
    status, told = await rig.post("/access/keys", {"name": "nightly", "tier": "premium"})
    assert status == 200
    key = told["key"]
    assert key.startswith("sk-oai-")
    status, told = await rig.get("/access")
    (row,) = told["keys"]
    assert key not in json.dumps(told) and key.split("_")[1] not in json.dumps(told)
    assert (row["name"], row["owner"], row["tier"]) == ("nightly", "program:nightly", "premium")
    assert row["revoked"] is False and row["last_used"] is None
    assert row["expires"] - row["created"] == 720 * 3600
    assert await ask(rig, key, "coder") == 200
    free = (await rig.post("/access/keys", {"name": "other", "tier": "free"}))[1]["key"]
    assert await ask(rig, free, "coder") == 403 and await ask(rig, free, "small") == 200
    # A batch of it asks again later, as whom it is by then.
    assert rig.app.maas is not None
    caller = await rig.app.maas.callers.find(key)
    assert caller is not None
    again = await rig.app.maas.callers.again(caller)
    assert again is not None and again.tier == "premium"
    assert (await rig.delete(f"/access/keys/{row['id']}"))[0] == 200
    assert await ask(rig, key, "coder") == 401
    assert await rig.app.maas.callers.again(caller) is None
    assert (await rig.delete(f"/access/keys/{row['id']}"))[0] == 404
    rows = {r["name"]: r for r in (await rig.get("/access"))[1]["keys"]}
    assert rows["nightly"]["revoked"] is True and rows["other"]["revoked"] is False


async def test_what_cannot_be_a_key_is_refused(rig: Rig) -> None:
    for body, said in (
        ({"name": "a", "tier": "gold"}, "tier: no 'gold'"),
        ({"name": "a b", "tier": "free"}, "name"),
        ({"name": "", "tier": "free"}, "name"),
        ({"name": "a", "tier": "free", "expires_s": 5}, "expires_s: from 600"),
        ({"name": "a", "tier": "free", "expires_s": 1e12}, "expires_s: from 600"),
        ({"name": "a", "tier": "free", "secret": "x"}, "secret"),
    ):
        status, told = await rig.post("/access/keys", body)
        assert status == 400 and said in told["error"]["message"], body
    assert (await rig.get("/access"))[1]["keys"] == []


async def test_nobody_else_is_called_like_a_program(rig: Rig) -> None:
    class Provider:
        async def find(self, token: str) -> Person | None:
            return Person(token, ("system:authenticated",), "https://sso.example.com")

    assert rig.app.maas is not None
    rig.app.maas._people.append(Provider())
    assert await rig.app.maas.person("program:nightly") is None
    assert await rig.app.maas.person("somebody") is not None


async def test_usage_is_that_of_the_ledger(rig: Rig) -> None:
    assert rig.app.maas is not None and rig.app.maas.metering.ledger is not None
    at = rig.app.maas.clock()
    for n in range(3):
        row = Row(
            at=at - n,
            request_id=str(n),
            shell="gateway",
            path="upstream",
            user="ada",
            tier="premium",
            executed_model="coder",
            status=200,
            prompt_tokens=100,
            completion_tokens=10,
            cost=0.5,
            currency="USD",
        )
        rig.app.maas.metering.ledger.add(row)
    told = (await rig.get("/access"))[1]
    assert told["usage"] == [
        {
            "who": "ada",
            "tier": "premium",
            "model": "coder",
            "requests": 3,
            "prompt_tokens": 300,
            "completion_tokens": 30,
            "cost": 1.5,
        }
    ]
