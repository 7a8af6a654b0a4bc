"""Choose one model among a decision's candidates. One file per algorithm.

An algorithm gives a candidate, or a :class:`Picked` that also says why and what every candidate
scored. With scores, whoever keeps conversations on one model (:mod:`wayside.flow.sticky`) can tell
whether another one would be worth the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import GeneratorType
from typing import Any, NamedTuple, Protocol

import msgspec

from wayside.vocab.ask import Failure, Flow
from wayside.vocab.calls import Complete, Said, each
from wayside.vocab.chat import completion_of, text_of
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt


class Candidate(msgspec.Struct, frozen=True):
    """A model a decision may choose, and how it would be asked.

    ``model`` is the routing name. ``reasoning`` turns thinking on or off; ``None`` leaves it.
    """

    model: str
    weight: float = 1.0
    lora: str | None = None
    reasoning: bool | None = None
    effort: str | None = None

    @property
    def name(self) -> str:
        """What answers: the adapter where there is one, else the model."""
        return self.lora or self.model


Scores = tuple[float | None, ...]
"""What each candidate is worth, in order: higher is better and 0..1 is the usual range, so that
differences mean about the same in every algorithm. ``None``: it must not be chosen."""


class Picked(msgspec.Struct, frozen=True):
    """A choice and its reason.

    ``why`` is short and for people: ``small 0.71, big 0.64``. ``scores`` are empty where the
    algorithm has none.
    """

    candidate: Candidate
    why: str = ""
    scores: Scores = ()


class Selector(Protocol):
    """Built once per decision from its settings.

    Class attributes tell what it needs: ``observes`` (it asks
    :class:`~wayside.vocab.observed.Observe`), ``learns`` (it asks
    :class:`~wayside.vocab.observed.Standings`) and ``steady`` (its choice does not change within a
    conversation, so nobody has to see to that). They are ``False`` where they are absent. ``meet``
    is called with the facts of the candidates, if there is one.
    """

    def __init__(self, rule: Any) -> None: ...

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Candidate | Picked | Flow[Candidate | Picked]:
        """``dice`` is uniform in [0, 1), rolled by the shell so that tests can load it."""
        ...


def pick(
    selector: Selector, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
) -> Flow[Picked]:
    """What ``selector`` chooses, whatever form it says it in. Raises what it raises."""
    chosen = selector.choose(prompt, candidates, dice)
    if isinstance(chosen, GeneratorType):
        chosen = yield from chosen
    if isinstance(chosen, Candidate):
        return Picked(chosen)
    assert isinstance(chosen, Picked)
    return chosen


MAX_TOLD = 6
"""Candidates whose scores a reason repeats."""


def told(candidates: tuple[Candidate, ...], scores: Scores, note: str = "") -> str:
    """Scores for people, best first: ``small 0.71, big 0.64``; those left out are not named."""
    ranked = sorted(
        [
            (score, c.name)
            for c, score in zip(candidates, scores, strict=True)
            if score is not None
        ],
        key=lambda pair: -pair[0],
    )
    said = [
        f"{name} {round(score, 3) if abs(score) < 100 else round(score):g}"
        for score, name in ranked[:MAX_TOLD]
    ]
    if len(ranked) > MAX_TOLD:
        said.append(f"and {len(ranked) - MAX_TOLD} more")
    text = ", ".join(said)
    return f"{note}: {text}" if note and text else note or text


class Budget(Protocol):
    """What an algorithm that asks models itself makes its questions with.

    A question beyond the limits of the request is not put; it fails at once. ``calls_left`` says
    how many more there may be.
    """

    @property
    def calls_left(self) -> int: ...

    def question(
        self,
        candidate: Candidate,
        body: bytes,
        *,
        purpose: str,
        timeout_s: float | None = None,
    ) -> Complete:
        """The chat request ``body`` to ``candidate``, with its reasoning set as the decision has
        it. ``purpose`` is a word for the log."""
        ...


class Composing:
    """Base of algorithms that ask models and answer themselves: see
    :class:`wayside.flow.compose.Composes`."""

    asks: Mapping[str, str] = {}
    """Models asked beside the candidates, by the setting that names each."""
    least = 1
    """The fewest candidates that it can do with."""

    def choose(self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float) -> Candidate:
        """For those who only want to know where a request would go: it begins with the first."""
        return candidates[0]


class Spoken(NamedTuple):
    """An answer that can be used, and who gave it."""

    candidate: Candidate
    completion: dict[str, Any]

    @property
    def text(self) -> str:
        return text_of(self.completion)


def spoken(candidate: Candidate, said: Said) -> Spoken | str:
    """The answer, or why there is none."""
    if isinstance(said, Failure):
        return f"{candidate.name}: {said.reason}"
    completion = completion_of(said.body) if said.succeeded else None
    if completion is None:
        return f"{candidate.name} answered {said.status}"
    return Spoken(candidate, completion)


def round_of(
    questions: Sequence[tuple[Candidate, Complete]], *, on_error: str, least: int = 1
) -> Flow[list[Spoken]]:
    """Put questions at once; the answers that can be used, in the order of the questions.

    Raises :class:`AskFailed` where there are fewer than ``least``, or, with ``on_error`` ``fail``,
    where one is missing.
    """
    said = yield from each([question for _, question in questions])
    found = [spoken(c, answer) for (c, _), answer in zip(questions, said, strict=True)]
    good = [answer for answer in found if isinstance(answer, Spoken)]
    wrong = [why for why in found if isinstance(why, str)]
    if wrong and on_error == "fail":
        raise AskFailed(_clean(wrong[0]))
    if len(good) < least:
        raise AskFailed(f"{len(good)} of {len(found)} answers, {least} are needed")
    return good


def _clean(why: str) -> str:
    """For the client: why a server gave no answer is for the operator's log alone."""
    name, colon, _ = why.partition(": ")
    return f"{name} gave no answer" if colon else why


def candidate_of(model: str, candidates: Sequence[Candidate]) -> Candidate:
    """``model`` as the decision lists it, or as it is."""
    return next((c for c in candidates if c.model == model), Candidate(model))
