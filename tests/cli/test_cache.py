"""``wayside cache``: what an operator sees of a router's response cache."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest
from click.testing import CliRunner

from tests.gateway.api_rig import Api, listening, models
from tests.gateway.test_cache_api import CONFIG, QUICK
from wayside.cli.cache import command
from wayside.cli.cache_front import merged
from wayside.vocab.stores import Remember


def run(*arguments: str, text: str = "") -> tuple[int, str]:
    found = CliRunner().invoke(command, list(arguments), input=text)
    return found.exit_code, found.output


async def said(api: Api, *arguments: str, text: str = "") -> tuple[int, str]:
    return await asyncio.to_thread(run, *arguments, "--management", api.url, text=text)


async def remember(api: Api, partition: str, key: str, question: str = "") -> None:
    ask = Remember("memory", partition, key, b"{}", 60, question)
    found = api.app.stores.answerers()[Remember](ask)
    if inspect.isawaitable(found):
        await found


async def test_statistics_and_what_was_let_go() -> None:
    async with listening(models(), QUICK) as api:
        await remember(api, "-/auto/maths/large/d", "1")
        await remember(api, "-/auto/support/small/d", "2")
        status, told = await said(api, "stats")
        assert status == 0 and "memory" in told and " 2 " in told and "ok" in told
        assert "memory is in this process" in told
        status, told = await said(api, "invalidate", "--decision", "maths", "--dry-run")
        assert (status, told) == (0, "memory: 1 answer would go\n")
        status, told = await said(api, "invalidate", "--decision", "maths")
        assert (status, told) == (0, "memory: 1 answer is gone\n")
        status, told = await said(api, "invalidate", "--older-than", "1h")
        assert (status, told) == (0, "memory: 0 answers went\n")
        status, told = await said(api, "flush", text="n\n")
        assert status == 1 and "Let all answers of every store that is in use go?" in told
        status, told = await said(api, "flush", "--yes")
        assert (status, told) == (0, "memory: 1 answer is gone (epoch 1)\n")
        status, told = await said(api, "stats", "--json")
        found = json.loads(told)
        assert found["stats"]["total_entries"] == 0
        assert [e["action"] for e in found["audit"]["entries"]] == ["flush", *["invalidate"] * 3]
        assert "flush" in (await said(api, "stats"))[1]


async def test_whether_two_prompts_share_an_answer() -> None:
    async with listening(models(), CONFIG) as api:
        first, second = "please help me reset a password", "Please help me reset a password!"
        status, told = await said(api, "test", first, second)
        assert status == 0 and "They share an answer. The questions mean the same." in told
        assert "support, small: miss; scope=user" in told and "cosine" in told
        status, told = await said(api, "test", "help with 2 cats", "help with 3 cats")
        assert status == 1 and "They do not share an answer. Found, but not given" in told
        status, told = await said(api, "test", first, "hello", "--json")
        assert status == 1 and json.loads(told)["shared"] is False
        status, told = await said(api, "test", first, second, "--ask-for", "small")
        assert status == 1 and "the router refused: model: no 'small'" in told


async def test_a_router_without_a_cache_says_so() -> None:
    async with listening(models(), "models: {small: {endpoints: [http://127.0.0.1:1]}}") as api:
        assert "nothing is kept" in (await said(api, "stats"))[1]
        assert "nothing is kept" in (await said(api, "flush", "--yes"))[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stats", "--management", "http://127.0.0.1:1"), "no router answers at"),
        (("stats", "--management", "file:///etc/passwd"), "is no address"),
        (("invalidate",), "wayside cache flush"),
        (("invalidate", "--older-than", "soon"), "write 90s, 30m, 12h or 7d"),
    ],
)
def test_a_slip_is_told(arguments: tuple[str, ...], says: str) -> None:
    status, told = run(*arguments)
    assert status in (1, 2) and says in told


def rows(**row: Any) -> dict[str, Any]:
    return {"stores": [{"store": "s", **row}]}


def test_several_workers_are_one_router() -> None:
    own = {"shared": False, "answers": 2, "epoch": "1", "error": ""}
    both = {"dry_run": False, "answers": 2, **rows(**own)}
    assert merged([both, both])["stores"][0]["answers"] == 4
    assert merged([both, both])["answers"] == 4
    dry = {"dry_run": True, "answers": 2, **rows(**own | {"shared": True})}
    assert merged([dry, dry, dry])["answers"] == 2
    done = {"dry_run": False, "answers": 2, **rows(**own | {"shared": True})}
    none = {"dry_run": False, "answers": 0, **rows(**own | {"shared": True, "answers": 0})}
    assert merged([done, none])["answers"] == 2
    well = {"status": "healthy", **rows(healthy=True, why="")}
    ill = {"status": "degraded", **rows(healthy=False, why="gone")}
    assert merged([well, ill]) == ill
    held = {"total_entries": 1, **rows(shared=False, answers=1, bytes=5, counted_all=True)}
    unknown = {"total_entries": 0, **rows(shared=False, answers=None, bytes=7, counted_all=False)}
    assert merged([held, unknown])["stores"][0] == {
        "store": "s", "shared": False, "answers": 1, "bytes": 12, "counted_all": False,
    }  # fmt: skip
