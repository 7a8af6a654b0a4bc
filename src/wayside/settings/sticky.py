"""How conversations keep their model, and how outcomes are remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from wayside.settings.base import Settings, StoreName, StoreOf

Documents = Annotated[StoreName | None, StoreOf("documents")]


class StickySettings(Settings):
    """A conversation stays on the model it was given, so that agents do not bounce.

    Among the candidates of one decision alone, and for every algorithm whose choice can differ
    from turn to turn.

    Example: ``{switch_margin: 0.1, idle_timeout_s: 600}``
    """

    enabled: bool = True
    """Whether conversations stay at all."""
    switch_margin: Annotated[float, Field(ge=0)] = 0.05
    """How much better another candidate must score for a conversation to move to it; scores are
    the algorithm's own, mostly 0 to 1. An algorithm without scores never moves one."""
    min_turns_before_switch: Annotated[int, Field(ge=0)] = 1
    """Turns that a conversation stays at least, however good another candidate looks."""
    idle_timeout_s: PositiveFloat = 300.0
    """After this long without a request a conversation is forgotten, and chooses anew."""
    hold_in_tool_loop: bool = True
    """Never move between a model's tool call and its answer to the result: the last message is
    a tool's, and another model would go on from calls it did not make."""
    leave_error_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Leave a model of whose recent answers at least this share failed, five at least."""
    store: Documents = None
    """Where conversations are remembered, for replicas to share; unset, in this process, the
    100,000 used last."""


class LearningSettings(Settings):
    """What outcomes teach, and where that is kept.

    Example: ``{k_factor: 16}``
    """

    enabled: bool | None = None
    """Whether routings can be judged; unset, where a decision selects by outcomes (`elo`,
    `thompson`, `hybrid`)."""
    store: Documents = None
    """Where routings, verdicts and ratings are kept, for replicas to share and restarts to find;
    unset, in this process."""
    initial_rating: Annotated[float, Field(ge=0, le=10_000)] = 1500.0
    """Elo rating of a candidate nobody has judged."""
    k_factor: Annotated[float, Field(gt=0, le=400)] = 32.0
    """Points that one surprising outcome moves a rating."""
    judge_within_s: PositiveFloat = 86_400.0
    """How long after a request its outcome may be told."""
    max_routings: PositiveInt = 50_000
    """Routings remembered in this process; the oldest go first."""
    refresh_s: PositiveFloat = 5.0
    """How old what other replicas learnt may be."""
