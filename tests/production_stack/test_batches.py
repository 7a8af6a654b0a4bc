"""OpenAI's Files and Batch APIs through the official SDK, against a router that serves."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from tests.running import Running, running
from wayside.sim import SimModel, SimServer, serve_sim

CHAT = "/v1/chat/completions"
Lines = list[dict[str, Any]]


def asked(count: int, model: str = "small", **more: Any) -> bytes:
    """A batch's file: chats that say their own number."""
    lines = [
        {
            "custom_id": f"r{i}",
            "method": "POST",
            "url": CHAT,
            "body": {
                "model": model,
                "messages": [{"role": "user", "content": f"number {i}"}],
                "max_tokens": 3,
                **more,
            },
        }
        for i in range(count)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@contextlib.asynccontextmanager
async def router(
    folder: Path, model: SimModel | None = None, **settings: Any
) -> AsyncIterator[tuple[Running, Any]]:
    """A router with batches in ``folder``, and the simulated server behind it."""
    batches = {"enabled": True, "folder": str(folder), **settings.pop("batches", {})}
    async with serve_sim([SimServer((model or SimModel("small"),))]) as (sim,):
        document = {"models": {"small": {"endpoints": [sim.url]}}, "batches": batches, **settings}
        async with running("gateway", document) as found:
            yield found, sim


def client(found: Running, key: str = "k", **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{found.url}/v1", api_key=key, max_retries=0, **more)


async def started(ai: AsyncOpenAI, content: bytes, endpoint: Any = CHAT) -> Any:
    file = await ai.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")
    return await ai.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"a": "b"}
    )


async def ended(ai: AsyncOpenAI, id: str, *, within_s: float = 20.0) -> Any:
    async with asyncio.timeout(within_s):
        while True:
            batch = await ai.batches.retrieve(id)
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                return batch
            await asyncio.sleep(0.05)


async def lines_of(ai: AsyncOpenAI, id: str) -> Lines:
    text = (await ai.files.content(id)).text
    return [json.loads(line) for line in text.splitlines()]


async def test_a_batch_of_chats_is_answered_in_order(tmp_path: Path) -> None:
    async with router(tmp_path / "made") as (found, _), client(found) as ai:
        batch = await started(ai, asked(30))
        assert batch.status == "validating"
        assert batch.metadata == {"a": "b"}
        batch = await ended(ai, batch.id)
        assert batch.status == "completed"
        assert (batch.request_counts.total, batch.request_counts.completed) == (30, 30)
        assert batch.error_file_id is None
        lines = await lines_of(ai, batch.output_file_id)
        assert [line["custom_id"] for line in lines] == [f"r{i}" for i in range(30)]
        for line in lines:
            assert line["error"] is None
            assert line["response"]["status_code"] == 200
            assert line["response"]["body"]["object"] == "chat.completion"
            assert line["response"]["body"]["usage"]["completion_tokens"] == 3
        # Each went the way of any request: there is a line of the request log for it.
        ids = {line["response"]["request_id"] for line in lines}
        assert ids <= {line["id"] for line in found.access.lines if line["model"] == "small"}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "small", "prompt": "a b", "max_tokens": 2}),
        ("/v1/embeddings", {"model": "small", "input": "some words"}),
        ("/v1/responses", {"model": "small", "input": "some words", "max_output_tokens": 4}),
    ],
)
async def test_every_endpoint_has_its_own_answers(
    tmp_path: Path, endpoint: str, body: dict[str, Any]
) -> None:
    line = {"custom_id": "one", "method": "POST", "url": endpoint, "body": body}
    async with router(tmp_path) as (found, _), client(found) as ai:
        batch = await ended(ai, (await started(ai, json.dumps(line).encode(), endpoint)).id)
        assert batch.status == "completed", batch
        (told,) = await lines_of(ai, batch.output_file_id)
        assert told["response"]["body"]["object"] in ("text_completion", "list", "response")


async def test_a_batch_may_leave_the_model_to_the_router(tmp_path: Path) -> None:
    async with (
        router(tmp_path, routing={"default_model": "small"}) as (found, _),
        client(found) as ai,
    ):
        batch = await ended(ai, (await started(ai, asked(2, model="auto"))).id)
        assert batch.request_counts.completed == 2


async def test_what_fails_is_in_the_file_of_errors(tmp_path: Path) -> None:
    content = asked(2) + asked(1, model="nobody").replace(b'"r0"', b'"lost"')
    async with router(tmp_path) as (found, _), client(found) as ai:
        batch = await ended(ai, (await started(ai, content)).id)
        assert batch.status == "completed"
        counts = batch.request_counts
        assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
        (error,) = await lines_of(ai, batch.error_file_id)
        assert error["custom_id"] == "lost"
        assert error["response"]["status_code"] == 404
        assert error["response"]["body"]["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"\n \n", "empty_file", None),
        (b'{"custom_id": "a"}\n', "invalid_json_line", 1),
        (b"nonsense\n", "invalid_json_line", 1),
        (asked(1) + b"\n" + asked(1), "duplicate_custom_id", 3),
        (asked(1).replace(b"/v1/chat/completions", b"/v1/embeddings"), "mismatched_url", 1),
        (asked(1).replace(b"POST", b"GET"), "invalid_method", 1),
        (asked(1, stream=True), "invalid_body", 1),
        (asked(6), "too_many_requests", None),
    ],
)
async def test_a_file_that_is_no_batch_fails_and_says_where(
    tmp_path: Path, content: bytes, code: str, line: int | None
) -> None:
    async with (
        router(tmp_path, batches={"max_requests": 5}) as (found, sim),
        client(found) as ai,
    ):
        batch = await ended(ai, (await started(ai, content)).id)
        assert batch.status == "failed"
        assert [(e.code, e.line) for e in batch.errors.data] == [(code, line)]
        assert not sim.requests


