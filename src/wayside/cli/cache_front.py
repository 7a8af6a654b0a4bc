"""The response cache's endpoints of several workers as if they were one router's.

Each worker has a ``memory`` of its own, so that letting answers go is said to every worker, and
their numbers are added up; of a store that all share, one worker tells.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wayside.gateway.api import MAX_BODY_BYTES

EVERY = {"health", "stats", "invalidate", "flush"}
"""Endpoints that every worker is asked; the first one knows the rest."""
Fetch = Callable[[int, str, str, bytes, Mapping[str, str]], tuple[int, str, bytes]]
"""Asks one worker: number, method, target, body and headers; status, content type and body."""


async def cache_front(request: Request, count: int, fetch: Fetch) -> Response:
    """Ask ``count`` workers, one after another, and answer as one."""
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        return _error(413, "REQUEST_BODY_TOO_LARGE", "too large")
    what = request.path_params["what"]
    headers = {
        name: request.headers[name]
        for name in ("content-type", "x-wayside-operator")
        if name in request.headers
    }
    found: list[dict[str, Any]] = []
    for i in range(count if what in EVERY else 1):
        try:
            status, kind, said = await asyncio.to_thread(
                fetch, i, request.method, request.url.path, body, headers
            )
        except (OSError, http.client.HTTPException) as error:
            told = f"worker {i}: {type(error).__name__}"
            return _error(503, "WORKER_UNAVAILABLE", f"{told}; {i} workers have done it")
        if status != 200 or what not in EVERY:
            return Response(said, status_code=status, media_type=kind)
        found.append(json.loads(said))
    return JSONResponse(merged(found))


def merged(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several workers' answers as one."""
    first, *others = answers
    whole = {**first, "stores": [dict(row) for row in first["stores"]]}
    for other in others:
        for row, more in zip(whole["stores"], other["stores"], strict=True):
            _add(row, more, dry_run=bool(first.get("dry_run")))
    rows = whole["stores"]
    for total in ("answers", "total_entries"):
        if total in whole:
            whole[total] = sum(row["answers"] or 0 for row in rows)
    if "status" in whole and rows:
        whole["status"] = "healthy" if all(row["healthy"] for row in rows) else "degraded"
    return whole


def _add(row: dict[str, Any], more: dict[str, Any], *, dry_run: bool) -> None:
    counts = not row.get("shared")
    if "epoch" in row:  # what one worker let go of a shared store, the next did not find
        counts = counts or not dry_run
    for key in ("answers", "bytes"):
        if key in row and (counts or key == "bytes"):
            row[key] = (row[key] or 0) + (more[key] or 0)
    for key in ("error", "why"):
        if key in row:
            row[key] = row[key] or more[key]
    for key in ("healthy", "counted_all"):
        if key in row:
            row[key] = row[key] and more[key]


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
