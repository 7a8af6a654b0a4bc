"""Forms, lines and rows by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.gateway import batch_lines
from wayside.gateway.batch_rows import Batch, Rows
from wayside.gateway.further import Further, identity_of, owner_of, told
from wayside.gateway.multipart import MAX_PARTS, parts
from wayside.settings import IdentitySettings
from wayside.settings.production_stack import BatchSettings
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Reply, Request

TYPE = "multipart/form-data; boundary=xyz"


def form(*fields: tuple[str, bytes]) -> bytes:
    made = [
        b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (name.encode(), value)
        for name, value in fields
    ]
    return b"".join(made) + b"--xyz--\r\n"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=60)), max_size=8))
def test_a_form_comes_apart_as_it_was_put_together(fields: list[tuple[str, bytes]]) -> None:
    fields = [(n, v) for n, v in fields if b"--xyz" not in v and not v.endswith(b"\r")]
    found = parts(TYPE, form(*fields)) if fields else parts(TYPE, b"--xyz--")
    first = {name: value for name, value in reversed(fields)}
    assert {name: part.content for name, part in found.items()} == first


@settings(max_examples=300)
@given(st.binary(max_size=200), st.text(max_size=60))
def test_nothing_but_a_refusal_comes_of_nonsense(body: bytes, kind: str) -> None:
    for header in (TYPE, kind):
        for content in (body, b"--xyz" + body, b"--xyz\r\n" + body + b"\r\n--xyz--"):
            try:
                parts(header, content)
            except RequestError as error:
                assert error.status == 400


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", form(("a", b"1"))),
        (TYPE, b""),
        (TYPE, form(("a", b"1"))[:-6]),
        (TYPE, b"--xyz\r\nno header here\r\n--xyz--"),
        (TYPE, b"--xyzz\r\n\r\n--xyz--"),
        (TYPE, form(*[("a", b"1")] * (MAX_PARTS + 1))),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(RequestError):
        parts(kind, body)


def test_a_name_with_quotes_is_read() -> None:
    body = (
        b'preamble\r\n--xyz\r\nContent-Disposition: form-data; name="file"; '
        b'filename="a\\"b.jsonl"\r\nContent-Type: text/plain\r\n\r\nx\r\n--xyz--'
    )
    part = parts('multipart/form-data; boundary="xyz"', body)["file"]
    assert (part.filename, part.content) == ('a"b.jsonl', b"x")


# lines


def test_an_answer_is_one_line_whatever_its_server_writes() -> None:
    line = batch_lines.Line(1, 0, 0, "a")
    text = batch_lines.answered(line, 200, "req", b'{\n  "a": "x\\ny"\n}\n')
    assert text.count(b"\n") == 1
    assert json.loads(text)["response"]["body"] == {"a": "x\ny"}
    broken = batch_lines.answered(line, 502, "req", b"<html>")
    assert json.loads(broken)["response"]["body"]["error"]["type"] == "server_error"


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_file_is_checked_without_a_bug(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("lines") / "in"
    path.write_bytes(content)
    found = batch_lines.check(path, "/v1/chat/completions", 10)
    assert found.errors or found.lines


def test_errors_of_a_file_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"nonsense\n" * 1000)
    found = batch_lines.check(tmp_path / "in", "/v1/chat/completions", 5000)
    assert len(found.errors) == batch_lines.MAX_ERRORS


# rows


def batch(id: str, owner: str = "o") -> Batch:
    return Batch(id, owner, "validating", "file-x", 1, 1e12, {"endpoint": "x"}, {})


@pytest.fixture
def folder(tmp_path: Path) -> BatchSettings:
    return BatchSettings(enabled=True, folder=str(tmp_path / "f"), max_unfinished=3)


async def test_a_batch_has_one_worker_until_that_one_dies(folder: BatchSettings) -> None:
    one, two = Rows(folder), Rows(folder)
    one.open()
    two.open()
    try:
        await one.add_batch(batch("b"))
        first, second = await asyncio.gather(one.claim(8, 8), two.claim(8, 8))
        assert len(first) + len(second) == 1
        holder, other = (one, two) if first else (two, one)
        assert await other.claim(8, 8) == []
        holder.close()  # its lock is free
        assert [b.id for b in await other.claim(8, 8)] == ["b"]
    finally:
        for rows in (one, two):
            if rows._lock is not None:
                rows.close()


async def test_a_batch_that_is_to_end_is_not_brought_back(folder: BatchSettings) -> None:
    rows = Rows(folder)
    rows.open()
    try:
        mine = batch("b")
        await rows.add_batch(mine)
        await rows.cancel("o", "b")
        mine.status = "in_progress"
        assert not await rows.save(mine)
        assert await rows.status("b") == "cancelling"
        mine.status = "cancelled"
        assert await rows.save(mine)
    finally:
        rows.close()


async def test_an_owner_has_so_many_batches_and_no_more(folder: BatchSettings) -> None:
    rows = Rows(folder)
    rows.open()
    try:
        for i in range(3):
            await rows.add_batch(batch(f"b{i}"))
        with pytest.raises(RequestError) as refused:
            await rows.add_batch(batch("b3"))
        assert refused.value.status == 429
        await rows.add_batch(batch("b3", owner="another"))
    finally:
        rows.close()


async def test_what_is_too_old_goes(folder: BatchSettings) -> None:
    rows = Rows(folder)
    rows.open()
    try:
        rows.clock = lambda: 1000.0
        old = await rows.add_file("o", "a", "batch", b"x")
        rows.clock = lambda: 1000.0 + folder.keep_s + 1
        new = await rows.add_file("o", "b", "batch", b"y")
        await rows.sweep()
        with pytest.raises(RequestError):
            await rows.file("o", old.id)
        assert not rows.path(old.id).exists()
        assert rows.path(new.id).read_bytes() == b"y"
    finally:
        rows.close()


def test_nobody_else_on_the_machine_reads_it(folder: BatchSettings) -> None:
    rows = Rows(folder)
    rows.open()
    try:
        assert rows.folder.stat().st_mode & 0o077 == 0
        assert (rows.folder / "batches.db").stat().st_mode & 0o077 == 0
    finally:
        rows.close()


def test_a_folder_of_another_version_is_left_alone(folder: BatchSettings) -> None:
    rows = Rows(folder)
    rows.open()
    rows.close()
    with contextlib.closing(sqlite3.connect(rows.folder / "batches.db")) as db:
        db.execute("PRAGMA user_version = 7")
    later = Rows(folder)
    with pytest.raises(OSError, match="another version"):
        later.open()


# who


def asked(path: str = "/v1/files", method: str = "GET", **headers: str) -> Request:
    return Request(method, path, {k.replace("_", "-"): v for k, v in headers.items()})


def test_whose_a_file_is() -> None:
    nobody, trusted = IdentitySettings(), IdentitySettings(trusted=True)
    forged = {"x_authz_user_id": "ann"}

    def owner(who: IdentitySettings, scope: Any = "user", **headers: str) -> str:
        return owner_of(asked(**headers), identity_of(who), scope, anonymous=True)

    assert owner(nobody, authorization="Bearer a") == owner(nobody, authorization="Bearer a")
    assert owner(nobody, authorization="Bearer a") != owner(nobody, authorization="Bearer b")
    assert owner(nobody, authorization="Bearer a", **forged) == owner(
        nobody, authorization="Bearer a"
    )
    assert owner(nobody) == owner(nobody, **forged) == ""
    ann = {"x_authz_user_id": "ann", "x_authz_tenant_id": "t"}
    bob = {"x_authz_user_id": "bob", "x_authz_tenant_id": "t"}
    assert owner(trusted, **ann) != owner(trusted, **bob)
    assert owner(trusted, "tenant", **ann) == owner(trusted, "tenant", **bob)
    with pytest.raises(RequestError):
        owner(trusted)  # a proxy that says nobody means it


def test_paths_are_found_with_and_without_ids() -> None:
    further = Further()
    for path in ("/v1/files", "/v1/files/{id}", "/v1/files/{id}/content"):
        further.add("GET", path, lambda request, id, path=path: told({"path": path, "id": id}))

    def body(path: str) -> Any:
        found = further(asked(path))
        assert found is None or isinstance(found, Reply)
        return found and json.loads(found.body)

    assert body("/v1/files?limit=1") == {"path": "/v1/files", "id": ""}
    assert body("/v1/files/a") == {"path": "/v1/files/{id}", "id": "a"}
    assert body("/v1/files/a/content") == {"path": "/v1/files/{id}/content", "id": "a"}
    for path in ("/v1/files/", "/v1/files/a/b", "/v1", "/v1/files//content", "/x/a", "/"):
        assert body(path) is None
    with pytest.raises(RequestError) as refused:
        further(asked("/v1/files/a", "PUT"))
    assert refused.value.status == 405
