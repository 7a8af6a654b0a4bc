"""What is left on the disk, and what is answered, where the disk does not play along."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import openai
import pytest

from tests.production_stack.test_batches import asked, client, ended, lines_of, router, started
from tests.production_stack.test_hostile_files import FILE, PURPOSE, ask, form, upload
from wayside.gateway import batch_runner, files_api
from wayside.gateway.batch_rows import BAD, GOOD, UNASKED, Batch, Rows
from wayside.gateway.file_rows import FileRows
from wayside.settings.production_stack import BatchSettings
from wayside.sim import SimModel
from wayside.vocab.errors import ConfigError, RequestError


@contextlib.contextmanager
def rows(folder: Path, **settings: Any) -> Iterator[Rows]:
    made = Rows(BatchSettings(folder=str(folder), **settings))
    made.open()
    try:
        yield made
    finally:
        made.close()


def batch(id: str, owner: str, input: str = "file-1", status: str = "validating") -> Batch:
    about = {"endpoint": "/v1/chat/completions"}
    return Batch(id, owner, status, input, 0, 0.0, about, {})


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
async def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    @contextlib.contextmanager
    def full(self: FileRows, id: str) -> Iterator[BinaryIO]:
        with real(self, id) as out:
            out.write(b"a part")
            raise OSError(fault, os.strerror(fault))
            yield out

    real = FileRows.writing
    async with router(tmp_path) as (found, _):
        with monkeypatch.context() as patch:
            patch.setattr(FileRows, "writing", full)
            status, said = await upload(found, form(PURPOSE, FILE))
        assert status == (507 if fault == errno.ENOSPC else 503)
        assert said["error"]["code"].startswith("file_storage_")
        assert "space" not in said["error"]["message"]  # what exactly is for the log
        assert not list((tmp_path / "files").iterdir())
        assert (await upload(found, form(PURPOSE, FILE)))[0] == 200


async def test_a_row_that_cannot_be_written_takes_its_content_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> NoReturn:
        raise sqlite3.OperationalError("database is locked")

    async with router(tmp_path) as (found, _):
        with monkeypatch.context() as patch:
            patch.setattr(FileRows, "_insert", locked)
            assert (await upload(found, form(PURPOSE, FILE)))[0] == 503
        assert not list((tmp_path / "files").iterdir())


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """A volume of Kubernetes, or ``/tmp``, is not ours alone."""
    tmp_path.chmod(0o1777)
    old = os.umask(0)
    try:
        with rows(tmp_path), rows(tmp_path / "made"):
            pass
    finally:
        os.umask(old)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
    inside = [tmp_path / "made", *(tmp_path / "made").iterdir(), *tmp_path.iterdir()]
    assert len(inside) > 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in inside)


@pytest.mark.parametrize("name", ["files", "batches.db"])
def test_what_somebody_else_has_put_there_is_not_used(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / name).symlink_to(theirs)
    with pytest.raises(OSError, match=r"somebody else|symbolic"), rows(tmp_path / "shared"):
        pass
    assert not list(theirs.iterdir())


async def test_a_folder_that_cannot_be_made_is_an_error_of_the_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"batches\.folder"):
        async with router(tmp_path / "file" / "below"):
            pass


async def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    with rows(tmp_path) as kept:
        file = await kept.add_file("ann", "a", "batch", b"x")
        content = tmp_path / "files"
        left = [content / f"file-{'0' * 24}", content / f"file-{'1' * 24}.part"]
        others = content / "somebody-elses"
        fresh = content / f"file-{'2' * 24}"
        for path in (*left, others, fresh):
            path.write_text("x")
        for path in (*left, others, content / file.id):
            os.utime(path, (1, 1))
        await kept.put_results("gone", [(1, GOOD, b"x")])
        open_ = batch("batch_1", "ann")
        await kept.add_batch(open_)
        await kept.put_results(open_.id, [(1, GOOD, b"x")])
        await kept.sweep()
        assert sorted(content.iterdir()) == sorted([content / file.id, others, fresh])
        assert await kept.counts("gone") == (0, 0)
        assert await kept.counts(open_.id) == (1, 0)


async def test_a_file_stays_for_as_long_as_a_batch_reads_it(tmp_path: Path) -> None:
    with rows(tmp_path) as kept:
        file = await kept.add_file("ann", "a", "batch", b"x", keep_s=1)
        made = batch("batch_1", "ann", file.id)
        await kept.add_batch(made)
        kept.clock = lambda: file.until + 10.0
        await kept.sweep()
        assert (await kept.file("ann", file.id)).id == file.id
        made.status = "completed"
        await kept.save(made)
        await kept.sweep()
        with pytest.raises(RequestError):
            await kept.file("ann", file.id)
        assert not list((tmp_path / "files").iterdir())


async def test_results_that_are_put_together_twice_are_there_once(tmp_path: Path) -> None:
    """A worker died between writing them and saying so."""
    with rows(tmp_path) as kept:
        made = batch("batch_1", "ann")
        await kept.add_batch(made)
        results = [(1, GOOD, b"good\n"), (2, BAD, b"bad\n"), (3, UNASKED, b"late\n")]
        await kept.put_results(made.id, results)
        for _ in range(2):
            good = await kept.add_output(made, good=True)
            bad = await kept.add_output(made, good=False)
        files, _ = await kept.files("ann")
        assert good is not None
        assert bad is not None
        assert {f.id for f in files} == {good.id, bad.id}
        assert kept.path(good.id).read_bytes() == b"good\n"
        assert kept.path(bad.id).read_bytes() == b"bad\nlate\n"
        assert len(list((tmp_path / "files").iterdir())) == 2
        assert await kept.counts(made.id) == (1, 1)


async def test_results_fill_the_room_of_their_owner(tmp_path: Path) -> None:
    async with router(tmp_path, batches={"max_owner_bytes": 2000}) as (found, _):
        async with client(found) as ai:
            first = await ended(ai, (await started(ai, asked(5))).id)
            assert first.status == "completed"
            with pytest.raises(openai.APIStatusError) as refused:
                await ai.batches.create(
                    input_file_id=first.input_file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
            assert refused.value.status_code == 413


async def test_empty_files_fill_the_disk_too(tmp_path: Path) -> None:
    async with router(tmp_path, batches={"max_bytes": 3 * 4096}) as (found, _):
        empty = form(PURPOSE, ("file", '; filename="a"', b""))
        # Keys that are made up make no room.
        found_status = [(await upload(found, empty, key=f"k{i}"))[0] for i in range(4)]
        assert found_status == [200, 200, 200, 507]


async def test_nobody_is_asked_twice_because_answers_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_runner, "AGAIN_S", 0.05)
    faults = 0
    real = Rows.put_results

    async def put(self: Rows, *args: Any) -> None:
        nonlocal faults
        if faults < 5:
            faults += 1
            raise sqlite3.OperationalError("database or disk is full")
        await real(self, *args)

    monkeypatch.setattr(Rows, "put_results", put)
    async with router(tmp_path, SimModel("small", ttft_s=0.01)) as (found, sim):
        async with client(found) as ai:
            done = await ended(ai, (await started(ai, asked(40))).id)
            assert done.request_counts.completed == 40
    assert faults == 5
    # Those under way when the first fault came were cut off, nothing else.
    assert len(sim.requests) <= 40 + 8


async def test_one_owner_does_not_take_all_places(tmp_path: Path) -> None:
    with rows(tmp_path) as kept:
        for i in range(5):
            await kept.add_batch(batch(f"batch_a{i}", "ann"))
        await kept.add_batch(batch("batch_b", "bob"))
        assert [b.id for b in await kept.claim(16, 2)] == ["batch_a0", "batch_a1", "batch_b"]
        assert await kept.claim(16, 2) == []
        await kept.save(batch("batch_a0", "ann", status="completed"))
        assert [b.id for b in await kept.claim(16, 2)] == ["batch_a2"]


async def test_a_page_behind_somebody_elses_id_is_empty(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _):
        await upload(found, form(PURPOSE, FILE), key="ann")
        _, theirs = await upload(found, form(PURPOSE, FILE), key="bob")
        for after in (theirs["id"], "file-nobody"):
            _, page = await ask(found, "GET", f"/v1/files?after={after}", key="ann")
            assert page["data"] == []


async def test_results_are_kept_for_as_long_as_was_asked(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _), client(found) as ai:
        file = await ai.files.create(file=("in", b"\xef\xbb\xbf" + asked(2)), purpose="batch")
        form: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions"}
        form["completion_window"] = "24h"
        for seconds in (1, 1e10):
            with pytest.raises(openai.BadRequestError):
                after = {"anchor": "created_at", "seconds": int(seconds)}
                await ai.batches.create(**form, extra_body={"output_expires_after": after})
        after = {"anchor": "created_at", "seconds": 7200}
        made = await ai.batches.create(**form, extra_body={"output_expires_after": after})
        done = await ended(ai, made.id)
        assert done.status == "completed", done  # with the mark that Windows puts before text
        output = await ai.files.retrieve(done.output_file_id)
        assert output.expires_at == output.created_at + 7200
        assert [x["custom_id"] for x in await lines_of(ai, output.id)] == ["r0", "r1"]


async def test_counts_add_up_at_every_moment(tmp_path: Path) -> None:
    slow = SimModel("small", ttft_s=0.02)
    content = asked(30) + asked(3, model="nobody").replace(b'"r', b'"x')
    async with router(tmp_path, slow, batches={"concurrency": 3}) as (found, _):
        async with client(found) as ai:
            made = await started(ai, content)
            last = 0
            while True:
                now = await ai.batches.retrieve(made.id)
                counts = now.request_counts
                assert last <= counts.completed + counts.failed <= max(counts.total, 0)
                last = counts.completed + counts.failed
                assert now.status in ("validating", "in_progress", "finalizing", "completed")
                if now.status == "completed":
                    break
                await asyncio.sleep(0.02)
            assert (counts.completed, counts.failed, counts.total) == (30, 3, 33)


async def test_who_does_not_read_files_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_api, "MAX_UNSENT", 24 << 20)
    async with router(tmp_path) as (found, _):
        _, made = await upload(found, form(PURPOSE, (*FILE[:2], b"x" * (900 << 10))))
        (tmp_path / "files" / made["id"]).write_bytes(b"x" * (10 << 20))
        with contextlib.closing(sqlite3.connect(tmp_path / "batches.db")) as db, db:
            db.execute("UPDATE files SET bytes = ?", (10 << 20,))
        path = f"/v1/files/{made['id']}/content"
        host, _, port = found.url.removeprefix("http://").partition(":")
        idle = []
        for _ in range(4):
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n\r\n"
            writer.write(head.encode())
            idle.append(writer)
            await asyncio.sleep(0.2)
        status, said = await ask(found, "GET", path)
        assert (status, said["error"]["code"]) == (503, "too_many_downloads")
        for writer in idle:
            writer.transport.abort()
        async with asyncio.timeout(10):
            while (await ask(found, "GET", path))[0] != 200:
                await asyncio.sleep(0.05)


async def test_a_batch_waits_for_a_connection_that_is_free(tmp_path: Path) -> None:
    """Rather than fail for want of one; nothing was asked."""
    settings = {"limits": {"max_connections": 3}, "batches": {"concurrency": 8, "attempts": 1}}
    async with router(tmp_path, SimModel("small", ttft_s=0.02), **settings) as (found, sim):
        async with client(found) as ai:
            done = await ended(ai, (await started(ai, asked(20))).id, within_s=60)
            assert (done.request_counts.completed, done.request_counts.failed) == (20, 0)
    assert len(sim.requests) == 20


async def test_who_works_on_batches_stops_in_the_moment_of_news(tmp_path: Path) -> None:
    """``asyncio.wait_for`` of Python 3.11 loses a cancellation then."""
    with rows(tmp_path) as kept:
        nobody: Any = None  # is asked: there are no batches
        runner = batch_runner.Runner(kept, nobody, lambda *_, **__: None)
        runner.start()
        await asyncio.sleep(0.2)
        runner.wake()
        async with asyncio.timeout(5):
            await runner.stop()
