"""Settings into a :class:`~wayside.endpoints.Profile`: every kind looked up, checked and built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

import wayside.endpoints
from wayside.catalog import Family, Kind, catalog, discover
from wayside.endpoints import Profile
from wayside.fleet.kv_events import hearers, required
from wayside.settings.picking import PickingSettings, UseSettings
from wayside.settings.problems import problems_from, suggest
from wayside.vocab.errors import ConfigError, Problem

discover(wayside.endpoints)

_PLACES: Mapping[Family, str] = {"filter": "filters", "scorer": "scorers", "picker": "picker"}
PRESETS: Mapping[str, PickingSettings] = {
    "balanced": PickingSettings(
        filters=(UseSettings(name="bounded_load", settings={"factor": 1.1, "slack": 3}),),
        scorers=(
            UseSettings(name="prefix_cache", weight=0),
            UseSettings(name="least_work", settings={"request_tokens": 100}),
        ),
    ),
}
"""Strategies that are several kinds together. ``balanced`` is the composition that came first, or
within noise of it, in every scenario of ``bench/picking.py``."""


def profile(settings: PickingSettings, where: str = "picking") -> Profile:
    """Build it. Raises :class:`ConfigError`; ``where`` is the path that problems name."""
    problems: list[Problem] = []
    if settings.strategy is not None:
        settings = _expanded(settings.strategy, where, problems)
    filters = [
        _built("filter", use, f"{where}.filters[{i}]", problems)
        for i, use in enumerate(settings.filters)
    ]
    scorers = [
        (_built("scorer", use, f"{where}.scorers[{i}]", problems), use.weight)
        for i, use in enumerate(settings.scorers)
    ]
    given = settings.picker
    ((name, rule),) = given.items() if isinstance(given, dict) else ((given, {}),)
    use = UseSettings(name=name, settings=rule)
    picker = _built("picker", use, f"{where}.picker", problems)
    if problems:
        raise ConfigError(problems)
    found = Profile(filters, scorers, picker)
    if hearers(found.parts):
        required(where)
    return found


def _expanded(strategy: str, where: str, problems: list[Problem]) -> PickingSettings:
    if strategy in PRESETS:
        return PRESETS[strategy]
    if catalog.get("picker", strategy):
        return PickingSettings(picker=strategy)
    if catalog.get("scorer", strategy):
        return PickingSettings(scorers=(UseSettings(name=strategy),))
    known = [*PRESETS, *catalog.names("picker"), *catalog.names("scorer")]
    fix = suggest(strategy, known, "strategies")
    if catalog.get("filter", strategy):
        fix = f"{strategy} is a filter: filters: [{strategy}]"
    problems.append(Problem(f"no strategy {strategy!r}", where, fix))
    return PickingSettings()


def _built(family: Family, use: UseSettings, where: str, problems: list[Problem]) -> Any:
    kind: Kind | None = catalog.get(family, use.name)
    if kind is None:
        fix = suggest(use.name, catalog.names(family), f"{family}s")
        other = next((o for o in _PLACES if catalog.get(o, use.name)), None)
        if other is not None:
            fix = f"{use.name} is a {other}: write it under {_PLACES[other]}"
        elif use.name in PRESETS:
            fix = f"{use.name} is all of it together: picking: {use.name}"
        problems.append(Problem(f"no {family} {use.name!r}", where, fix))
        return None
    at = f"{where}.{use.name}"
    try:
        return kind.build(kind.settings.model_validate(use.settings))
    except ValidationError as error:
        problems += problems_from(error, kind.settings, at)
    except ConfigError as error:
        problems += [Problem(p.what, f"{at}.{p.where}".rstrip("."), p.fix) for p in error.problems]
    return None
