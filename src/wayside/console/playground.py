"""Where a prompt would go, and why; and, where somebody wants to pay for it, what is answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside, note
from wayside.console.playing import Playing
from wayside.console.shapes import Answered, Played
from wayside.console.told import told
from wayside.dialects import encode, openai_chat
from wayside.gateway import inside as within
from wayside.gateway.api import ApiError, Body, Endpoint, parsed, since
from wayside.gateway.routing_api import IntentRequest
from wayside.vocab.chat import completion_of, text_of
from wayside.vocab.usage import tokens_of

LONGEST_S: Final = 300.0
"""How long an answer may take."""
MOST: Final = 4 << 20
"""Bytes of an answer."""
_SHOWN: Final = ("x-vsr-", "x-wayside-", "x-request-id", "x-ratelimit-", "content-type", "age")
"""Of an answer's headers, what the router says."""


class PlayRequest(Body):
    """A conversation."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    """As in a chat completion."""
    model: str = Field("", max_length=256)
    """A name that routes; the first automatic one when empty."""
    tier: str = Field("", max_length=64)
    """Whose rights count: a tier's; those of anybody when empty."""


class AskRequest(Body):
    """A conversation that is to be answered."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    """As in a chat completion."""
    model: str = Field("", max_length=256)
    """A name that routes, or a model; the first automatic name when empty."""
    key: str = Field("", max_length=8192, repr=False, pattern=r"^[\x21-\x7e]*$")
    """A token or key for models, where the router wants one."""


class Playground:
    """Decides, and asks."""

    def __init__(self, inside: Inside, playing: Playing) -> None:
        self._inside, self._playing = inside, playing

    def endpoints(self) -> list[Endpoint]:
        example = {"messages": [{"role": "user", "content": "What is a tort?"}]}
        return [
            Endpoint("POST", "/playground", self._play,
                     "Where a prompt would go, why, and what would change that.",
                     body=PlayRequest, answer=Played, example=example),
            Endpoint("POST", "/playground/ask", self._ask,
                     "Ask, as any client would; it costs what it costs.", role="operator",
                     deed="ask a model",
                     body=AskRequest, answer=Answered, example=example,
                     refusals=((503, "There is no data plane in this process."),)),
        ]  # fmt: skip

    async def _play(self, http: HttpRequest) -> Response:
        body = await parsed(http, PlayRequest)
        intent = IntentRequest(messages=body.messages, model=body.model)
        return told(await self._playing.played(intent, body.tier))

    async def _ask(self, http: HttpRequest) -> Response:
        body = await parsed(http, AskRequest)
        server = self._inside.server()
        if server is None:
            said = "this process serves no models itself (Envoy does, or it is not ready yet)"
            raise ApiError(503, "NO_DATA_PLANE", said)
        headers = {}
        if body.key:
            headers["authorization"] = f"Bearer {body.key}"
        elif self._inside.maas is not None:
            said = "key: is missing; this router answers nobody without a token or key (maas)"
            raise ApiError(400, "KEY_NEEDED", said)
        name = body.model or next(iter(self._inside.runtime.policy.virtual), "auto")
        note(http, f"model {name}")
        raw = encode({"model": name, "messages": body.messages})
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_S):
                answer = await within.ask(
                    server, openai_chat.PATH, raw, headers, urgency=0, max_bytes=MOST
                )
        except within.Unanswered as error:
            raise ApiError(503, "UNANSWERED", str(error)) from None
        except TimeoutError:
            raise ApiError(504, "UNANSWERED", f"no answer within {LONGEST_S:.0f} s") from None
        return told(self._answered(answer, since(began)))

    def _answered(self, answer: within.Answered, took_ms: float) -> Answered:
        raw = bytes(answer.body)
        model = answer.headers.get("x-vsr-selected-model", "")
        completion = completion_of(raw) if answer.status < 400 else None
        tokens = tokens_of(raw) if completion is not None else None
        # What came from the cache was paid for when it was made.
        kept = answer.headers.get("x-vsr-cache-hit") == "true"
        cost = None
        if tokens is not None and not kept:
            cost = self._inside.telemetry.accounts.priced(model, tokens)
        return {
            "text": _error(raw) if completion is None else text_of(completion),
            "model": model,
            "status": answer.status,
            "headers": {n: v for n, v in answer.headers.items() if n.startswith(_SHOWN)},
            "total_ms": took_ms,
            "prompt_tokens": tokens.prompt if tokens else 0,
            "completion_tokens": tokens.completion if tokens else 0,
            "cost": round(cost or 0.0, 9),
        }


def _error(raw: bytes) -> str:
    """What an error says, as far as it can be read."""
    try:
        said = msgspec.json.decode(raw)["error"]["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError):
        return raw[:2000].decode("utf-8", "replace")
    return str(said)
