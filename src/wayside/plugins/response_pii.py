"""Keep personal data out of answers: what the model says that the user did not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.plugins import Blocked, Channel, Draft
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Flow, Mark, Span, Spans, ask
from wayside.vocab.errors import ConfigError
from wayside.vocab.personal import chosen, counted, unknown_types
from wayside.vocab.prompt import Prompt

_SORRY = "The answer held personal data and was stopped."


class ResponsePiiRule(Settings):
    """Example: ``{action: redact, types: [SECRET, CREDIT_CARD], window: 200}``"""

    action: Literal["redact", "block"] = "redact"
    """Say ``[EMAIL_ADDRESS]`` instead, or end the answer with ``message``."""
    types: tuple[str, ...] = ()
    """Types that count; absent: all that identify a person or open a door."""
    allowed: tuple[str, ...] = ()
    """Types that do not count."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How sure a finding must be to count."""
    allow_from_prompt: bool = True
    """Whether the model may repeat what the user, tools and earlier answers said in the request.
    What system messages say is not the user's: an attack could ask for it."""
    window: Annotated[int, Field(ge=64, le=4096)] = 160
    """How many characters of a stream are held back, so that nothing is found when half is out."""
    engine: Annotated[EngineName, EngineOf("mark")] = "pii"
    """Who finds it: the built-in recogniser, or an engine of your own."""
    message: Annotated[str, Field(min_length=1)] = _SORRY
    """What ``block`` says."""


@catalog.register("plugin", "response_pii", settings=ResponsePiiRule, stability="beta")
class ResponsePiiPlugin:
    """Redacts or stops personal data in answers, streamed or not."""

    def __init__(self, rule: ResponsePiiRule) -> None:
        problems = unknown_types(rule.types, rule.allowed, rule.engine)
        if problems:
            raise ConfigError(problems)
        self._rule = rule
        self._types = chosen(rule.types, rule.allowed)

    def before(self, prompt: Prompt, draft: Draft) -> None:
        asked = ""
        if self._rule.allow_from_prompt:
            said = [m.text for m in prompt.messages if m.role not in ("system", "developer")]
            asked = "\n".join(said).casefold()
        draft.filters.append(lambda channel: _Watcher(self._rule, self._types, asked, channel))


class _Watcher:
    """Holds the last ``window`` characters of a channel and reads them again with what follows.

    A piece goes out once ``window`` characters came after it, cut before whatever is found across
    the cut. It is read together with some text that has gone out already, for the words that
    tell what a number is. At most four windows are held: of a longer finding, such as a private
    key, the beginning is redacted when they are full, and the rest as it comes.
    """

    def __init__(
        self, rule: ResponsePiiRule, types: frozenset[str], asked: str, channel: Channel
    ) -> None:
        self._rule, self._types, self._asked = rule, types, asked
        self._json = channel.kind == "arguments"
        self._gone = self._held = ""
        self.warnings: tuple[str, ...] = ()

    def feed(self, text: str, final: bool) -> Flow[str]:
        self._held += text
        window = self._rule.window
        # Read once half a window has gathered beyond the window, not for every token.
        if not self._held or not (final or len(self._held) > window + window // 2):
            return ""
        read = self._gone + self._held
        found = self._own(read, (yield from ask(Mark(read, self._rule.engine))))
        if found and self._rule.action == "block":
            raise Blocked(self._rule.message, reason="pii")
        cut = len(self._held) if final else self._cut(found)
        out = self._released(found, cut)
        self._gone = read[: len(self._gone) + cut][-_CONTEXT:]
        self._held = self._held[cut:]
        return out

    def _own(self, read: str, spans: Spans) -> list[Span]:
        """What counts, is not out yet and not in the request; with its places in what is held."""
        gone = len(self._gone)
        return [
            Span(max(0, span.start - gone), span.end - gone, span.label, span.score)
            for span in counted(spans, self._types, self._rule.threshold)
            if span.end > gone
            and not (self._asked and read[span.start : span.end].casefold() in self._asked)
        ]

    def _cut(self, found: list[Span]) -> int:
        """Up to where text may go out: a window before the end, and across nothing found."""
        cut = len(self._held) - self._rule.window
        for span in found:
            if span.start < cut < span.end or span.start == 0 < cut <= span.end:
                return span.end if len(self._held) > 4 * self._rule.window else span.start
        return cut

    def _released(self, found: list[Span], cut: int) -> str:
        pieces, at = [], 0
        for span in found:
            if span.end <= cut:
                pieces += [self._held[at : span.start], self._redacted(span)]
                at = span.end
                self.warnings = ("pii_redacted",)
        return "".join([*pieces, self._held[at:cut]])

    def _redacted(self, span: Span) -> str:
        """The label in brackets; in quotes where JSON had a bare number."""
        said = f"[{span.label}]"
        before = self._held[: span.start].rstrip()[-1:]
        bare = (
            self._json
            and self._held[span.start : span.end].isdigit()
            and before in (":", ",", "[")
        )
        return f'"{said}"' if bare else said


_CONTEXT = 64
"""Characters that have gone out and are read again."""
