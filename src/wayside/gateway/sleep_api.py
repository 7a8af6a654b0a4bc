"""Engines put to sleep and woken: vLLM's ``/sleep``, ``/wake_up`` and ``/is_sleeping``, with the
engine in ``?id=``.

The request goes to that engine as it came. One that says yes to ``/sleep`` leaves the rotation,
and comes back when it says yes to ``/wake_up``, or says that it does not sleep. Source: vLLM,
``entrypoints/serve/sleep``; production-stack, ``routers/main_router.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

from wayside.flow import Policy, report
from wayside.gateway.engines_api import Engine, EnginesApi, unknown_engine
from wayside.gateway.further import Found, query
from wayside.vocab.ask import Flow
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Ended, Forward, Record, Request, Taken

PATHS = {"/sleep": "POST", "/wake_up": "POST", "/is_sleeping": "GET"}
MAX_ANSWER = 1 << 20
_SAID = re.compile(rb'"is_sleeping"\s*:\s*(true|false)')


class SleepApi:
    """Passes such a request on, and takes note of the answer."""

    def __init__(self, api: EnginesApi, policy: Callable[[], Policy]) -> None:
        self._api, self._policy = api, policy

    def asked(self, request: Request) -> Found:
        path = request.path.partition("?")[0]
        asked = query(request)
        id = asked.pop("id", "")
        if not id:
            raise RequestError(
                f"Name the engine: {path}?id=ENGINE_ID. GET /engines lists them.", param="id"
            )
        engine = self._api.named(id)
        concrete = self._policy().concrete
        place = next((p for p in engine.places if p[0] in concrete), None)
        if place is None:
            raise unknown_engine(id)
        model, _, replica = place
        served = concrete[model]
        return Forward(
            target=served.target,
            path=f"{path}?{urlencode(asked)}" if asked else path,
            body=request.body,
            changed=False,
            set_headers=served.set_headers(request.headers),
            remove_headers=served.remove,
            report=report.LOCAL,
            record=Record(path="local", model=model, billed=False),
            tap=_Watched(engine, path),
            pin=replica.host_port,
        )


class _Watched:
    """Tells the fleet what became of it; the answer itself is not changed."""

    warnings: dict[str, None]
    reason = detail = content_type = ""

    def __init__(self, engine: Engine, path: str) -> None:
        self._engine, self._path = engine, path
        self._whole = bytearray()
        self._well = False
        self.warnings = {}

    def begin(self, status: int, content_type: str) -> Taken:
        self._well = 200 <= status < 300
        return "whole"

    def feed(self, chunk: bytes) -> Flow[bytes]:
        self._whole += chunk
        if len(self._whole) > MAX_ANSWER:
            self.reason = "upstream_invalid_response"
        return b""
        yield ()

    def finish(self) -> Flow[Ended]:
        if self._well:
            asleep = {"/sleep": True, "/wake_up": False}.get(self._path)
            said = _SAID.search(self._whole)
            if asleep is None and said is not None:
                asleep = said[1] == b"true"
            if asleep is not None:
                self._engine.sleeps(asleep=asleep)
        return Ended(body=bytes(self._whole))
        yield ()

    def settle(self) -> None:
        return None
