"""What answers cost since the start, and what the dearest model would have cost for the same."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside
from wayside.console.passed import Passing
from wayside.console.shapes import CostOfDecision, CostOfModel, Costs
from wayside.console.sums import Sums, currency_of, dearest
from wayside.console.told import told
from wayside.gateway.api import Endpoint
from wayside.telemetry import Price

Row = TypeVar("Row", CostOfModel, CostOfDecision)


class CostsData:
    """From :class:`~wayside.console.passed.Passing`."""

    def __init__(self, inside: Inside, passing: Passing) -> None:
        self._inside, self._passing = inside, passing

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/costs",
                self._get,
                "Spent since the start, and saved against the dearest model.",
                answer=Costs,
            )
        ]

    async def _get(self, _: HttpRequest) -> Response:
        return told(self.now())

    def now(self) -> Costs:
        """``saved`` is against the dearest model, for the tokens of answers that models gave;
        ``saved_by_cache`` comes on top of it: what answers from the cache would have cost by the
        model that was spared."""
        passing = self._passing
        passing.fold()
        prices = self._inside.telemetry.prices
        total = passing.total()
        name, price = dearest(prices, total)
        would = total.at(price)
        return {
            "currency": currency_of(prices),
            "since": round(passing.since, 3),
            "spent": _money(total.cost),
            "biggest": {"model": name, "would_cost": _money(would)},
            "saved": _money(would - total.cost),
            "saved_by_cache": _money(total.spared),
            "by_model": _ranked(
                [_model(name, sums, price) for name, sums in passing.by_model.found.items()]
            ),
            "by_decision": _ranked(
                [_decision(name, sums, price) for name, sums in passing.by_decision.found.items()]
            ),
            "series": [
                {"at": at, "spent": _money(sums.cost), "would_cost": _money(sums.at(price))}
                for at, sums in passing.over_time()
            ],
            "elsewhere": [
                {"currency": currency, "spent": _money(spent)}
                for currency, spent in sorted(passing.elsewhere.items())
            ],
        }


def _model(name: str, sums: Sums, price: Price | None) -> CostOfModel:
    return {
        "model": name,
        "requests": sums.requests,
        "prompt_tokens": sums.prompt,
        "completion_tokens": sums.completion,
        "cost": _money(sums.cost),
        "would_cost": _money(sums.at(price)),
    }


def _decision(name: str, sums: Sums, price: Price | None) -> CostOfDecision:
    return {
        "decision": name,
        "requests": sums.requests,
        "cost": _money(sums.cost),
        "would_cost": _money(sums.at(price)),
    }


def _ranked(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row["cost"], -row["requests"]))


def _money(amount: float) -> float:
    return round(amount, 9)
