"""What came of answers: ``POST /v1/router/outcomes`` (spec: vSR 7.1), and what was learnt."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import Annotated, Any, Literal, NotRequired

import msgspec
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.flow.judging import Judged, Routing
from wayside.flow.sticky import owner
from wayside.gateway.api import ApiError, Body, Endpoint, parsed
from wayside.runtime import Runtime
from wayside.runtime.experience import Experience
from wayside.runtime.learned import CLAIMS, OUTCOMES
from wayside.settings.problems import suggest
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import Observe, Seen, Standing, Verdict
from wayside.vocab.prompt import Prompt

Source = Literal["user", "agent", "eval", "operator", "provider", "router"]
Target = Literal["model", "route", "policy", "stability", "provider", "router"]
Text = Annotated[str, Field(max_length=256)]
_OF_THE_CALLER = frozenset({"user", "agent"})
"""Must be whoever asked; other sources speak for the operator, whose listener this is."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PERCENTILES = (50.0, 95.0)
MAX_LISTED = 1000
MAX_METADATA = 4096
"""Bytes of metadata, as JSON."""


class OutcomeRequest(Body):
    """What came of one answer."""

    replay_id: Annotated[str, Field(min_length=1, max_length=256)]
    """The request's id: the answer's `x-vsr-replay-id`, or its `x-request-id`."""
    source: Source = "user"
    """Who says so. `user` and `agent` must show the key or the user of the request."""
    target: Target = "model"
    """What it is about; only what is said of a `model` teaches anything."""
    target_ref: Text = ""
    """For a model, its name: another candidate of the same decision; empty, the one that
    answered."""
    verdict: Verdict
    """The model suited, was too weak, was more than was needed, or failed."""
    reason: Annotated[str, Field(max_length=2000)] = ""
    """For people."""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """How good the answer was, where that is known more finely than by the verdict."""
    compared_with: Text = ""
    """Another candidate, whose answer to the same was judged beside it; the score says how much
    the first was preferred."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Kept with the outcome, at most 4096 bytes of it."""


class OutcomeAnswer(TypedDict):
    success: bool
    recorded: bool
    updated: bool
    timestamp: str
    duplicate: NotRequired[bool]


class OutcomesApi:
    """Takes verdicts, and shows what they and the latest requests have taught."""

    def __init__(self, runtime: Runtime, experience: Experience) -> None:
        self._runtime, self._learned = runtime, experience.learned
        self._observed = experience.observed
        self._one_by_one = asyncio.Lock()
        """Two verdicts told at once must not both be the first."""

    def endpoints(self) -> list[Endpoint]:
        limit = (("limit", f"At most so many, {MAX_LISTED} at most; 100 unless told."),)
        example = {"replay_id": "req_0123456789ab000001", "verdict": "good_fit", "score": 0.9}
        path = "/v1/router/outcomes"
        return [
            Endpoint(
                "POST",
                path,
                self._post,
                "What came of an answer. Wants an Idempotency-Key.",
                body=OutcomeRequest,
                answer=OutcomeAnswer,
                role="operator",
                headers=(("Idempotency-Key", "New for every outcome; sent again with it."),),
                refusals=(
                    (403, "The request was another caller's."),
                    (404, "No such request, or too long ago."),
                    (409, "Nothing learns, or the key came with another outcome before."),
                    (503, "The store does not answer; nothing was recorded."),
                ),
                example=example,
            ),
            Endpoint(
                "GET",
                path,
                self._list,
                "The newest outcomes.",
                query=limit,
                refusals=((400, "limit is no such number."), (503, "The store does not answer.")),
            ),
            Endpoint(
                "GET",
                "/v1/router/ratings",
                self._ratings,
                "What outcomes have taught of each model, by domain.",
            ),
            Endpoint(
                "GET",
                "/v1/router/observed",
                self._observations,
                "How models have lately answered.",
            ),
        ]

    async def _post(self, http: HttpRequest) -> Response:
        key = http.headers.get("idempotency-key", "")
        if not _KEY.fullmatch(key):
            said = "send an Idempotency-Key of 1 to 255 characters, new for every outcome"
            raise ApiError(400, "MISSING_IDEMPOTENCY_KEY", said)
        try:
            body = await parsed(http, OutcomeRequest)
        except ApiError as error:
            code = "INVALID_OUTCOME" if error.code == "INVALID_INPUT" else error.code
            raise ApiError(error.status, code, str(error)) from None
        if len(msgspec.json.encode(body.metadata)) > MAX_METADATA:
            raise ApiError(400, "INVALID_OUTCOME", f"metadata: more than {MAX_METADATA} bytes")
        try:
            async with self._one_by_one:
                return JSONResponse(await self._take(http, key, body))
        except AskFailed as failed:
            raise ApiError(503, "STORE_UNAVAILABLE", f"not recorded: {failed}") from None

    async def _take(self, http: HttpRequest, key: str, body: OutcomeRequest) -> OutcomeAnswer:
        learned, run = self._learned, self._runtime.run
        if not learned.judged:
            said = (
                "no decision selects by outcomes; set learning.enabled to take them all the same"
            )
            raise ApiError(409, "LEARNING_DISABLED", said)
        request_id = body.replay_id.removeprefix("replay_")
        routing = await run(learned.routing(request_id))
        if routing is None:
            raise ApiError(404, "REPLAY_NOT_FOUND", "no such request, or too long ago")
        self._check_owner(http, routing, body.source)
        candidates = self._candidates(routing)
        outcome = _judged(body, request_id, routing, candidates)
        once, digest = _digest("key", routing.owner, key), _digest(outcome.told).encode()
        before = await run(learned.told(CLAIMS, once))
        if before is not None and before != digest:
            said = "the Idempotency-Key came with another outcome before; send a new one"
            raise ApiError(409, "IDEMPOTENCY_KEY_REUSED", said)
        about = _digest(
            "about", request_id, body.source, body.target, outcome.candidate, body.compared_with
        )
        if before is not None or await run(learned.told(OUTCOMES, about)) is not None:
            return _answer(recorded=False, updated=False, duplicate=True)  # each says it once
        teaches = body.target == "model"
        if teaches:
            await run(learned.learn(outcome, routing.category, candidates))
        await run(learned.keep(about, outcome))
        await run(learned.tell(CLAIMS, once, digest))
        return _answer(recorded=True, updated=teaches)

    def _check_owner(self, http: HttpRequest, routing: Routing, source: Source) -> None:
        if source not in _OF_THE_CALLER or not routing.owner:
            return
        recipe = self._runtime.policy.recipes.get(routing.recipe)
        headers = {name.lower(): value for name, value in http.headers.items()}
        who = Prompt(model="", headers=headers)
        if recipe is not None:
            who = recipe.identity.told(who, headers)
        if owner(who) != routing.owner:
            said = "the request was another caller's; show the key or the user it came with"
            raise ApiError(403, "OUTCOME_OWNERSHIP_MISMATCH", said)

    def _candidates(self, routing: Routing) -> tuple[str, ...]:
        """Those of the decision by now, and the one that answered."""
        recipe = self._runtime.policy.recipes.get(routing.recipe)
        names: list[str] = []
        for decision in recipe.decider.decisions if recipe else ():
            if decision.name == routing.decision:
                names = [c.name for c in decision.candidates]
        return tuple(dict.fromkeys([*names, routing.candidate]))

    # what was learnt

    async def _list(self, http: HttpRequest) -> Response:
        asked = http.query_params.get("limit", "100")
        if not asked.isdecimal() or not 1 <= int(asked[:9]) <= MAX_LISTED:
            raise ApiError(400, "INVALID_INPUT", f"limit: 1 to {MAX_LISTED}")
        try:
            found = await self._runtime.run(self._learned.outcomes(int(asked)))
        except AskFailed as failed:
            raise ApiError(503, "STORE_UNAVAILABLE", str(failed)) from None
        return JSONResponse({"outcomes": [msgspec.to_builtins(o) for o in found]})

    async def _ratings(self, _: HttpRequest) -> Response:
        found = {
            category: {name: _shown(s) for name, s in sorted(standings.items())}
            for category, standings in sorted(self._learned.ratings().items())
        }
        overall = found.pop("", {})
        settings = self._learned.settings
        return JSONResponse(
            {
                "enabled": self._learned.judged,
                "initial_rating": settings.initial_rating,
                "k_factor": settings.k_factor,
                "overall": overall,
                "categories": found,
            }
        )

    async def _observations(self, _: HttpRequest) -> Response:
        models = tuple(target.name for target in self._runtime.policy.targets)
        seen = self._observed.answer(Observe(models, _PERCENTILES))
        return JSONResponse(
            {"models": {name: _seen(s) for name, s in zip(models, seen, strict=True)}}
        )


