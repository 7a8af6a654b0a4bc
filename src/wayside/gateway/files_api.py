"""OpenAI's Files API: what batches read and write. Source: OpenAI's API reference, "Files".

A file belongs to whoever made it (:func:`wayside.gateway.further.owner_of`); to everybody else it
is as if it were not there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from wayside.gateway.batch_db import missing
from wayside.gateway.batch_rows import Rows
from wayside.gateway.disk import guarded
from wayside.gateway.file_rows import File
from wayside.gateway.further import Further, limit_of, owner_of, query, raw, told
from wayside.gateway.multipart import Part, parts
from wayside.gateway.ports import Say
from wayside.vocab.errors import RequestError
from wayside.vocab.identity import Identity
from wayside.vocab.outcome import Outcome, Request

PATH = "/v1/files"
PURPOSES = ("batch", "assistants", "evals", "fine-tune", "user_data", "vision")
MAX_NAME = 255
KEEP_MIN_S, KEEP_MAX_S = 3_600, 2_592_000
"""What ``expires_after`` may say (OpenAI's bounds)."""
MAX_UNSENT = 256 << 20
"""Bytes of answers that clients have not read yet, beyond which no more files are fetched."""
_SECONDS = re.compile(r"[0-9]{1,9}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class FilesApi:
    """The five operations."""

    def __init__(
        self, rows: Rows, identity: Identity, say: Say, unsent: Callable[[], int]
    ) -> None:
        """``unsent`` is how many bytes of answers wait for clients who do not read."""
        self._rows, self._identity, self._say = rows, identity, say
        self._unsent, self._reading = unsent, 0

    def add_to(self, further: Further) -> None:
        for method, path, work in (
            ("POST", PATH, self._upload),
            ("GET", PATH, self._list),
            ("GET", f"{PATH}/{{id}}", self._one),
            ("DELETE", f"{PATH}/{{id}}", self._delete),
            ("GET", f"{PATH}/{{id}}/content", self._content),
        ):
            further.add(method, path, guarded(work, self._say))

    def owner(self, request: Request) -> str:
        s = self._rows.settings
        return owner_of(request, self._identity, s.scope, anonymous=s.anonymous == "shared")

    async def _upload(self, request: Request, _: str) -> Outcome:
        owner = self.owner(request)
        form = parts(request.headers.get("content-type", ""), request.body)
        file, purpose = form.get("file"), form.get("purpose")
        if file is None:
            raise RequestError("The form has no field `file`.", param="file")
        if purpose is None or purpose.text not in PURPOSES:
            said = f"purpose is one of {', '.join(PURPOSES)}."
            raise RequestError(said, param="purpose")
        name = _UNPRINTABLE.sub("_", file.filename).replace("\\", "/").rpartition("/")[2]
        name = name[:MAX_NAME] or "file"
        kept = await self._rows.add_file(owner, name, purpose.text, file.content, _keep_s(form))
        return told(shown(kept))

    async def _list(self, request: Request, _: str) -> Outcome:
        asked = query(request)
        order = asked.get("order", "desc")
        if order not in ("asc", "desc"):
            raise RequestError("order is asc or desc.", param="order")
        found, more = await self._rows.files(
            self.owner(request),
            purpose=asked.get("purpose", ""),
            after=asked.get("after", ""),
            limit=limit_of(asked, 10_000, 10_000),
            up=order == "asc",
        )
        return told(page([shown(file) for file in found], more=more))

    async def _one(self, request: Request, id: str) -> Outcome:
        return told(shown(await self._rows.file(self.owner(request), id)))

    async def _delete(self, request: Request, id: str) -> Outcome:
        await self._rows.delete(self.owner(request), id)
        return told({"id": id, "object": "file", "deleted": True})

    async def _content(self, request: Request, id: str) -> Outcome:
        file = await self._rows.file(self.owner(request), id)
        held = self._unsent() + self._reading
        if held and held + file.bytes > MAX_UNSENT:
            raise RequestError(
                "Too much is being fetched; ask again.",
                status=503,
                kind="server_error",
                code="too_many_downloads",
                headers=(("retry-after", "1"), ("retry-after-ms", "1000")),
            )
        self._reading += file.bytes
        try:
            content = await asyncio.to_thread(self._rows.path(file.id).read_bytes)
        except FileNotFoundError:  # deleted since, or by somebody who looks after the disk
            raise missing("file", id) from None
        finally:
            self._reading -= file.bytes
        # Never text/html: what somebody uploaded is not to run where our pages do.
        headers = (("x-content-type-options", "nosniff"),)
        return raw(content, content_type="application/octet-stream", headers=headers)


def _keep_s(form: dict[str, Part]) -> float | None:
    """What ``expires_after`` says, in seconds."""
    seconds = form.get("expires_after[seconds]")
    anchor = form.get("expires_after[anchor]")
    if seconds is None:
        return None
    if anchor is not None and anchor.text != "created_at":
        raise RequestError("Files expire after created_at only.", param="expires_after.anchor")
    said = int(seconds.text) if _SECONDS.fullmatch(seconds.text) else 0
    return keep_s(said, "expires_after")


def keep_s(seconds: int, field: str) -> float:
    """Within OpenAI's bounds. Raises :class:`RequestError`, which names ``field``."""
    if not KEEP_MIN_S <= seconds <= KEEP_MAX_S:
        raise RequestError(
            f"A file is kept for {KEEP_MIN_S} to {KEEP_MAX_S} seconds.", param=f"{field}.seconds"
        )
    return float(seconds)


def shown(file: File) -> dict[str, Any]:
    """A file as OpenAI's clients know it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created,
        "expires_at": file.until,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def page(items: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """One page of a list."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": more,
    }
