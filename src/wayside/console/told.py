"""Answers of the console as JSON, which no cache keeps."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response


def told(body: Any, status: int = 200) -> Response:
    """``body`` as JSON."""
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
