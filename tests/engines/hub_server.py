"""A small Hugging Face Hub on loopback: listings, redirects to its storage, ranges, failures."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = "acme/tiny"
LARGE = 1000
"""Files of at least this size are listed with a SHA-256 (LFS), others with git's SHA-1."""


class Storage:
    """What a hub holds, what it was asked, and how it fails."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.revision = files, "0123456789abcdef"
        self.card: dict[str, Any] = {"license": "mit"}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        """Which server (``hub`` or ``storage``), path, headers in lower case."""
        self.breaks_after: int | None = None
        """Bytes of a large file after which the next download breaks off."""
        self.ranges, self.statuses = True, {}  # type: ignore[var-annotated]
        self.corrupt: bytes | None = None
        self.redirect_to: str | None = None
        self.hub = self.storage = ""

    def listing(self) -> dict[str, Any]:
        siblings = []
        for path, content in self.files.items():
            item: dict[str, Any] = {"rfilename": path, "size": len(content)}
            if len(content) >= LARGE:
                digest = hashlib.sha256(content).hexdigest()
                item["lfs"] = {"sha256": digest, "size": len(content)}
            else:
                head = b"blob %d\0" % len(content)
                item["blobId"] = hashlib.sha1(head + content).hexdigest()
            siblings.append(item)
        return {"sha": self.revision, "siblings": siblings, "cardData": self.card}


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Storage]:
    """A hub at ``.hub`` that redirects large files to ``.storage``, another port."""
    held = Storage(files)

    def handler(name: str) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {key.lower(): value for key, value in self.headers.items()}
                path = urlsplit(self.path).path
                held.asked.append((name, path, headers))
                status = held.statuses.get(path.rpartition("/")[2] if name == "storage" else path)
                if status:
                    return self.reply(status, b"")
                if path.startswith("/api/models/"):
                    return self.reply(200, json.dumps(held.listing()).encode())
                file = path.partition(f"/resolve/{held.revision}/")[2]
                if file not in held.files:
                    return self.reply(404, b"")
                content = held.files[file]
                if name == "hub" and len(content) >= LARGE:
                    self.send_response(302)
                    self.send_header("location", (held.redirect_to or held.storage) + self.path)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return None
                return self.send_file(content, headers.get("range", ""))

            def send_file(self, content: bytes, asked: str) -> None:
                start = int(asked[6:].rstrip("-")) if asked and held.ranges else 0
                body = held.corrupt if held.corrupt and len(content) >= LARGE else content
                stop = held.breaks_after
                if stop is not None and len(content) >= LARGE:
                    held.breaks_after = None
                self.send_response(206 if start else 200)
                self.send_header("content-length", str(len(body) - start))
                self.end_headers()
                cut = (
                    body[start : start + stop] if stop and len(content) >= LARGE else body[start:]
                )
                self.wfile.write(cut)
                self.close_connection = True

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler(n)) for n in ("hub", "storage")]
    threads = [threading.Thread(target=s.serve_forever, args=(0.01,)) for s in servers]
    for thread in threads:
        thread.start()
    held.hub, held.storage = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    try:
        yield held
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join(5)