async def test_files_are_listed_read_and_deleted(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _), client(found) as ai:
        made = [
            await ai.files.create(file=(f"../{i}.jsonl", io.BytesIO(b"%d" % i)), purpose=purpose)
            for i, purpose in enumerate(("batch", "user_data", "batch"))
        ]
        assert [f.filename for f in made] == ["0.jsonl", "1.jsonl", "2.jsonl"]
        page = await ai.files.list(limit=2)
        assert [f.id for f in page.data] == [made[2].id, made[1].id]
        assert page.has_more
        rest = await ai.files.list(limit=2, after=made[1].id)
        assert [f.id for f in rest.data] == [made[0].id]
        assert not rest.has_more
        only = await ai.files.list(purpose="batch", order="asc")
        assert [f.id for f in only.data] == [made[0].id, made[2].id]
        assert (await ai.files.retrieve(made[1].id)).bytes == 1
        assert (await ai.files.content(made[1].id)).content == b"1"
        assert (await ai.files.delete(made[1].id)).deleted
        with pytest.raises(openai.NotFoundError):
            await ai.files.retrieve(made[1].id)
        assert sorted(p.name for p in (tmp_path / "files").iterdir()) == sorted(
            [made[0].id, made[2].id]
        )


async def test_whoever_shows_another_key_sees_nothing(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _), client(found) as ai, client(found, "else") as other:
        batch = await started(ai, asked(1))
        for look in (
            other.files.retrieve(batch.input_file_id),
            other.files.content(batch.input_file_id),
            other.files.delete(batch.input_file_id),
            other.batches.retrieve(batch.id),
            other.batches.cancel(batch.id),
            other.batches.create(
                input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                await look
        assert (await other.files.list()).data == []
        assert (await other.batches.list()).data == []
        assert [b.id for b in (await ai.batches.list()).data] == [batch.id]


async def test_a_tenant_sees_its_own_files_only(tmp_path: Path) -> None:
    settings = {"identity": {"trusted": True}, "batches": {"scope": "tenant"}}
    acme = {"x-authz-tenant-id": "acme", "x-authz-user-id": "ann"}
    async with router(tmp_path, **settings) as (found, sim):
        async with (
            client(found, default_headers=acme) as ann,
            client(found, "2", default_headers={**acme, "x-authz-user-id": "bob"}) as bob,
            client(found, default_headers={**acme, "x-authz-tenant-id": "else"}) as other,
        ):
            batch = await ended(ann, (await started(ann, asked(1))).id)
            assert (await bob.batches.retrieve(batch.id)).status == "completed"
            with pytest.raises(openai.NotFoundError):
                await other.files.content(batch.output_file_id)
        # Nobody's key is kept: not in the database, not in the headers of the requests made.
        assert b"Bearer" not in (tmp_path / "batches.db").read_bytes()
        assert sim.requests


async def test_without_a_key_there_are_no_files(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _):
        assert (await found.get("/v1/files")).status == 401
    async with router(tmp_path, batches={"anonymous": "shared"}) as (found, _):
        assert (await found.get("/v1/files")).json["data"] == []


async def test_without_the_setting_there_is_no_such_path(tmp_path: Path) -> None:
    async with router(tmp_path, batches={"enabled": False}) as (found, _):
        assert (await found.get("/v1/files")).status == 404
        assert (await found.get("/v1/batches")).status == 404


async def test_a_batch_is_cancelled_with_what_was_answered(tmp_path: Path) -> None:
    slow = SimModel("small", ttft_s=0.15)
    async with (
        router(tmp_path, slow, batches={"concurrency": 2}) as (found, sim),
        client(found) as ai,
    ):
        batch = await started(ai, asked(500))
        while (await ai.batches.retrieve(batch.id)).request_counts.completed < 2:
            await asyncio.sleep(0.05)
        with pytest.raises(openai.ConflictError):  # its file is in use
            await ai.files.delete(batch.input_file_id)
        assert (await ai.batches.cancel(batch.id)).status == "cancelling"
        batch = await ended(ai, batch.id)
        assert batch.status == "cancelled"
        done = len(await lines_of(ai, batch.output_file_id))
        assert 2 <= done == batch.request_counts.completed < 500
        errors = await lines_of(ai, batch.error_file_id)
        assert len(errors) + done == 500
        assert {e["error"]["code"] for e in errors} == {"batch_cancelled"}
        asked_of_it = len(sim.requests)
        await asyncio.sleep(0.4)
        assert len(sim.requests) == asked_of_it
        with pytest.raises(openai.ConflictError):
            await ai.batches.cancel(batch.id)


async def test_a_batch_without_time_expires(tmp_path: Path) -> None:
    slow = SimModel("small", ttft_s=0.2)
    limits = {"concurrency": 2, "window_s": 1.0}
    async with router(tmp_path, slow, batches=limits) as (found, _), client(found) as ai:
        batch = await ended(ai, (await started(ai, asked(100))).id)
        assert batch.status == "expired"
        assert 0 < batch.request_counts.completed < 100
        errors = await lines_of(ai, batch.error_file_id)
        assert {e["error"]["code"] for e in errors} == {"batch_expired"}


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    slow = SimModel("small", ttft_s=0.05)
    async with serve_sim([SimServer((slow,), keep=1000)]) as (sim,):
        document = {
            "models": {"small": {"endpoints": [sim.url]}},
            "batches": {"enabled": True, "folder": str(tmp_path), "concurrency": 4},
        }
        async with running("gateway", document) as found, client(found) as ai:
            batch = await started(ai, asked(60))
            while (await ai.batches.retrieve(batch.id)).request_counts.completed < 8:
                await asyncio.sleep(0.02)
        before = len(sim.requests)
        async with running("gateway", document) as found, client(found) as ai:
            batch = await ended(ai, batch.id)
            assert batch.status == "completed"
            assert batch.request_counts.completed == 60
            lines = await lines_of(ai, batch.output_file_id)
            assert [line["custom_id"] for line in lines] == [f"r{i}" for i in range(60)]
        # What was answered before was not asked again: at most those under way then were.
        assert len(sim.requests) <= 60 + 4
        assert 8 <= before < 60


async def test_overload_is_waited_out(tmp_path: Path) -> None:
    """A model that takes one request at a time and lets none wait."""
    slow = SimModel("small", ttft_s=0.02)
    async with (
        router(tmp_path, slow, batches={"concurrency": 6}) as (found, _),
        client(found) as ai,
    ):
        settings = found.app.fleet.pools["small"].settings
        queue = settings.queue.model_copy(update={"max_in_flight": 1, "max_queue": 1})
        pool = found.app.fleet.pools["small"]
        pool.replace(pool.replicas, settings.model_copy(update={"queue": queue}))
        batch = await ended(ai, (await started(ai, asked(25))).id)
        assert batch.request_counts.completed == 25
        assert any(line["status"] == 429 for line in found.access.lines)


async def test_a_clients_request_goes_before_those_of_batches(tmp_path: Path) -> None:
    slow = SimModel("small", ttft_s=0.1)
    async with (
        router(tmp_path, slow, batches={"concurrency": 8}) as (found, sim),
        client(found) as ai,
    ):
        pool = found.app.fleet.pools["small"]
        queue = pool.settings.queue.model_copy(update={"max_in_flight": 1})
        pool.replace(pool.replicas, pool.settings.model_copy(update={"queue": queue}))
        await started(ai, asked(40))
        while len(pool.line) < 6:
            await asyncio.sleep(0.01)
        seen = len(sim.requests)
        answer = await ai.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "me first"}]
        )
        assert answer.choices
        assert len(sim.requests) - seen <= 3  # the one under way, this one, perhaps the next


