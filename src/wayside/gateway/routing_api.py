"""Where a prompt would go: ``classify/intent``, ``eval``, ``routing/preview`` (spec: vSR 7.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NotRequired

from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.dialects import encode, openai_chat
from wayside.flow import Choice
from wayside.flow.report import PLURAL
from wayside.gateway.api import (
    ApiError,
    Body,
    Endpoint,
    caller_of,
    needs_text,
    parsed,
    since,
)
from wayside.gateway.heads import Heads
from wayside.runtime import Runtime
from wayside.runtime.costs import Costs
from wayside.runtime.explain import explanation
from wayside.settings.problems import suggest
from wayside.vocab.access import Caller
from wayside.vocab.ask import Labels
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Request
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import SignalRef

DOMAIN = "domain"


class Options(Body):
    """How much of an answer is wanted."""

    return_probabilities: bool = False
    """The probability of every label, not of the winner alone."""
    confidence_threshold: float = Field(0.7, ge=0, le=1)
    """Below it a result counts as low confidence; without decisions it names the routing."""
    include_explanation: bool = False
    """One sentence: why this model."""
    evaluate_all_signals: bool = False
    """Also rules that no decision refers to."""
    trace: bool = False
    """Every signal and every rule, with what each was worth and cost."""


class IntentRequest(Body):
    """A text, or the messages of a conversation."""

    text: str = ""
    """What the user says."""
    messages: list[dict[str, Any]] | None = None
    """As in a chat completion; takes the place of ``text``."""
    tools: list[dict[str, Any]] | None = None
    """As in a chat completion."""
    model: str = ""
    """A name that routes; the first automatic one when empty."""
    metadata: dict[str, str] | None = None
    """As in a chat completion."""
    options: Options = Options()


class Classification(TypedDict):
    category: str
    confidence: float
    processing_time_ms: float


class Decided(TypedDict):
    decision_name: str
    confidence: float | None
    matched_rules: list[str]


class IntentAnswer(TypedDict):
    classification: Classification
    recommended_model: str
    routing_decision: str
    matched_signals: dict[str, list[str]]
    decision_result: Decided
    signal_errors: dict[str, str]
    probabilities: NotRequired[dict[str, float]]
    explanation: NotRequired[str]
    trace: NotRequired[dict[str, Any]]


class Evaluated(TypedDict):
    decision_name: str
    confidence: float | None
    algorithm: str
    plugins: list[str]
    used_signals: list[str]
    matched_signals: dict[str, list[str]]
    unmatched_signals: list[str]


class EvalAnswer(TypedDict):
    original_text: str
    requested_model: str
    recipe: str
    decision_result: Evaluated
    recommended_models: list[str]
    selected_model: str
    selection_status: str
    selection_method: str
    selection_reason: str
    routing_decision: str
    signal_confidences: dict[str, float]
    signal_values: dict[str, float]
    signal_errors: dict[str, str]
    metrics: dict[str, float]
    probabilities: NotRequired[dict[str, float]]
    explanation: NotRequired[str]
    eval_trace: NotRequired[dict[str, Any]]


class RoutingApi:
    """Decides about a prompt as the data plane would, and sends nothing."""

    def __init__(self, runtime: Runtime, heads: Heads) -> None:
        self._runtime, self._heads = runtime, heads

    def endpoints(self) -> list[Endpoint]:
        trace = (("trace", "`true`: also `eval_trace`, as `options.trace`."),)
        text = {"text": "What is the integral of x squared?"}
        return [
            Endpoint(
                "POST",
                "/api/v1/classify/intent",
                self._post_intent,
                "Domain, and where it would go.",
                also="/api/v1/diagnostics/classify/intent",
                body=IntentRequest,
                answer=IntentAnswer,
                example={**text, "options": {"return_probabilities": True}},
            ),
            Endpoint(
                "POST",
                "/api/v1/eval",
                self._post_eval,
                "The whole decision; ?trace=true explains.",
                also="/api/v1/routing/preview",
                body=IntentRequest,
                answer=EvalAnswer,
                query=trace,
                example=text,
            ),
        ]

    async def _post_intent(self, http: HttpRequest) -> Response:
        body = await parsed(http, IntentRequest)
        return JSONResponse(await self.intent(body, caller_of(http)))

    async def _post_eval(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await parsed(http, IntentRequest)
        wants_trace = body.options.trace or http.query_params.get("trace") == "true"
        return JSONResponse(await self.evaluate(body, began, wants_trace, caller_of(http)))

    async def intent(self, body: IntentRequest, caller: Caller | None = None) -> IntentAnswer:
        """The domain of a prompt, and the model it would get."""
        began = time.perf_counter()
        prompt, choice, costs = await self.choose(body, caller)
        labels = await self._heads.labels(DOMAIN, prompt.question)
        best, confidence = labels[0]
        told = await _explained(prompt, choice, costs, caller, changes=body.options.trace)
        routing = _routing(choice, confidence, body.options)
        answer: IntentAnswer = {
            "classification": {
                "category": best,
                "confidence": round(confidence, 4),
                "processing_time_ms": since(began),
            },
            "recommended_model": told["lora"] or told["model"] or "",
            "routing_decision": routing,
            "matched_signals": _matched(choice),
            "decision_result": {
                "decision_name": told["decision"] or "",
                "confidence": told["confidence"],
                "matched_rules": sorted(str(ref) for ref in _refs(choice) if _held(choice, ref)),
            },
            "signal_errors": _errors(choice),
        }
        if body.options.return_probabilities:
            answer["probabilities"] = {k: round(v, 6) for k, v in labels}
        if body.options.include_explanation:
            answer["explanation"] = told["why"]
        if body.options.trace:
            answer["trace"] = _trace(told)
        return answer

    async def evaluate(
        self, body: IntentRequest, began: float, trace: bool, caller: Caller | None = None
    ) -> EvalAnswer:
        """The whole decision."""
        prompt, choice, costs = await self.choose(body, caller)
        told = await _explained(prompt, choice, costs, caller, changes=trace)
        return await self.told(prompt, choice, told, began, body.options, trace=trace)

    async def told(
        self,
        prompt: Prompt,
        choice: Choice,
        told: Mapping[str, Any],
        began: float,
        options: Options,
        *,
        trace: bool,
    ) -> EvalAnswer:
        """The answer of ``eval``, of a decision whose :func:`explanation` is ``told``."""
        refs = _refs(choice)
        labels: Labels = ()
        if options.return_probabilities or not choice.recipe.decider.decisions:
            labels = await self._heads.labels(DOMAIN, prompt.question)
        answer: EvalAnswer = {
            "original_text": prompt.question,
            "requested_model": prompt.model,
            "recipe": choice.recipe.name,
            "decision_result": {
                "decision_name": told["decision"] or "",
                "confidence": told["confidence"],
                "algorithm": choice.algorithm,
                "plugins": told["plugins"],
                "used_signals": sorted(str(ref) for ref in refs),
                "matched_signals": _matched(choice),
                "unmatched_signals": sorted(str(ref) for ref in refs if not _held(choice, ref)),
            },
            "recommended_models": told["candidates"] or list(filter(None, [told["model"]])),
            "selected_model": told["model"] or "",
            "selection_status": _status(choice),
            "selection_method": choice.algorithm,
            "selection_reason": told["why"],
            "routing_decision": _routing(choice, labels[0][1] if labels else 0.0, options),
            "signal_confidences": {
                s["signal"]: s["confidence"] for s in told["signals"] if s["matched"]
            },
            "signal_values": {
                s["signal"]: s["value"] for s in told["signals"] if s["value"] is not None
            },
            "signal_errors": _errors(choice),
            "metrics": {
                **{f"{c['kind']}_ms": round(c["total_us"] / 1000, 4) for c in told["costs"]},
                "total_ms": since(began),
            },
        }
        if options.return_probabilities:
            answer["probabilities"] = {k: round(v, 6) for k, v in labels}
        if options.include_explanation:
            answer["explanation"] = told["why"]
        if trace:
            answer["eval_trace"] = _trace(told)
        return answer

    async def choose(
        self, body: IntentRequest, caller: Caller | None
    ) -> tuple[Prompt, Choice, Costs]:
        """Decide about a prompt. Raises :class:`ApiError`."""
        if body.messages is None:
            needs_text(body.text)
            messages: list[dict[str, Any]] = [{"role": "user", "content": body.text}]
        elif body.messages:
            messages = body.messages
        else:
            raise ApiError(400, "INVALID_INPUT", "messages: is empty; give one, or a text")
        chat: dict[str, Any] = {"model": body.model or self._auto(), "messages": messages}
        if body.tools is not None:
            chat["tools"] = body.tools
        if body.metadata is not None:
            chat["metadata"] = body.metadata
        self._refuse_concrete(chat["model"])
        request = Request("POST", openai_chat.PATH, {}, encode(chat), caller=caller)
        try:
            return await self._runtime.examine(
                request, every_signal=body.options.evaluate_all_signals
            )
        except RequestError as error:
            code = "CLASSIFICATION_ERROR" if error.status >= 500 else "INVALID_INPUT"
            raise ApiError(error.status, code, str(error)) from None

    def _refuse_concrete(self, model: str) -> None:
        policy = self._runtime.policy
        if model in policy.virtual:
            return
        names = ", ".join(policy.virtual)
        if model in policy.concrete:
            said = f"{model!r} goes straight through, nothing is decided; ask for one of: {names}"
        else:
            said = f"no model {model[:64]!r}; {suggest(model, policy.virtual, 'names that route')}"
        raise ApiError(400, "INVALID_ROUTING_MODEL", f"model: {said}")

    def _auto(self) -> str:
        return next(iter(self._runtime.policy.virtual), "auto")


async def _explained(
    prompt: Prompt, choice: Choice, costs: Costs, caller: Caller | None, *, changes: bool
) -> dict[str, Any]:
    """Looking for what would have changed the choice may take long: on another thread then."""
    explain = partial(explanation, prompt, choice, costs, caller=caller)
    if not changes:
        return explain(changes=False)
    return await asyncio.to_thread(explain)


def _routing(choice: Choice, confidence: float, options: Options) -> str:
    """The decision's name or, where none is configured, how sure the domain is (spec 7.1)."""
    if choice.recipe.decider.decisions:
        return choice.match.decision.name if choice.match else "default"
    if confidence >= options.confidence_threshold:
        return "high_confidence_specialized"
    return "low_confidence_general"


def _status(choice: Choice) -> str:
    """vSR's word; ``planned_final`` where the decision answers by itself, without a model."""
    if choice.match is None:
        return "fallback"
    return "selected" if choice.option.served.target.name else "planned_final"


_TRACED = ("why", "signals", "costs", "decisions", "would_change")


def _trace(told: Mapping[str, Any]) -> dict[str, Any]:
    return {part: told[part] for part in _TRACED} | {
        part: value for part, value in told.items() if part == "projections"
    }


def _matched(choice: Choice) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ref, verdict in choice.verdicts.items():
        if verdict.matched:
            found.setdefault(PLURAL.get(ref.kind, ref.kind), []).append(ref.name)
    return {kind: sorted(names) for kind, names in found.items()}


def _refs(choice: Choice) -> set[SignalRef]:
    return {ref for d in choice.recipe.decider.decisions for ref in d.refs}


def _held(choice: Choice, ref: SignalRef) -> bool:
    verdict = choice.verdicts.get(ref)
    return verdict is not None and verdict.matched


def _errors(choice: Choice) -> dict[str, str]:
    return {str(ref): v.because for ref, v in choice.verdicts.items() if v.unknown}
