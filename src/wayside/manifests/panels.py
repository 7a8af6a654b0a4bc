"""What a panel of a dashboard is, before it has a place, and the queries that many have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

MINE: Final = 'namespace=~"$namespace"'
"""Matches the routers that a viewer has chosen."""
ONE: Final = f'{MINE}, model=~"$model"'
"""The same, of the chosen models."""
OVER: Final = "[$__rate_interval]"

SECONDS, PERCENT, NUMBER = "s", "percentunit", "short"
PER_SECOND, BYTES, BOOLEAN = "reqps", "bytes", "bool_yes_no"


class Query(NamedTuple):
    """PromQL, and what its lines are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """``unit`` is one of Grafana's; above ``thresholds`` it is orange, then red (below them, where
    ``low_is_bad``). ``names`` are shown in the place of values."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    width: int = 12
    height: int = 8
    thresholds: tuple[float, ...] = ()
    low_is_bad: bool = False
    most: float | None = None
    stacked: bool = False
    names: tuple[tuple[int, str], ...] = ()


class Row(NamedTuple):
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


def figure(title: str, description: str, unit: str, expression: str, **more: object) -> Panel:
    """One number, large."""
    given: dict[str, object] = {"kind": "stat", "width": 4, "height": 4, **more}
    return Panel(title, description, unit, (Query(expression),), **given)  # type: ignore[arg-type]


def rate(metric: str, *by: str, where: str = ONE) -> str:
    """How often per second, by those labels."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} (rate({metric}{{{where}}}{OVER}))"


def quantile(share: float, metric: str, *by: str, where: str = ONE) -> str:
    """The value that ``share`` of what a histogram counted stays below."""
    labels = ", ".join(("le", *by))
    return (
        f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{OVER})))"
    )


def spread(metric: str, where: str = ONE) -> tuple[Query, ...]:
    """Half, most and nearly all."""
    return tuple(
        [Query(quantile(q, metric, where=where), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)]
    )


def ratio(part: str, whole: str) -> str:
    """A share, and 0 where there is nothing to have a share of."""
    return f"({part}) / (({whole}) > 0) or vector(0)"
