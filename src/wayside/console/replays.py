"""Records of earlier requests, and what would be decided about one of them now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside, unchanged
from wayside.console.playing import Playing
from wayside.console.shapes import Again, Replays
from wayside.console.told import told
from wayside.gateway.api import ApiError, Endpoint
from wayside.gateway.replay_api import ROOT, ReplayApi
from wayside.gateway.routing_api import IntentRequest

_READ: Final = ("messages", "tools", "metadata")
"""Of a recorded request, what may be decided by."""


class ReplaysData:
    """The plugin ``router_replay`` keeps the records; they hold prompts, so operators see them."""

    def __init__(self, inside: Inside, playing: Playing) -> None:
        self._api = ReplayApi(inside.runtime, lambda: inside.telemetry.prices)
        self._playing = playing

    def endpoints(self) -> list[Endpoint]:
        there = {e.path: e for e in self._api.endpoints()}
        return [
            replace(there[ROOT], path="/replays", also="", role="operator", answer=Replays),
            replace(there[f"{ROOT}/{{id}}"], path="/replays/{id}", also="", role="operator"),
            Endpoint("POST", "/replays/{id}/again", self._again,
                     "Decide once more about a recorded request, by what is in force now.",
                     role="operator", answer=Again,
                     refusals=((404, "There is no such record."),
                               (409, "The record does not have the whole request."))),
        ]  # fmt: skip

    async def _again(self, http: HttpRequest) -> Response:
        record = await self._api.record(http.path_params["id"])
        unchanged(http)
        after = await self._playing.played(intent_of(record))
        before = {
            "decision": str(record.get("decision", "")),
            "model": str(record.get("selected_model", "")),
        }
        return told({"before": before, "after": after})


def intent_of(record: Mapping[str, Any]) -> IntentRequest:
    """The recorded request, to be decided as nobody in particular would ask it. Raises
    :class:`ApiError` (409) where not all of it was kept."""
    raw = str(record.get("request_body", ""))
    if not raw:
        why = record.get("unredacted") or "router_replay.request_body is off"
        raise ApiError(409, "REPLAY_WITHOUT_TEXT", f"the request itself was not kept: {why}")
    if record.get("request_truncated"):
        said = "only the beginning of the request was kept; raise router_replay.max_body_bytes"
        raise ApiError(409, "REPLAY_INCOMPLETE", said)
    try:
        body = msgspec.json.decode(raw)
        known = {name: body[name] for name in _READ if body.get(name) is not None}
        return IntentRequest(**known, model=str(record.get("requested_model", "")))
    except (msgspec.DecodeError, ValidationError, AttributeError, TypeError):
        said = "the recorded request cannot be read as a chat"
        raise ApiError(409, "REPLAY_UNREADABLE", said) from None
