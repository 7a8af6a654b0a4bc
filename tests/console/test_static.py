"""The pages: by name, compressed, with their ETag, and nothing but them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from wayside.console.static import Static


@pytest.fixture
def pages(tmp_path: Path) -> Static:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>x</title>" + " " * 600)
    (folder / "assets" / "app.js").write_text("let a = 1;" * 200)
    (folder / "assets" / "dot.png").write_bytes(b"\x89PNG" + b"0" * 1000)
    (folder / "notes.secret").write_text("not a page")
    (tmp_path / "token.json").write_text("{}")
    return Static(folder)


async def get(pages: Static, path: str, headers: Mapping[str, str] | None = None) -> Response:
    raw = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
    scope = {"type": "http", "method": "GET", "path": f"/{path}", "headers": raw,
             "query_string": b"", "path_params": {"path": path}}  # fmt: skip
    return await pages.answer(Request(scope))


async def test_a_file_is_compressed_and_asked_for_again_by_its_etag(pages: Static) -> None:
    plain = await get(pages, "assets/app.js")
    assert plain.media_type == "text/javascript; charset=utf-8"
    zipped = await get(pages, "assets/app.js", {"accept-encoding": "br, gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body  # type: ignore[arg-type]
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert zipped.headers["cache-control"] == "no-cache"
    assert zipped.headers["vary"] == "accept-encoding"
    same = {"accept-encoding": "gzip", "if-none-match": f'"x", W/{zipped.headers["etag"]}'}
    again = await get(pages, "assets/app.js", same)
    assert (again.status_code, again.body) == (304, b"")
    other = await get(pages, "assets/app.js", {"if-none-match": '"x"'})
    assert other.status_code == 200
    picture = await get(pages, "assets/dot.png", {"accept-encoding": "gzip"})
    assert "content-encoding" not in picture.headers


@pytest.mark.parametrize(
    "path",
    [
        "../token.json",
        "assets/../../token.json",
        "..%2ftoken.json",
        "/etc/passwd.txt",
        "assets\\..\\..\\token.json",
        "notes.secret",
        "assets/none.js",
        "index.html\x00.js",
    ],
)
async def test_no_path_leads_out(pages: Static, path: str) -> None:
    """Fault 37: path traversal in static files."""
    found = await get(pages, path)
    assert found.status_code == 404
    assert b"{" not in found.body and b"root:" not in found.body  # type: ignore[operator]


@pytest.mark.parametrize("path", ["", "playground", "replays/abc", "models/"])
async def test_addresses_of_the_application_are_its_page(pages: Static, path: str) -> None:
    found = await get(pages, path)
    assert found.status_code == 200 and found.media_type == "text/html; charset=utf-8"


async def test_while_nothing_is_built_a_page_says_so(tmp_path: Path) -> None:
    found = await get(Static(tmp_path), "")
    assert found.status_code == 200 and b"npm run build" in found.body  # type: ignore[operator]
    assert b"<script" not in found.body  # type: ignore[operator]
