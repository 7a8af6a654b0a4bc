"""Files that are sent, asked for and kept in ways nobody means well by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.production_stack.test_batches import router
from tests.running import Running

FORM = {"content-type": "multipart/form-data; boundary=XX"}


def form(*fields: tuple[str, str, bytes]) -> bytes:
    """A form of ``name``, further words of its header, and content."""
    made = [
        b'--XX\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (name.encode(), more.encode(), content)
        for name, more, content in fields
    ]
    return b"".join(made) + b"--XX--\r\n"


PURPOSE = ("purpose", "", b"batch")
FILE = ("file", '; filename="a"', b"x")


async def ask(
    found: Running, method: str, path: str, body: bytes = b"", key: str = "k", **headers: str
) -> tuple[int, Any]:
    """The status, and the answer as JSON where it is that."""
    sent = {"authorization": f"Bearer {key}", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, found.url + path, data=body, headers=sent) as answer,
    ):
        raw = await answer.read()
        try:
            return answer.status, json.loads(raw)
        except ValueError:
            return answer.status, raw


async def upload(found: Running, body: bytes, key: str = "k") -> tuple[int, Any]:
    return await ask(found, "POST", "/v1/files", body, key, **FORM)


@pytest.mark.parametrize(
    "seconds", ["²", "٣٦٠٠", "000003600999999999999", "-3600", "1e4", "", "9" * 5000]
)
async def test_a_time_to_keep_that_is_no_number_is_refused(tmp_path: Path, seconds: str) -> None:
    async with router(tmp_path) as (found, _):
        more = ("expires_after[seconds]", "", seconds.encode())
        status, said = await upload(found, form(PURPOSE, FILE, more))
        assert (status, said["error"]["param"]) == (400, "expires_after.seconds")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
async def test_a_query_of_many_parameters_is_refused(tmp_path: Path, path: str) -> None:
    async with router(tmp_path, production_stack={"enabled": True}) as (found, _):
        status, _ = await ask(found, "GET", path + "?" + "&".join(["a=1"] * 200))
        assert status == 400


async def test_a_file_whose_content_is_gone_is_not_found(tmp_path: Path) -> None:
    async with router(tmp_path) as (found, _):
        _, made = await upload(found, form(PURPOSE, FILE))
        (tmp_path / "files" / made["id"]).unlink()
        status, said = await ask(found, "GET", f"/v1/files/{made['id']}/content")
        assert (status, said["error"]["code"]) == (404, "not_found")
        # What is left of it can be deleted.
        assert (await ask(found, "DELETE", f"/v1/files/{made['id']}"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        form(*[("f", "", b"")] * 10_000),
        form(PURPOSE, ("file", f'; filename="{"a" * (1 << 19)}"', b"x")),
        form(PURPOSE, FILE)[:-6],
        form(PURPOSE, FILE).replace(b"--XX\r\n", b"--XXX\r\n"),
        b"--XX\r\n" * 10_000,
        b"--XX--\r\n",
        b"",
    ],
    ids=["many fields", "long name", "no end", "other boundary", "no fields", "empty", "nothing"],
)
async def test_a_form_made_to_do_harm_is_refused(tmp_path: Path, body: bytes) -> None:
    async with router(tmp_path) as (found, _):
        status, said = await upload(found, body)
        assert status == 400
        assert said["error"]["type"] == "invalid_request_error"
        assert not list((tmp_path / "files").iterdir())


@pytest.mark.parametrize(
    "id", ["..%2f..%2fbatches.db", "..", "%00", "a" * 5000, "file-'; DROP TABLE files; --"]
)
async def test_an_id_is_never_a_path(tmp_path: Path, id: str) -> None:
    async with router(tmp_path) as (found, _):
        await upload(found, form(PURPOSE, FILE))
        for path in (f"/v1/files/{id}", f"/v1/files/{id}/content", f"/v1/batches/{id}"):
            assert (await ask(found, "GET", path))[0] == 404
        assert (await ask(found, "GET", "/v1/files"))[1]["data"]
