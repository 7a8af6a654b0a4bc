"""Decisions whose algorithm asks models itself: checked, and put together with their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wayside.dialects import Edit
from wayside.flow import Option, Policy
from wayside.flow.compose import Composer
from wayside.flow.ledger import Limits, Style
from wayside.flow.reasoning import set_reasoning
from wayside.selection import Candidate
from wayside.settings import ModelSettings, RouterSettings
from wayside.settings.calls import CallLimits, MultiCallSettings
from wayside.settings.problems import suggest
from wayside.vocab.errors import Problem
from wayside.vocab.observed import ModelFacts


def asks_models(selector: Any) -> bool:
    """Whether an algorithm puts questions to models."""
    return hasattr(selector, "asks")


def composer_of(
    name: str,
    selector: Any,
    candidates: tuple[Candidate, ...],
    options: Mapping[Candidate, Option],
    facts: Mapping[str, ModelFacts],
    most: MultiCallSettings,
) -> Composer:
    """What the journey needs of the algorithm ``name`` of a decision."""
    return Composer(
        selector=selector if hasattr(selector, "compose") else None,
        limits=within(selector.limits, most),
        candidates=candidates,
        facts=facts,
        styles={c: style for c, option in options.items() if (style := _style(option))},
    )


def longest_s(policy: Policy) -> float:
    """The longest that any decision's own calls may take; 0 where none makes any."""
    composers = [c for recipe in policy.recipes.values() for c in recipe.composers.values()]
    return max([composer.limits.timeout_s for composer in composers], default=0.0)


def within(own: CallLimits, most: MultiCallSettings) -> Limits:
    """A decision's own limits, or the router's where those are tighter."""
    return Limits(
        max_calls=min(own.max_calls, most.max_calls),
        max_concurrent=min(own.max_concurrent, most.max_concurrent),
        timeout_s=min(own.timeout_s, most.timeout_s),
        max_total_tokens=_least(own.max_total_tokens, most.max_total_tokens),
        max_cost=_least(own.max_cost, most.max_cost),
    )


def _least(one: Any, other: Any) -> Any:
    return min([n for n in (one, other) if n is not None], default=None)


def problems(
    name: str,
    selector: Any,
    candidates: tuple[Candidate, ...],
    settings: RouterSettings,
    where: str,
) -> Iterator[Problem]:
    """What keeps the algorithm ``name`` of the decision at ``where`` from asking its models."""
    at = f"{where}.select.{name}"
    composes = hasattr(selector, "compose")
    if composes and not candidates:
        yield Problem(
            f"{name} asks the decision's models, and it has none",
            f"{where}.models",
            "list them, or set routing.default_model",
        )
    asked = {f"{at}.{path}": model for path, model in selector.asks.items()}
    for path, model in asked.items():
        if model not in settings.models:
            fix = suggest(model, settings.models, "models")
            yield Problem(f"no model {model!r}", path, fix)
    if composes:
        asked |= {f"{where}.models[{i}]": c.model for i, c in enumerate(candidates)}
    known = {path: settings.models[m] for path, m in asked.items() if m in settings.models}
    for path, found in known.items():
        if not found.endpoints:
            yield Problem(
                f"{name} asks {asked[path]!r} itself, which has no endpoints here",
                path,
                f"add models.{asked[path]}.endpoints, or choose with another algorithm",
            )
    limits = within(selector.limits, settings.multi_call)
    if composes and candidates:
        calls = selector.calls(len(candidates))
        if calls > limits.max_calls:
            own = selector.limits.max_calls <= settings.multi_call.max_calls
            yield Problem(
                f"{name} asks up to {calls} times, and {limits.max_calls} are allowed",
                f"{at}.max_calls" if own else "multi_call.max_calls",
                "allow more, or ask for less",
            )
    if limits.max_cost is not None:
        yield from _unpriced(name, asked, known, at)


def _unpriced(
    name: str, asked: Mapping[str, str], known: Mapping[str, ModelSettings], at: str
) -> Iterator[Problem]:
    """A limit of cost needs prices that can be added up."""
    free = sorted({asked[path] for path, model in known.items() if model.price is None})
    if free:
        yield Problem(
            f"a limit of cost says nothing of models without a price: {', '.join(free)}",
            f"{at}.max_cost",
            f"set models.{free[0]}.price",
        )
    money = sorted({model.price.currency for model in known.values() if model.price})
    if len(money) > 1:
        yield Problem(
            f"the models of {name} are priced in {' and '.join(money)}, which do not add up",
            f"{at}.max_cost",
            "give their prices in one currency, or limit max_total_tokens",
        )


def _style(option: Option) -> Style | None:
    on, family = option.candidate.reasoning, option.family
    if on is None or family is None:
        return None

    def write(edit: Edit) -> None:
        set_reasoning(
            edit,
            family,
            on=on,
            effort=option.effort,
            effort_at_top_level=option.effort_at_top_level,
        )

    return write
