"""What is decided about a prompt, with all that led to it; no model is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from wayside.console.inside import Inside
from wayside.console.otherwise import Other, otherwise
from wayside.console.ready import Ready
from wayside.console.shapes import Played, PlayedDecision, PlayedModel, PlayedSignal
from wayside.flow import Choice
from wayside.gateway.api import ApiError, since
from wayside.gateway.routing_api import IntentRequest, RoutingApi
from wayside.net.turns import Turns
from wayside.runtime.changes import Alternative, searching
from wayside.runtime.explain import explanation, why
from wayside.runtime.limits import limits
from wayside.settings.problems import suggest
from wayside.vocab.access import Caller
from wayside.vocab.errors import AskFailed

ANYBODY: Final = Caller(user="")
"""Every model may answer them, and none is asked in order to choose."""
SOURCE: Final = "console"
FEW: Final = 30
"""Decisions that are explained within two milliseconds."""
TOLD: Final = 4
"""Conditions of a rule that a sentence names."""


class Playing:
    """Decides as the data plane would."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._routing = RoutingApi(inside.runtime, inside.heads)
        self._one = asyncio.Lock()
        self.ready = Ready(inside)

    async def played(self, body: IntentRequest, tier: str = "") -> Played:
        """Raises :class:`ApiError`. ``tier``: whose rights count; anybody's when empty. One after
        another, with rests in between, so that requests come first."""
        async with self._one:
            return await self._played(body, tier)

    async def _played(self, body: IntentRequest, tier: str) -> Played:
        virtual = self._inside.runtime.policy.virtual
        recipe = virtual.get(body.model or next(iter(virtual), ""))
        if recipe is not None:
            await self.ready.all_of(recipe)
        turns, began = Turns(), time.perf_counter()
        caller = await self._member(tier) if tier else ANYBODY
        options = body.options.model_copy(update={"evaluate_all_signals": True, "trace": True})
        body = body.model_copy(update={"options": options})
        prompt, choice, costs = await self._routing.choose(body, caller)
        took = since(began)
        await turns.rest()
        found = await _found(choice)
        explain = partial(explanation, prompt, choice, costs, changes=False, caller=caller)
        explain = partial(explain, found=found)
        # Another thread would hold up the loop for longer than a short explanation takes.
        short = len(choice.recipe.decider.decisions) <= FEW
        told = explain() if short else await asyncio.to_thread(explain)
        await turns.rest()
        others = await self._others(tier)
        elsewhere = await otherwise(self._inside.runtime, prompt, choice, found, caller, others)
        answer = await self._routing.told(prompt, choice, told, began, options, trace=True)
        await turns.rest()
        return {
            "decision": {**answer},
            "model": told["model"] or "",
            "decided": told["decision"] or "",
            "why": why(choice),
            "took_ms": took,
            "signals": [_signal(row) for row in told["signals"]],
            "decisions": [_decision(row, told["decision"]) for row in told["decisions"]],
            "models": _models(choice, caller, tier),
            "otherwise": elsewhere,
        }

    async def _member(self, tier: str) -> Caller:
        """Somebody of ``tier``."""
        maas = self._inside.maas
        tiers = [] if maas is None else [one.name for one in maas.tiers.all]
        if maas is None or tier not in tiers:
            there = suggest(tier[:64], tiers) if tiers else "this router has none (maas)"
            raise ApiError(400, "INVALID_INPUT", f"tier: no {tier[:64]!r}; {there}")
        from wayside.maas import names
        from wayside.maas.keys import Person

        space = names.namespace(maas.instance, tier)
        try:
            return await maas.caller(Person("", names.groups(space)[1:2], SOURCE))
        except (AskFailed, OSError, TimeoutError) as error:
            raise ApiError(503, "ACCESS_UNKNOWN", f"the tier's rights: {error}") from None

    async def _others(self, tier: str) -> list[Other]:
        """Every other tier, where there are any."""
        maas = self._inside.maas
        found = []
        for one in [] if maas is None else maas.tiers.all:
            if one.name != tier:
                try:
                    found.append(Other(f"as tier {one.name}", await self._member(one.name)))
                except ApiError:
                    continue  # nobody can say what it may just now
        return found


async def _found(choice: Choice) -> list[Alternative]:
    """What leads to the other decisions, looked for in slices."""
    turns = Turns()
    bounds = {ref: limits(rule) for ref, rule in choice.recipe.rules.items()}
    search = searching(choice.recipe.decider, choice.verdicts, bounds)
    while True:
        try:
            next(search)
        except StopIteration as stop:
            found: list[Alternative] = stop.value
            return found
        await turns.rest()


def _signal(row: Mapping[str, Any]) -> PlayedSignal:
    kind, _, name = row["signal"].partition(":")
    score = row["value"] if row["value"] is not None else row["confidence"]
    return {
        "kind": kind,
        "name": name,
        "matched": row["matched"],
        "unknown": row["unknown"],
        "score": None if row["unknown"] else score,
        "threshold": row["threshold"],
        "because": row["because"],
        "ms": round((row["cost_us"] or 0.0) / 1e3, 4),
    }


def _decision(row: Mapping[str, Any], winner: str | None) -> PlayedDecision:
    rule = row["rule"]
    reason = rule["because"]
    if rule["rule"] not in ("all", "any", "not", "always"):
        reason = _leaf(rule)
    elif leaves := [one for one in _leaves(rule) if one["holds"] is not True or rule["holds"]]:
        more = f" and {len(leaves) - TOLD} more" if len(leaves) > TOLD else ""
        reason += f" ({', '.join(map(_leaf, leaves[:TOLD]))}{more})"
    if row["chosen"]:
        reason = f"it holds, and comes first: {reason}"
    elif row["holds"]:
        reason = f"it holds, but {winner} comes before it: {reason}"
    elif rule["holds"] is None:
        reason = f"nobody can tell: {reason}"
    return {
        "name": row["decision"],
        "matched": row["holds"],
        "confidence": row["confidence"] or 0.0,
        "priority": row["priority"],
        "chosen": row["chosen"],
        "why": reason,
    }


def _leaves(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The conditions of a rule, each with whether it holds."""
    for child in rule.get("of", ()):
        if "of" in child:
            yield from _leaves(child)
        else:
            yield child


def _leaf(rule: Mapping[str, Any]) -> str:
    return f"{rule['rule']}: {rule['because']}"


def _models(choice: Choice, caller: Caller, tier: str) -> list[PlayedModel]:
    """Every candidate of the decision, and the model that answers where that is none of them."""
    candidates = choice.match.decision.candidates if choice.match else ()
    may = [c for c in candidates if caller.may(c.model)]
    scores: dict[Any, float | None] = {}
    if len(choice.scores) == len(may):
        scores = dict(zip(may, choice.scores, strict=True))
    chosen = choice.option.candidate
    rows: list[PlayedModel] = []
    for one in candidates:
        allowed, is_chosen = one in may, one == chosen and choice.denied is None
        reason = choice.why if is_chosen else "" if allowed else f"not for tier {tier}"
        score = scores.get(one)
        rows.append(
            {
                "name": one.name,
                "chosen": is_chosen,
                "score": None if score is None else round(score, 4),
                "allowed": allowed,
                "why": reason,
            }
        )
    name = choice.option.served.target.name
    if name and not any(row["chosen"] for row in rows):
        reason = choice.why or "the default model"
        rows.append({"name": name, "chosen": True, "score": None, "allowed": True, "why": reason})
    return rows
