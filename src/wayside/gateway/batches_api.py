"""OpenAI's Batch API: many requests in a file, their answers in another.

Source: OpenAI's API reference, "Batch". Every request goes the way that any client's does, so a
batch may ask ``auto``, and guards and caches hold for it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from wayside.gateway.batch_db import new_id
from wayside.gateway.batch_lines import ENDPOINTS
from wayside.gateway.batch_rows import Batch, Rows
from wayside.gateway.disk import guarded
from wayside.gateway.files_api import FilesApi, keep_s, page
from wayside.gateway.further import Further, identity_headers, limit_of, query, told
from wayside.gateway.ports import Say
from wayside.vocab.errors import RequestError
from wayside.vocab.identity import Identity
from wayside.vocab.outcome import Outcome, Request

PATH = "/v1/batches"
WINDOW = "24h"
MAX_METADATA = 16
MAX_KEY, MAX_VALUE = 64, 512


class _After(msgspec.Struct):
    seconds: int
    anchor: Literal["created_at"] = "created_at"


class _Asked(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: _After | None = None


_decode = msgspec.json.Decoder(_Asked).decode


class BatchesApi:
    """The four operations. ``wake`` tells who works on batches that there is one."""

    def __init__(
        self, rows: Rows, files: FilesApi, identity: Identity, wake: Callable[[], None], say: Say
    ) -> None:
        self._rows, self._files, self._identity = rows, files, identity
        self._wake, self._say = wake, say

    def add_to(self, further: Further) -> None:
        for method, path, work in (
            ("POST", PATH, self._create),
            ("GET", PATH, self._list),
            ("GET", f"{PATH}/{{id}}", self._one),
            ("POST", f"{PATH}/{{id}}/cancel", self._cancel),
        ):
            further.add(method, path, guarded(work, self._say))

    async def _create(self, request: Request, _: str) -> Outcome:
        owner = self._files.owner(request)
        try:
            asked = _decode(request.body)
        except (msgspec.MsgspecError, RecursionError) as error:
            said = str(error)[:200]
            raise RequestError(
                f"The request cannot be read: {said}", code="invalid_json"
            ) from None
        if asked.endpoint not in ENDPOINTS:
            said = f"endpoint is one of {', '.join(ENDPOINTS)}."
            raise RequestError(said, param="endpoint")
        if asked.completion_window != WINDOW:
            raise RequestError(f"completion_window is {WINDOW}.", param="completion_window")
        _check_metadata(asked.metadata or {})
        about: dict[str, Any] = {"endpoint": asked.endpoint, "metadata": asked.metadata}
        if asked.output_expires_after is not None:
            about["keep_s"] = keep_s(asked.output_expires_after.seconds, "output_expires_after")
        file = await self._rows.file(owner, asked.input_file_id)
        if file.purpose != "batch":
            said = f"The purpose of {file.id} is {file.purpose}; upload it with purpose `batch`."
            raise RequestError(said, param="input_file_id")
        now = self._rows.clock()
        batch = Batch(
            id=new_id("batch_"),
            owner=owner,
            status="validating",
            input=file.id,
            created=int(now),
            due=now + self._rows.settings.window_s,
            about=about,
            identity=identity_headers(request, self._identity),
        ).of(request.caller)
        await self._rows.add_batch(batch)
        self._wake()
        return told(shown(batch, 0, 0))

    async def _list(self, request: Request, _: str) -> Outcome:
        asked = query(request)
        found, more = await self._rows.batches(
            self._files.owner(request),
            after=asked.get("after", ""),
            limit=limit_of(asked, 20, 100),
        )
        return told(page([await self._shown(batch) for batch in found], more=more))

    async def _one(self, request: Request, id: str) -> Outcome:
        return told(await self._shown(await self._rows.batch(self._files.owner(request), id)))

    async def _cancel(self, request: Request, id: str) -> Outcome:
        batch = await self._rows.cancel(self._files.owner(request), id)
        self._wake()
        return told(await self._shown(batch))

    async def _shown(self, batch: Batch) -> dict[str, Any]:
        if batch.ended:
            return shown(batch, batch.about.get("completed", 0), batch.about.get("failed", 0))
        return shown(batch, *await self._rows.counts(batch.id))


def _check_metadata(metadata: dict[str, str]) -> None:
    if (
        len(metadata) > MAX_METADATA
        or any(len(key) > MAX_KEY for key in metadata)
        or any(len(value) > MAX_VALUE for value in metadata.values())
    ):
        said = (
            f"metadata has at most {MAX_METADATA} keys of {MAX_KEY} characters, with values of "
            f"{MAX_VALUE}."
        )
        raise RequestError(said, param="metadata")


_MOMENTS = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


def shown(batch: Batch, completed: int, failed: int) -> dict[str, Any]:
    """A batch as OpenAI's clients know it."""
    about = batch.about
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": about["endpoint"],
        "errors": about.get("errors"),
        "input_file_id": batch.input,
        "completion_window": WINDOW,
        "status": batch.status,
        "output_file_id": about.get("output_file_id"),
        "error_file_id": about.get("error_file_id"),
        "created_at": batch.created,
        "expires_at": int(batch.due),
        **{moment: about.get(moment) for moment in _MOMENTS},
        "request_counts": {
            "total": about.get("total", 0),
            "completed": completed,
            "failed": failed,
        },
        "metadata": about.get("metadata"),
    }
