"""The same request for another model, where the one that was to answer gives no answer.

The list is the first model's own, in order; those of the models in it are not followed, so that
no two configurations can send a request round in circles. Plugins have run once, before the first
model was asked; what they did to the request, their filters and their witnesses hold for whichever
model answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wayside.flow import report
from wayside.flow.protocols import OF_TRANSLATION
from wayside.plugins import Draft
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Forward, HeaderPairs

if TYPE_CHECKING:
    from wayside.flow import Option

FROM = "x-wayside-fallback-from"
"""The response header that names the model which was to answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Fallbacks:
    """Who answers instead of ``model``, in order, with the context window of each, and what for
    (``on``: failure, overload, context_length)."""

    model: str
    context_window: int | None
    on: frozenset[str]
    options: tuple[tuple[Option, int | None], ...]

    @property
    def longer(self) -> bool:
        """Whether a prompt that is too long for the model may fit another."""
        return "context_length" in self.on and any(
            [(window or 0) > (self.context_window or 0) for _, window in self.options]
        )


class Instead:
    """The models that are left for one request; each is asked for once.

    ``build`` makes the request as it goes to one of them; one that cannot take it
    (:class:`RequestError`) is passed over.
    """

    __slots__ = ("_build", "_fallbacks", "_first", "_left", "_window", "minds_length")

    def __init__(self, fallbacks: Fallbacks, build: Callable[[Option], Forward]) -> None:
        self._fallbacks, self._build = fallbacks, build
        self._left = iter(fallbacks.options)
        self._window = fallbacks.context_window or 0
        self._first: Forward | None = None
        self.minds_length = fallbacks.longer

    def of(self, forward: Forward) -> Forward:
        """The request as it goes to the first model, with those that may follow."""
        self._first = forward
        return msgspec.structs.replace(forward, fallback=self)

    def __call__(self, reason: str) -> Forward | None:
        first = self._first
        if first is None or reason not in self._fallbacks.on:
            return None
        for option, window in self._left:
            if reason == "context_length" and (window or 0) <= self._window:
                continue
            try:
                found = self._build(option)
            except RequestError:
                continue
            self._window = max(self._window, window or 0)
            name = report.header_text(self._fallbacks.model)
            record = msgspec.structs.replace(
                first.record,
                model=found.record.model,
                fallback_from=self._fallbacks.model,
                fallback_reason=reason,
            )
            return msgspec.structs.replace(
                found,
                report=report.merged(_lasting(first.report), (*found.report, (FROM, name))),
                record=record,
                urgency=first.urgency,
                fallback=self,
            )
        return None


def _lasting(pairs: HeaderPairs) -> HeaderPairs:
    """What holds whichever model answers: not how its API differs from the client's."""
    return tuple([pair for pair in pairs if pair[0] not in OF_TRANSLATION])


def again(draft: Draft) -> Callable[[], Draft]:
    """Puts the draft back to where it is now: after its plugins, before any model's own edits."""
    fields = dict(draft.edit.fields) if draft.edited else None

    def restored() -> Draft:
        if fields is None:
            draft.forget_edits()
        else:
            draft.edit.fields = dict(fields)
        return draft

    return restored
