"""Answers of the console as JSON, which no cache keeps."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from starlette.responses import Response


def encoded(body: Any) -> bytes:
    """``body`` as JSON; what of its texts is no Unicode (lone surrogates) stands escaped."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return json.dumps(body).encode("ascii")


def told(body: Any, status: int = 200) -> Response:
    """``body`` as JSON."""
    headers = {"cache-control": "no-store"}
    return Response(encoded(body), status, headers, media_type="application/json")
