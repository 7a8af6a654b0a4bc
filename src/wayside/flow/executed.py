"""Says which model answered, for those who are charged by model: ``x-maas-model-executed``.

It is on every answer of somebody whose token was believed: the model that really answered, where
another one stood in for it; all that an algorithm asked and that answered; ``cache`` where none
was asked again; ``none`` where none was asked at all.
"""

from __future__ import annotations

import msgspec

from wayside.flow.report import header_text, merged
from wayside.vocab.ask import Flow
from wayside.vocab.errors import RequestError
from wayside.vocab.headers import EXECUTED, REQUESTED
from wayside.vocab.outcome import Fallback, Forward, HeaderPairs, Outcome, Record, Reply

CACHE, NONE = "cache", "none"


def told(came: bytes, model: str, going: Flow[Outcome]) -> Flow[Outcome]:
    """``going``, whose outcome says which model answered where the client asked for ``model``; and
    whose body counts as changed where it is not ``came``, which the client sent."""
    try:
        outcome = yield from going
    except RequestError as error:
        error.headers = merged(error.headers, _pairs(model, _answered(error.record)))
        raise
    if isinstance(outcome, Reply):
        pairs = _pairs(model, _of_reply(outcome))
        return msgspec.structs.replace(outcome, report=merged(outcome.report, pairs))
    outcome = _sent(outcome, model)
    if outcome.body is not came and not outcome.changed:
        return msgspec.structs.replace(outcome, changed=True)
    return outcome


def _sent(forward: Forward, model: str) -> Forward:
    """``forward``, and whatever follows when its model does not answer, with the headers."""
    pairs = _pairs(model, forward.target.name)
    fallback = forward.fallback
    return msgspec.structs.replace(
        forward,
        report=merged(forward.report, pairs),
        fallback=None if fallback is None else Told(fallback, model),
    )


class Told:
    """The models that may answer instead; each answer says which of them it was."""

    __slots__ = ("_fallback", "_model", "minds_length")

    def __init__(self, fallback: Fallback, model: str) -> None:
        self._fallback, self._model = fallback, model
        self.minds_length = fallback.minds_length

    def __call__(self, reason: str) -> Forward | None:
        following = self._fallback(reason)
        return None if following is None else _sent(following, self._model)


def _pairs(asked: str, answered: str) -> HeaderPairs:
    return ((EXECUTED, header_text(answered)), (REQUESTED, header_text(asked[:256])))


def _of_reply(reply: Reply) -> str:
    return CACHE if reply.record.path == CACHE else _answered(reply.record)


def _answered(record: Record | None) -> str:
    """Every model that gave an answer within the request, each once."""
    calls = record.calls if record else ()
    return ", ".join(dict.fromkeys([c.model for c in calls if 200 <= c.status < 300])) or NONE
