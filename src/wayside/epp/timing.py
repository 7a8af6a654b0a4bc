"""How long each part of a profile takes: one choice in some is made by a profile that looks.

Its twin has the same parts, so that whatever they remember is one; only that their calls are
timed. All other choices cost nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wayside.endpoints import Profile
from wayside.translate.picker_config import Called

EVERY: Final = 16
"""One choice in so many is timed."""

Told = Callable[[str, str, str, float], None]
"""Extension point, the plugin's type and name, seconds."""


def names(profile: Profile, called: Sequence[Called]) -> Sequence[Called]:
    """The types and names of its parts, in their order."""
    if len(called) == len(profile.parts):
        return called
    return [(type(part).__name__,) * 2 for part in profile.parts]  # told in our own words


def timed(
    profile: Profile,
    called: Sequence[Called],
    clock: Callable[[], float],
    told: Told,
) -> Profile:
    """The profile's twin. ``called`` are its parts' types and names, in their order."""
    return profile.twin(
        [
            _Timed(part, name, clock, told)
            for part, name in zip(profile.parts, names(profile, called), strict=True)
        ]
    )


_POINTS: Final = {"keep": "Filter", "score": "Scorer", "pick": "Picker", "chosen": "PreRequest"}


class _Timed:
    """One part; everything but the calls that are timed is its own."""

    def __init__(self, part: Any, called: Called, clock: Callable[[], float], told: Told) -> None:
        self._part = part
        for verb, point in _POINTS.items():
            inner = getattr(part, verb, None)
            if inner is not None:
                setattr(self, verb, _watched(inner, point, called, clock, told))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def _watched(
    inner: Callable[..., Any],
    point: str,
    called: Called,
    clock: Callable[[], float],
    told: Told,
) -> Callable[..., Any]:
    type_, name = called

    def call(*given: Any) -> Any:
        began = clock()
        found = inner(*given)
        told(point, type_, name, clock() - began)
        return found

    return call