def _judged(
    body: OutcomeRequest, request_id: str, routing: Routing, candidates: tuple[str, ...]
) -> Judged:
    """The outcome, if it is about candidates of the request's decision."""
    about = routing.candidate
    if body.target == "model" and body.target_ref:
        about = _candidate(body.target_ref, candidates, "target_ref")
    if body.compared_with:
        if body.target != "model":
            raise ApiError(400, "INVALID_OUTCOME", "compared_with: only models are compared")
        _candidate(body.compared_with, candidates, "compared_with")
        if body.compared_with == about:
            raise ApiError(400, "INVALID_OUTCOME", "compared_with: is the same model")
    return Judged(
        replay_id=request_id,
        source=body.source,
        target=body.target,
        candidate=about,
        verdict=body.verdict,
        at=round(time.time(), 3),
        score=body.score,
        compared_with=body.compared_with,
        reason=body.reason,
        metadata=body.metadata,
    )


def _candidate(name: str, candidates: tuple[str, ...], key: str) -> str:
    if name not in candidates:
        fix = suggest(name, candidates, "candidates")
        raise ApiError(400, "INVALID_OUTCOME", f"{key}: no candidate {name[:64]!r}; {fix}")
    return name


def _digest(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _answer(*, recorded: bool, updated: bool, duplicate: bool = False) -> OutcomeAnswer:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    answer: OutcomeAnswer = {
        "success": True,
        "recorded": recorded,
        "updated": updated,
        "timestamp": stamp,
    }
    if duplicate:
        answer["duplicate"] = True
    return answer


def _shown(standing: Standing) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(standing)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in told.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def _seen(seen: Seen) -> dict[str, Any]:
    at = [f"p{p:g}" for p in _PERCENTILES]
    return {
        "in_flight": seen.in_flight,
        "samples": seen.samples,
        "error_rate": round(seen.error_rate, 4),
        "ttft_ms": dict(zip(at, map(_ms, seen.ttft_s), strict=True)),
        "tpot_ms": dict(zip(at, map(_ms, seen.tpot_s), strict=True)),
        "whole_ms": dict(zip(at, map(_ms, seen.whole_s), strict=True)),
        "latency_ms": _ms(seen.latency_s),
        "cache_hit": None if seen.cache_hit is None else round(seen.cache_hit, 4),
    }