@pytest.mark.parametrize(
    ("form", "status", "param"),
    [
        ({"purpose": "batch"}, 400, "file"),
        ({"file": b"x"}, 400, "purpose"),
        ({"file": b"x", "purpose": "nonsense"}, 400, "purpose"),
        ({"file": b"x" * 2000, "purpose": "batch"}, 413, "file"),
        ({"file": b"x", "purpose": "batch", "expires_after[seconds]": "1"}, 400,
         "expires_after.seconds"),
    ],
)  # fmt: skip
async def test_a_form_that_is_wrong_says_what(
    tmp_path: Path, form: dict[str, Any], status: int, param: str
) -> None:
    async with router(tmp_path, batches={"max_file_bytes": 1000}) as (found, _):
        data = aiohttp.FormData(default_to_multipart=True)
        for name, value in form.items():
            data.add_field(name, value, filename="f" if isinstance(value, bytes) else None)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{found.url}/v1/files", data=data, headers={"authorization": "Bearer k"}
            ) as answer,
        ):
            assert answer.status == status
            assert (await answer.json())["error"]["param"] == param


async def test_a_tenants_files_together_are_limited(tmp_path: Path) -> None:
    limits = {"max_owner_bytes": 1000}
    async with (
        router(tmp_path, batches=limits) as (found, _),
        client(found) as ai,
        client(found, "other") as other,
    ):
        await ai.files.create(file=("a", io.BytesIO(b"x" * 600)), purpose="batch")
        with pytest.raises(openai.APIStatusError) as full:
            await ai.files.create(file=("b", io.BytesIO(b"x" * 600)), purpose="batch")
        assert full.value.status_code == 413
        await other.files.create(file=("a", io.BytesIO(b"x" * 600)), purpose="batch")
