"""Which decisions keep conversations on their model, go by outcomes, or must be watched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from wayside.flow import Recipe
from wayside.flow.sticky import Sticky
from wayside.selection import Selector
from wayside.settings import LearningSettings, RoutingSettings

Selectors = Mapping[str, tuple[str, Selector]]
"""By decision: the algorithm's name, and the algorithm."""


def sticky(recipe: str, routing: RoutingSettings, selectors: Selectors) -> dict[str, Sticky]:
    """How conversations stay, by decision, where there is more than one candidate and the
    algorithm may choose now this one, now that one."""
    found = {}
    for d in routing.decisions:
        _, selector = selectors[d.name]
        rule = d.sticky or routing.sticky
        chooses = not hasattr(selector, "compose")  # else it asks all of them
        differs = chooses and len(d.models) > 1 and not getattr(selector, "steady", False)
        if rule.enabled and differs:
            found[d.name] = Sticky((recipe, d.name), rule)
    return found


def learning(selectors: Selectors) -> frozenset[str]:
    """The decisions whose algorithm goes by outcomes."""
    return frozenset(
        [d for d, (_, selector) in selectors.items() if getattr(selector, "learns", False)]
    )


def with_owners(
    settings: LearningSettings, recipes: Mapping[str, Recipe]
) -> tuple[dict[str, Recipe], bool]:
    """The recipes, told whether outcomes of their requests may be told, and whether they may."""
    judged = settings.enabled
    if judged is None:
        judged = any([recipe.learning for recipe in recipes.values()])
    return {name: replace(recipe, judged=judged) for name, recipe in recipes.items()}, judged


def observes(recipes: Iterable[Recipe]) -> bool:
    """Whether anything asks how models are doing."""
    return any([recipe.sticky or any(_watchers(recipe)) for recipe in recipes])


def _watchers(recipe: Recipe) -> Iterator[bool]:
    for _, selector in recipe.selectors.values():
        yield getattr(selector, "observes", False)
