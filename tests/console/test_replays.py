"""Records of earlier requests, and what would be decided now."""

from __future__ import annotations

import inspect
import json
from typing import Any

from tests.console.data_rig import Gaps, Rig, console
from tests.console.test_playground import asks, engines
from wayside.plugins.router_replay import SPACE
from wayside.vocab.stores import Put


async def put(rig: Rig, id: str, **more: Any) -> None:
    record = {"id": f"replay_{id}", "timestamp": 1.0, "requested_model": "auto", **more}
    question = Put("memory", SPACE, id, json.dumps(record).encode())
    found = rig.app.stores.answerers()[Put](question)
    if inspect.isawaitable(found):
        await found


async def test_records_with_their_filters_and_one_of_them() -> None:
    async with console() as rig:
        body = json.dumps({"model": "auto", **asks("What is a tort?")})
        await put(rig, "a", timestamp=2.0, decision="court", request_body=body)
        await put(rig, "b", timestamp=3.0, decision="sums")
        status, told = await rig.get("/replays")
        assert status == 200 and [r["id"] for r in told["data"]] == ["replay_b", "replay_a"]
        assert "request_body" not in told["data"][1] and told["has_more"] is False
        status, told = await rig.get("/replays?decision=court&limit=1")
        assert [r["id"] for r in told["data"]] == ["replay_a"]
        status, told = await rig.get("/replays?limit=1")
        assert told["has_more"] is True and told["count"] == 1
        status, told = await rig.get("/replays?search=TORT")
        assert [r["id"] for r in told["data"]] == ["replay_a"]
        status, told = await rig.get("/replays/replay_a")
        assert status == 200 and told["request_body"] == body
        assert (await rig.get("/replays/none"))[0] == 404


async def test_a_record_is_decided_once_more() -> None:
    async with console(engines=engines(law=0.9, math=0.05)) as rig:
        body = json.dumps({"model": "auto", "stream": True, **asks("What is a tort?")})
        before = {"decision": "sums", "selected_model": "small"}
        await put(rig, "a", **before, request_body=body)
        status, told = await rig.post("/replays/replay_a/again", {})
        assert status == 200, told
        assert told["before"] == {"decision": "sums", "model": "small"}
        assert (told["after"]["decided"], told["after"]["model"]) == ("court", "free")


async def test_what_was_not_kept_cannot_be_decided_again() -> None:
    async with console() as rig:
        await put(rig, "a")
        await put(rig, "b", request_body='{"messages": [', request_truncated=True)
        await put(rig, "c", request_body="[1]")
        await put(rig, "d", request_body='{"messages": "no list"}')
        for id, code, said in (
            ("a", "REPLAY_WITHOUT_TEXT", "request_body is off"),
            ("b", "REPLAY_INCOMPLETE", "max_body_bytes"),
            ("c", "REPLAY_UNREADABLE", ""),
            ("d", "REPLAY_UNREADABLE", ""),
        ):
            status, told = await rig.post(f"/replays/{id}/again", {})
            assert (status, told["error"]["code"]) == (409, code)
            assert said in told["error"]["message"]


async def test_a_search_through_many_records_holds_up_nobody() -> None:
    """Ten thousand records with bodies: tens of megabytes, looked through in slices."""
    async with console() as rig:
        text = "lorem ipsum " * 150
        for n in range(10_000):
            await put(rig, str(n), timestamp=float(n), request_body=text, response_body=text)
        async with Gaps() as gaps:
            status, told = await rig.get("/replays?search=nowhere")
            assert status == 200 and told["count"] == 0
            status, told = await rig.get("/replays?limit=100")
            assert told["count"] == 100 and told["has_more"] is True
        print(f"longest {gaps.worst * 1e3:.1f} ms")
        assert gaps.worst < 0.1
