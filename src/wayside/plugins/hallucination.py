"""Hold the answer against what the request's sources say.

The sources are the results of tools in the conversation, and, where the settings say so, what
system messages and the user have told. A checker marks claims of the answer that they do not
support. Without sources nothing can be checked; then all that can be said is that an answer which
rests on facts is unverified.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.plugins import Blocked, Channel, Draft, ReplyFilter
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Classify, Failure, Flow, Mark, Span, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt

Source = Literal["tool", "system", "user"]
Action = Literal["header", "body", "none"]

UNSUPPORTED = "hallucination"
UNVERIFIED = "unverified_factual"

_ROLES: dict[str, Source] = {
    "tool": "tool",
    "function": "tool",
    "system": "system",
    "developer": "system",
    "user": "user",
}
_MOST = 200_000
"""Characters of sources, and of an answer, that are looked at."""
_LONGEST = 1_000
"""Characters after which a sentence is taken to end."""
_SHOWN = 3
"""Claims that a note in the body repeats."""
_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\n")
_AT_ONCE = 64
_SORRY = "The rest of this answer was withheld: the sources do not support it."


class HallucinationPluginRule(Settings):
    """Example: ``{action: body, threshold: 0.6, details: true}``"""

    action: Literal["header", "body", "block", "none"] = "header"
    """What follows on a claim that the sources do not support: a warning; a warning and a note at
    the end of the answer; the answer stops before the claim; nothing."""
    unverified: Action = "none"
    """What follows where facts are asked for and there is nothing to check them against; needs
    ``fact_check``."""
    details: bool = False
    """Whether the note repeats the claims, up to three."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.6
    """How sure the checker must be that a claim is not supported."""
    context: Annotated[tuple[Source, ...], Field(min_length=1)] = ("tool",)
    """Whose words are sources: results of ``tool`` calls, ``system`` and developer messages
    (retrieved passages often stand there), the ``user``."""
    fact_check: Annotated[EngineName | None, EngineOf("classify")] = None
    """Ask this classifier about the question first (``fact_check`` is built in), and do nothing
    unless ``needs_fact_check`` is probable. Absent: every answer is checked."""
    fact_check_threshold: Annotated[float, Field(ge=0, le=1)] = 0.6
    """How probable it must be."""
    message: Annotated[str, Field(min_length=1)] = _SORRY
    """What is said instead of a blocked answer, or of the rest of one."""
    as_: Literal["completion", "error"] = Field("completion", alias="as")
    """What is sent for a blocked answer of which nothing was sent yet: 200 and the message, or
    an error of status 403."""
    on_failure: Literal["refuse", "pass"] = "pass"
    """With ``action: block``, where the checker gives no answer, or of what lies beyond the first
    200,000 characters: end the answer there (502), or let it go. Other actions let it go."""
    engine: Annotated[EngineName, EngineOf("mark")] = "grounding"
    """The checker."""

    @model_validator(mode="after")
    def _fits(self) -> HallucinationPluginRule:
        if self.unverified != "none" and self.fact_check is None:
            raise ValueError(
                "unverified needs fact_check, which tells whether facts are asked for; "
                "write fact_check: fact_check"
            )
        if self.details and "body" not in (self.action, self.unverified):
            raise ValueError("details are for the note of action: body; remove it, or say so")
        return self


@catalog.register("plugin", "hallucination", settings=HallucinationPluginRule, stability="beta")
class HallucinationPlugin:
    """Marks or stops answers that claim what the request's sources do not say."""

    def __init__(self, rule: HallucinationPluginRule) -> None:
        self._rule = rule

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        if self._rule.fact_check is not None:
            return self._asked_first(prompt, draft, self._rule.fact_check)
        self._hang(prompt, draft)
        return None

    def _asked_first(self, prompt: Prompt, draft: Draft, engine: str) -> Flow[None]:
        try:
            ranked = yield from ask(Classify(prompt.question, engine))
        except AskFailed:  # it is no reason not to check
            self._hang(prompt, draft)
            return
        if dict(ranked).get("needs_fact_check", 0.0) >= self._rule.fact_check_threshold:
            self._hang(prompt, draft)

    def _hang(self, prompt: Prompt, draft: Draft) -> None:
        rule = self._rule
        sources = _sources(prompt, rule.context)
        if sources and rule.action != "none":
            draft.filters.append(lambda channel: _checker(rule, sources, channel))
        elif not sources and rule.unverified != "none":
            draft.filters.append(lambda channel: _unverified(rule.unverified, channel))


