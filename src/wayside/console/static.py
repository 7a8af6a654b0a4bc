"""The pages: files that were there when we started, by name, compressed, with their ETag.

A request is looked up among those names, never in the file system, so that no path leads out.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, PlainTextResponse, Response

FOLDER: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
MAX_FILE: Final = 8 << 20
_SMALLEST: Final = 512
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
_ALREADY: Final = frozenset((".png", ".ico", ".webp", ".woff2"))
"""Compressed as they are."""
_NOT_BUILT: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Wayside console</title>
<h1>The console's pages are not built</h1>
<p>They are part of every released wheel. In a checkout, build them once:</p>
<pre>cd console &amp;&amp; npm ci &amp;&amp; npm run build</pre>
<p>Its data is served all the same: <a href="api/logins">/console/api</a>.</p></html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    plain: bytes
    zipped: bytes
    """Empty where that is not smaller."""
    kind: str
    etag: str


class Static:
    """The pages under ``/console/``."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._paths = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in _TYPES
        }
        self._held: dict[str, _File] = {}

    async def answer(self, http: HttpRequest) -> Response:
        """A page; every address without a suffix is one of the application's own."""
        name = http.path_params.get("path", "").lstrip("/")
        if not name or ("." not in name.rpartition("/")[2] and name not in self._paths):
            name = INDEX
        if name not in self._paths:
            if name == INDEX:
                return HTMLResponse(_NOT_BUILT, headers={"cache-control": "no-store"})
            return PlainTextResponse("There is no such file.", status_code=404)
        file = self._held.get(name)
        if file is None:
            file = await asyncio.to_thread(self._load, name)
        zips = bool(file.zipped) and "gzip" in http.headers.get("accept-encoding", "")
        etag = f'"{file.etag}{"-gz" if zips else ""}"'
        # Names stay the same from version to version: a browser keeps them, and asks each time.
        headers = {"etag": etag, "cache-control": "no-cache", "vary": "accept-encoding"}
        known = {tag.strip().removeprefix("W/") for tag in _tags(http)}
        if etag in known:
            return Response(status_code=304, headers=headers)
        if zips:
            headers["content-encoding"] = "gzip"
        return Response(file.zipped if zips else file.plain, media_type=file.kind, headers=headers)

    def _load(self, name: str) -> _File:
        """Compressing takes as long as deciding about a hundred prompts: on another thread."""
        path = self._paths[name]
        with path.open("rb") as opened:
            plain = opened.read(MAX_FILE)
        zipped = b""
        if len(plain) >= _SMALLEST and path.suffix not in _ALREADY:
            zipped = gzip.compress(plain, 6, mtime=0)
        kept = zipped if len(zipped) < len(plain) else b""
        etag = hashlib.sha256(plain).hexdigest()[:20]
        found = self._held[name] = _File(plain, kept, _TYPES[path.suffix], etag)
        return found


def _tags(http: HttpRequest) -> list[str]:
    return http.headers.get("if-none-match", "")[:4096].split(",")
