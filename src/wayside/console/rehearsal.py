"""What recorded requests would have become by another configuration. No model is asked for an
answer; whoever is served meanwhile goes first."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from wayside.console.inside import Inside, Trial
from wayside.dialects import openai_chat
from wayside.plugins.router_replay import SPACE, RouterReplayPlugin
from wayside.runtime import Answerer, Runtime
from wayside.settings import RouterSettings
from wayside.vocab.ask import Failure, ask
from wayside.vocab.calls import Complete
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.outcome import Request
from wayside.vocab.stores import Listing

MOST: Final = 2000
"""Records that one rehearsal looks at."""
DEADLINE_S: Final = 20.0
SHOWN: Final = 200
"""Of the moved ones."""
_PAGE: Final = 200
_LONGEST: Final = 200
_NOT_ASKED: Final = Failure("no model is asked in a rehearsal")
_REST_S: Final = 0.05
Went = tuple[str, str]


class Rehearsal:
    """One rehearsal of ``trial``."""

    def __init__(
        self,
        inside: Inside,
        trial: Trial,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inside, self._trial, self._clock = inside, trial, clock
        answerers: dict[type[Any], Answerer] = {
            **trial.answerers,
            Complete: lambda question: _NOT_ASKED,
        }
        self._runtime = Runtime(trial.policy, answerers)

    async def run(self, limit: int) -> dict[str, Any]:
        """The shape ``Rehearsed``, of at most ``limit`` records, the newest first."""
        began = self._clock()
        moved: list[dict[str, Any]] = []
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        costs = {"before": 0.0, "after": 0.0}
        looked_at = without = same = 0
        for record in await self._records(limit):
            if self._clock() - began > DEADLINE_S:
                break
            looked_at += 1
            turn = self._clock()
            went = await self._decided(record)
            # As long as it took, so that at least half of the time is everybody else's.
            await asyncio.sleep(min(self._clock() - turn, _REST_S))
            if went is None:
                without += 1
                continue
            was: Went = (str(record.get("decision", "")), str(record.get("selected_model", "")))
            now = (went[0], went[1] if was[1] else "")
            before[was[1]] += 1
            after[now[1]] += 1
            costs["before"] += _cost(record, self._inside.settings(), was[1])
            costs["after"] += _cost(record, self._trial.settings, now[1])
            if was == now:
                same += 1
            elif len(moved) < SHOWN:
                moved.append(
                    {
                        "id": str(record.get("id", "")),
                        "text": _question(record),
                        "before": {"decision": was[0], "model": was[1]},
                        "after": {"decision": now[0], "model": now[1]},
                    }
                )
        models = [m for m, _ in (before + after).most_common() if m]
        return {
            "looked_at": looked_at,
            "without_text": without,
            "same": same,
            "moved": moved,
            "by_model": [{"model": m, "before": before[m], "after": after[m]} for m in models],
            "cost_before": round(costs["before"], 9),
            "cost_after": round(costs["after"], 9),
            "currency": _currency(self._trial.settings),
        }

    async def _decided(self, record: Mapping[str, Any]) -> Went | None:
        """Where it would go; ``None`` for one whose text was not kept, or not all of it."""
        body = str(record.get("request_body", ""))
        if not body or record.get("request_truncated"):
            return None
        request = Request("POST", openai_chat.PATH, {}, body.encode("utf-8", "replace"))
        try:
            _, choice, _ = await self._runtime.examine(request)
        except RequestError:
            name = str(record.get("requested_model", ""))
            if name in self._trial.policy.concrete:
                return "", name  # it goes straight through
            if name and name not in self._trial.policy.virtual:
                return "", "refused"  # nobody is called so any more
            return None
        decision = choice.match.decision.name if choice.match else ""
        return decision, choice.option.served.target.name

    async def _records(self, limit: int) -> list[dict[str, Any]]:
        """The newest records of all stores that the policy in force keeps them in."""
        runtime = self._inside.runtime
        stores = {
            plugin.rule.store: None
            for recipe in runtime.policy.recipes.values()
            for plugins in recipe.plugins.values()
            for plugin in plugins
            if isinstance(plugin, RouterReplayPlugin)
        }
        found: list[dict[str, Any]] = []
        for store in stores:
            for offset in range(0, limit, _PAGE):
                size = min(_PAGE, limit - offset)
                try:
                    page = await runtime.run(ask(Listing(store, SPACE, size, offset)))
                except AskFailed:
                    break
                found += [msgspec.json.decode(raw) for _, raw in page]
                if len(page) < size:
                    break
        found.sort(key=lambda record: -float(record.get("timestamp", 0.0)))
        return found[:limit]


def _question(record: Mapping[str, Any]) -> str:
    """The last that the user said, cut."""
    try:
        turns = json.loads(str(record.get("request_body", "")))["messages"]
        said = next(t["content"] for t in reversed(turns) if t.get("role") == "user")
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return ""
    if isinstance(said, list):
        said = " ".join(str(p.get("text", "")) for p in said if isinstance(p, dict))
    return " ".join(str(said).split())[:_LONGEST]


def _cost(record: Mapping[str, Any], settings: RouterSettings, model: str) -> float:
    """What its tokens cost at ``model``; 0 where nothing is known of either."""
    known, usage = settings.models.get(model), record.get("usage")
    if known is None or known.price is None or not isinstance(usage, dict):
        return 0.0
    prompt, completion = (_tokens(usage, k) for k in ("prompt_tokens", "completion_tokens"))
    price = known.price
    return (prompt * price.prompt_per_1m + completion * price.completion_per_1m) / 1e6


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _currency(settings: RouterSettings) -> str:
    return next((m.price.currency for m in settings.models.values() if m.price), "USD")
