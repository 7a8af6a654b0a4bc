"""What the picture of the line is drawn from: signals, decisions, models, servers."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside
from wayside.console.shapes import LineMap, MapDecision, MapModel, MapRecipe, MapSignal
from wayside.console.told import told
from wayside.decisions import Decision
from wayside.flow import Recipe
from wayside.gateway.api import Endpoint
from wayside.net.turns import Turns
from wayside.vocab.verdict import SignalRef


class Line:
    """From the policy in force, and the fleet."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("GET", "/map", self._get, "The line, for its picture.", answer=LineMap)]

    async def _get(self, _: HttpRequest) -> Response:
        return told(await self.now())

    async def now(self) -> LineMap:
        turns = Turns()
        recipes: list[MapRecipe] = []
        for name, recipe in self._inside.runtime.policy.recipes.items():
            decisions = []
            for decision in recipe.decider.decisions:
                decisions.append(_decision(recipe, decision))
                await turns.rest()
            there = {ref for d in recipe.decider.decisions for ref in d.refs}
            for kind, (_, names) in recipe.every_signal.items():
                there.update(SignalRef(kind, name) for name in names)
            signals: list[MapSignal] = [{"kind": r.kind, "name": r.name} for r in sorted(there)]
            recipes.append({"name": name, "signals": signals, "decisions": decisions})
        return {"recipes": recipes, "models": self._models()}

    def _models(self) -> list[MapModel]:
        pools = self._inside.fleet.pools
        return [
            {
                "name": name,
                "endpoints": list(dict.fromkeys(r.name for r in pools[name].everybody))
                if name in pools
                else [],
                "local": model.provider is None,
            }
            for name, model in self._inside.settings().models.items()
        ]


def _decision(recipe: Recipe, decision: Decision) -> MapDecision:
    models = [candidate.model for candidate in decision.candidates]
    default = recipe.default
    if not models and default is not None and decision.name not in recipe.composers:
        option = recipe.options.get((decision.name, default.candidate))
        models = [default.candidate.model] if option is not None else []
    return {
        "name": decision.name,
        "priority": decision.priority,
        "signals": [str(ref) for ref in decision.refs],
        "models": list(dict.fromkeys(models)),
        "algorithm": recipe.selectors[decision.name][0]
        if decision.name in recipe.selectors
        else "",
        "plugins": list(decision.settings.plugins),
    }
