"""Whether the last answer claims what the tools that it had asked do not say.

It is read on the way in: the conversation that a client sends holds the assistant's last answer
and the results it was given. Where the answer cannot be trusted, the next one may come from
another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Failure, Flow, Mark, Spans, ask_each
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Source = Literal["tool", "system", "user"]
_SOURCE_OF: dict[str, Source] = {
    "tool": "tool",
    "function": "tool",
    "system": "system",
    "developer": "system",
    "user": "user",
}
_MOST = 200_000
"""Characters of context and of answer that are handed to the engine; it may read fewer."""


class HallucinationRule(Settings):
    """Example: ``{threshold: 0.6, context: [tool]}``"""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.6
    """How sure the checker must be that a claim is not supported."""
    min_claims: Annotated[int, Field(ge=1)] = 1
    """How many such claims there must be."""
    context: Annotated[tuple[Source, ...], Field(min_length=1)] = ("tool",)
    """Who may support a claim: results of ``tool`` calls, ``system`` and developer messages
    (retrieved passages often stand there), the ``user``."""
    engine: Annotated[EngineName, EngineOf("mark")] = "grounding"
    """The checker: it marks claims of an answer that a context does not support."""


class _Question(NamedTuple):
    engine: str
    context: tuple[Source, ...]


@catalog.register("signal", "hallucination", settings=HallucinationRule, stability="stable")
class HallucinationSignal:
    """Matches when the last answer claims what the conversation's sources do not support."""

    def __init__(self, rules: Mapping[str, HallucinationRule]) -> None:
        self._rules = {
            name: (rule, _Question(rule.engine, tuple(sorted(set(rule.context)))))
            for name, rule in rules.items()
        }

    def read(self, prompt: Prompt) -> Flow[Reading]:
        place = _last_answer(prompt)
        if place < 0:
            return {}
        answer = prompt.messages[place].text[:_MOST]
        marks = {}
        for _, question in self._rules.values():
            context = _context(prompt, place, question.context)
            if context:
                marks[question] = Mark(answer, question.engine, context)
        found = yield from ask_each(marks)
        reading = {}
        for name, (rule, question) in self._rules.items():
            spans = found.get(question)
            if isinstance(spans, Failure):
                reading[name] = unknown(spans)
            elif spans is not None:
                reading[name] = _judge(rule, spans, answer)
        return reading


def _last_answer(prompt: Prompt) -> int:
    """Where the assistant's last words are; -1 if it has said nothing."""
    for place in range(len(prompt.messages) - 1, -1, -1):
        if prompt.messages[place].role == "assistant" and prompt.messages[place].text.strip():
            return place
    return -1


def _context(prompt: Prompt, place: int, sources: tuple[Source, ...]) -> str:
    """What the answer had before it, the latest `_MOST` characters."""
    texts: list[str] = []
    room = _MOST
    for message in reversed(prompt.messages[:place]):
        if room <= 0:
            break
        if _SOURCE_OF.get(message.role) in sources and message.text.strip():
            texts.append(message.text[:room])
            room -= len(message.text)
    return "\n\n".join(reversed(texts))


def _judge(rule: HallucinationRule, spans: Spans, answer: str) -> Verdict:
    """The score compared is that of the claim that makes the number full."""
    worst = sorted(spans, key=lambda span: -span.score)
    if len(worst) < rule.min_claims:
        return Verdict(False, 0.0, f"{len(worst)} claims without support", 0.0)
    score = worst[rule.min_claims - 1].score
    claim = shown(answer[worst[0].start : worst[0].end])
    matched = score >= rule.threshold
    because = f"{worst[0].score:.2f} not supported: {claim!r}"
    return Verdict(matched, share(score) if matched else 0.0, because, score)