def _sources(prompt: Prompt, wanted: tuple[Source, ...]) -> str:
    """What the answer may rest on, the latest :data:`_MOST` characters."""
    texts: list[str] = []
    room = _MOST
    for message in reversed(prompt.messages):
        if room <= 0:
            break
        if _ROLES.get(message.role) in wanted and message.text.strip():
            texts.append(message.text[:room])
            room -= len(message.text)
    return "\n\n".join(reversed(texts))


def _checker(rule: HallucinationPluginRule, sources: str, channel: Channel) -> ReplyFilter | None:
    if channel.kind != "text":
        return None
    return Gate(rule, sources) if rule.action == "block" else Reader(rule, sources)


def _unverified(action: Action, channel: Channel) -> ReplyFilter | None:
    return Unverified(action) if channel.kind == "text" else None


class Unverified:
    """Warns of an answer that nothing was there to check against. Holds nothing back."""

    def __init__(self, action: Action) -> None:
        self._note = action == "body"
        self._said = False
        self.warnings: tuple[str, ...] = ()

    def feed(self, text: str, final: bool) -> str:
        self._said = self._said or bool(text.strip())
        if not self._said:
            return text
        self.warnings = (UNVERIFIED,)
        if final and self._note:
            return f"{text}\n\n[Nothing was at hand to check the facts in this answer against.]"
        return text


class Reader:
    """Checks the answer when it is over. Holds nothing back."""

    def __init__(self, rule: HallucinationPluginRule, sources: str) -> None:
        self._rule, self._sources = rule, sources
        self._read: list[str] = []
        self._room = _MOST
        self.warnings: tuple[str, ...] = ()

    def feed(self, text: str, final: bool) -> str | Flow[str]:
        if self._room > 0 and text:
            self._read.append(text[: self._room])
            self._room -= len(text)
        if not final:
            return text
        answer = "".join(self._read)
        return self._check(answer, text) if answer.strip() else text

    def _check(self, answer: str, text: str) -> Flow[str]:
        rule = self._rule
        try:
            spans = yield from ask(Mark(answer, rule.engine, self._sources))
        except AskFailed:
            return text
        wrong = [span for span in spans if span.score >= rule.threshold]
        if not wrong:
            return text
        self.warnings = (UNSUPPORTED,)
        return text + _note(answer, wrong, rule.details) if rule.action == "body" else text


class Gate:
    """Lets a sentence go when it was checked. Holds back the sentence that is being said, at most
    :data:`_LONGEST` characters of it."""

    warnings: tuple[str, ...] = ()

    def __init__(self, rule: HallucinationPluginRule, sources: str) -> None:
        self._rule, self._sources = rule, sources
        self._held = ""
        self._room = _MOST

    def feed(self, text: str, final: bool) -> str | Flow[str]:
        held = self._held + text
        sentences: list[str] = []
        at = 0
        while end := _sentence_end(held, at, final):
            sentences.append(held[at:end])
            at = end
        self._held = held[at:]
        return self._let_go(sentences) if any(map(str.strip, sentences)) else "".join(sentences)

    def _let_go(self, sentences: list[str]) -> Flow[str]:
        rule = self._rule
        for i in range(0, len(sentences), _AT_ONCE):
            some = [s for s in sentences[i : i + _AT_ONCE] if s.strip()]
            if not some:
                continue
            self._room -= sum(map(len, some))
            if self._room < 0:
                if rule.on_failure == "refuse":
                    raise AskFailed("the answer is too long to be checked")
                break
            for said in (yield tuple(Mark(s, rule.engine, self._sources) for s in some)):
                if isinstance(said, Failure):
                    if rule.on_failure == "refuse":
                        raise AskFailed(said.reason)
                elif any(span.score >= rule.threshold for span in said):
                    refuse = rule.as_ == "error"
                    raise Blocked(rule.message, reason=UNSUPPORTED, refuse=refuse)
        return "".join(sentences)


def _sentence_end(text: str, at: int, final: bool) -> int:
    """Where the sentence that begins ``at`` ends; 0 while it may go on, or when there is none.

    Looks at what follows the full stop, so that it does not depend on how the text arrived.
    """
    longest = at + _LONGEST
    found = _END.search(text, at, longest + 1)
    if found is not None and found.end() <= longest:
        return found.end()
    if len(text) > longest:
        return longest
    return len(text) if final and at < len(text) else 0


def _note(answer: str, spans: list[Span], details: bool) -> str:
    if not details:
        return "\n\n[Some of this answer is not supported by its sources.]"
    claims = [" ".join(answer[s.start : s.end].split())[:200] for s in spans[:_SHOWN]]
    listed = "\n".join(f"- {claim}" for claim in claims)
    return f"\n\n[Not supported by the sources of this answer:\n{listed}]"
