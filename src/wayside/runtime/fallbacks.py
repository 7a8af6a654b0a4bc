"""Which models answer in another's place: looked up in the settings, before any request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from wayside.flow import Option
from wayside.flow.fallback import Fallbacks
from wayside.plugins import Plugin
from wayside.selection import Candidate
from wayside.settings import CandidateSettings, ModelSettings, RouterSettings
from wayside.settings.problems import suggest
from wayside.vocab.errors import Problem

Make = Callable[[Candidate, str], Option | None]
"""An option for a candidate; the text says where it stands."""


def fallbacks_of(
    chosen: Candidate,
    models: Mapping[str, ModelSettings],
    make: Make,
    *,
    given: Sequence[CandidateSettings] | None = None,
    where: str = "",
) -> Fallbacks | None:
    """Those of ``chosen``: the decision's, where ``given``, else the model's own.

    What is wrong with a name is told by ``make`` (a decision's) or :func:`problems` (a model's).
    """
    model = models.get(chosen.model)
    if model is None:
        return None
    if given is None:
        # Asked to think or not to, and how hard, as the model in whose place it answers.
        candidates = [
            Candidate(name, reasoning=chosen.reasoning, effort=chosen.effort)
            for name in model.fallbacks
            if name in models
        ]
        places = [""] * len(candidates)
    else:
        candidates = [Candidate(c.model, c.weight, c.lora, c.reasoning, c.effort) for c in given]
        places = [f"{where}.fallbacks[{i}]" for i in range(len(candidates))]
    options = []
    for candidate, place in zip(candidates, places, strict=True):
        option = make(candidate, place)
        if option is not None and (candidate.model, candidate.lora) != (chosen.model, chosen.lora):
            options.append((option, models[candidate.model].context_window))
    if not options or not model.fallback_on:
        return None
    return Fallbacks(
        model=chosen.lora or chosen.model,
        context_window=model.context_window,
        on=frozenset(model.fallback_on),
        options=tuple(options),
    )


def backed(
    option: Option,
    models: Mapping[str, ModelSettings],
    make: Callable[[Candidate, tuple[Plugin, ...], str], Option | None],
    plugins: tuple[Plugin, ...],
    given: Sequence[CandidateSettings] | None,
    where: str,
) -> Option:
    """``option`` with those that answer in its place; ``given`` are its decision's."""
    found = fallbacks_of(
        option.candidate,
        models,
        lambda candidate, place: make(candidate, plugins, place),
        given=given,
        where=where,
    )
    return option if found is None else dataclasses.replace(option, fallbacks=found)


def problems(settings: RouterSettings) -> list[Problem]:
    """What is wrong with the fallbacks of models, and with who is urgent."""
    found = []
    for name, model in settings.models.items():
        for i, other in enumerate(model.fallbacks):
            where = f"models.{name}.fallbacks[{i}]"
            if other == name:
                found.append(Problem("a model cannot stand in for itself", where, "name another"))
            elif other not in settings.models:
                fix = suggest(other, settings.models, "models")
                found.append(Problem(f"no model {other!r}", where, fix))
            elif other in model.fallbacks[:i]:
                found.append(Problem(f"{other!r} is written twice", where, "once is enough"))
    urgency = settings.urgency
    if not settings.identity.trusted:
        groups = urgency.groups if settings.maas is None else {}
        for key, given in (("header", urgency.header), ("groups", groups)):
            if given:
                found.append(
                    Problem(
                        "can never be believed: any client could put itself first",
                        f"urgency.{key}",
                        "set identity.trusted: true where a proxy sets or removes its headers "
                        "on every request",
                    )
                )
    if urgency.header in (
        settings.identity.user_header.lower(),
        settings.identity.groups_header.lower(),
    ):
        found.append(Problem("says who is asking", "urgency.header", "give it one of its own"))
    return found
