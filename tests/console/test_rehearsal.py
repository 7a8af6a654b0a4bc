"""Recorded requests, decided again by a configuration that is not in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.console.rig import CONFIG, Console, console
from wayside.console import rehearsal
from wayside.plugins.router_replay import SPACE
from wayside.vocab.ask import Failure, ask
from wayside.vocab.calls import Complete
from wayside.vocab.outcome import Request
from wayside.vocab.stores import Put

RECORDED = CONFIG.replace(
    "      models: [{model: big}]",
    "      models: [{model: big}]\n      plugins: {router_replay: {request_body: true}}",
)


async def record(c: Console, i: int, text: str, **more: Any) -> None:
    """One request that was decided as ``RECORDED`` says."""
    hard = "integral" in text
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    said = {"id": f"replay_{i}", "timestamp": float(i), "requested_model": "auto",
            "decision": "hard" if hard else "", "selected_model": "big" if hard else "small",
            "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 500_000},
            "request_body": json.dumps(body), **more}  # fmt: skip
    put = Put("memory", SPACE, str(i), json.dumps(said).encode(), most=5000)
    await c.app.runtime.run(ask(put))


async def rehearsed(c: Console, text: str, **more: Any) -> Any:
    operator = await c.as_("OPER")
    found = await operator("POST", "/api/config/rehearse", {"text": text, **more})
    assert found.status == 200, found.raw
    return found.body


async def test_what_would_have_gone_elsewhere_is_told_with_what_it_costs(tmp_path: Path) -> None:
    async with console(tmp_path, RECORDED) as c:
        await record(c, 1, "the integral of x")
        await record(c, 2, "the derivative of x")
        await record(c, 3, "good morning")
        await record(c, 4, "x", request_body="")
        await record(c, 5, "the integral of y", request_truncated=True)
        text = c.file.read_text()
        same = await rehearsed(c, text)
        assert (same["looked_at"], same["without_text"], same["same"]) == (5, 2, 3)
        assert same["moved"] == [] and same["cost_before"] == same["cost_after"] == 24.0
        found = await rehearsed(c, text.replace("[integral]", "[derivative]"))
        assert found["same"] == 1
        assert found["moved"] == [
            {"id": "replay_2", "text": "the derivative of x",
             "before": {"decision": "", "model": "small"},
             "after": {"decision": "hard", "model": "big"}},
            {"id": "replay_1", "text": "the integral of x",
             "before": {"decision": "hard", "model": "big"},
             "after": {"decision": "", "model": "small"}},
        ]  # fmt: skip
        dearer = await rehearsed(c, text.replace("[integral]", "[integral, morning]"))
        assert sorted(dearer["by_model"], key=lambda row: row["model"]) == [
            {"model": "big", "before": 1, "after": 2},
            {"model": "small", "before": 2, "after": 1},
        ]
        # 1 M prompt and 0.5 M completion tokens: 20 at big, 2 at small.
        assert (dearer["cost_before"], dearer["cost_after"]) == (24.0, 42.0)
        assert dearer["currency"] == "USD"
        assert c.app.state.generation == 1  # nothing was put in force


async def test_a_name_that_is_no_more_is_refused_and_a_model_goes_straight_through(
    tmp_path: Path,
) -> None:
    async with console(tmp_path, RECORDED) as c:
        await record(c, 1, "hello")
        gone = await rehearsed(c, "auto_names: [other]\n" + c.file.read_text())
        assert gone["moved"][0]["after"] == {"decision": "", "model": "refused"}


async def test_it_is_bounded_in_number_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(tmp_path, RECORDED) as c:
        for i in range(30):
            await record(c, i, "hello")
        text = c.file.read_text()
        found = await rehearsed(c, text, limit=7)
        assert found["looked_at"] == 7
        monkeypatch.setattr(rehearsal, "DEADLINE_S", 0.0)
        assert (await rehearsed(c, text))["looked_at"] == 0
        operator = await c.as_("OPER")
        for limit in (0, rehearsal.MOST + 1):
            sent = {"text": text, "limit": limit}
            assert (await operator("POST", "/api/config/rehearse", sent)).status == 400


async def test_no_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A selector that asks a model to choose gets no answer, and takes its own way out."""
    text = RECORDED.replace(
        "models: [{model: big}]",
        "models: [{model: small}, {model: big}]\n      select: {prompt: {model: small}}",
    )
    async with console(tmp_path, text) as c:
        await record(c, 1, "the integral of x")
        asked: list[Complete] = []

        def answered(question: Complete) -> Failure:
            asked.append(question)
            return Failure("away")

        own = c.app.calls.answerers()
        monkeypatch.setattr(c.app.calls, "answerers", lambda: {**own, Complete: answered})
        found = await rehearsed(c, c.file.read_text())
        assert found["moved"][0]["after"] == {"decision": "hard", "model": "small"}
        assert asked == []
        # Otherwise it would have been: the same by a runtime that asks.
        body = {"model": "auto", "messages": [{"role": "user", "content": "integral"}]}
        request = Request("POST", "/v1/chat/completions", {}, json.dumps(body).encode())
        await c.app.runtime.beside({Complete: answered}).examine(request)
        assert len(asked) == 1


async def test_a_bad_text_is_refused_with_its_problems(tmp_path: Path) -> None:
    async with console(tmp_path, RECORDED) as c:
        operator = await c.as_("OPER")
        found = await operator("POST", "/api/config/rehearse", {"text": "models: 5"})
        assert found.code == "CONFIG_REFUSED" and found.body["error"]["problems"][0]["line"] == 1
