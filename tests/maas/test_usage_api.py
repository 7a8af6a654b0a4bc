"""Usage over HTTP: everybody sees their own, admins everybody's (row A2-38)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.maas.rig import ALICE, BOB, CAROL, Rig, rig
from wayside.maas.ledger import Row

PATH = "/maas-api/v1/usage"


@pytest.fixture
def router(tmp_path: Path) -> Rig:
    found = rig(tmp_path, maas={"usage": {"enabled": True}})
    ledger = found.maas.metering.ledger
    assert ledger is not None
    for user, model, tokens in (("alice", "Model-A", 7), ("bob", "Model-B", 5)):
        ledger.add(
            Row(at=found.clock.now - 60, request_id="r", shell="gateway", path="upstream",
                user=user, executed_model=model, status=200, prompt_tokens=tokens)
        )  # fmt: skip
    return found


async def users(router: Rig, token: str, query: str = "") -> dict[str, int]:
    answer = await router.ask("GET", PATH + query, token)
    assert answer.status == 200, answer.body
    return {row["user"]: row["prompt_tokens"] for row in answer.json["usage"]}


async def test_everybody_sees_their_own(router: Rig) -> None:
    assert await users(router, ALICE) == {"alice": 7}
    assert await users(router, await router.token(BOB)) == {"bob": 5}
    assert (await router.ask("GET", PATH + "?user=alice", BOB)).status == 403


async def test_admins_see_everybodys_when_they_show_who_they_are(router: Rig) -> None:
    assert await users(router, CAROL) == {"alice": 7, "bob": 5}
    assert await users(router, CAROL, "?user=bob&since=1h") == {"bob": 5}
    assert await users(router, CAROL, "?until=1h") == {}
    assert await users(router, await router.token(CAROL)) == {}


async def test_without_a_token_nothing_is_seen(router: Rig) -> None:
    assert (await router.ask("GET", PATH)).status == 401
    assert (await router.ask("GET", PATH, "x" * 20)).status == 401


@pytest.mark.parametrize("query", ["?by=colour", "?colour=1", "?since=yesterday"])
async def test_what_cannot_be_asked_is_told(router: Rig, query: str) -> None:
    answer = await router.ask("GET", PATH + query, CAROL)
    assert (answer.status == 400 and "write" in str(answer.json)) or "one of" in str(answer.json)


async def test_nothing_yet_is_nothing(tmp_path: Path) -> None:
    answer = await rig(tmp_path, maas={"usage": {"enabled": True}}).ask("GET", PATH, ALICE)
    assert answer.json == {"by": ["user"], "usage": [], "total": []}


async def test_a_ledger_that_is_not_kept_is_told(tmp_path: Path) -> None:
    answer = await rig(tmp_path, maas={"usage": {"enabled": False}}).ask("GET", PATH, ALICE)
    assert answer.status == 404


def test_the_management_api_shows_everybodys(router: Rig) -> None:
    with TestClient(router.app.management.app("all")) as http:  # type: ignore[arg-type]
        found: Any = http.get("/api/v1/usage?by=model")
        assert json.loads(found.text)["total"][0]["prompt_tokens"] == 12
        assert http.get("/api/v1/usage?by=x").status_code == 400
