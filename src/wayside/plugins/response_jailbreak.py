"""Watch the answer for signs that the model gave in to an attack.

The text is cut into pieces of ``every`` characters, counted from its beginning, and each piece is
judged together with what came before it, ``window`` characters in all. A piece is let go when it
was judged. Pieces do not depend on how the answer arrived, so a stream and a whole answer come to
the same decision, and an attack that spans chunks is seen in one window.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.plugins import Blocked, Channel, Draft, ReplyFilter
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Classify, Failure, Flow, Labels
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt

WARNING = "response_jailbreak"
_AT_ONCE = 64
"""Windows of a whole answer that are asked about together; bounds what is held for it."""


class ResponseJailbreakRule(Settings):
    """Example: ``{threshold: 0.85, action: block}``"""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """How probable the ``labels`` must be together."""
    action: Literal["block", "redact", "annotate", "none"] = "block"
    """Stop the answer there; leave out the piece; let it pass with a warning; do nothing."""
    as_: Literal["completion", "error"] = Field("error", alias="as")
    """What is sent for a blocked answer of which nothing was sent yet: 200 and the message, or
    an error of ``status``."""
    status: Annotated[int, Field(ge=400, le=599)] = 403
    """The status of that error."""
    message: Annotated[str, Field(min_length=1)] = "The answer was withheld."
    """What is said instead of a blocked answer, or of the rest of one."""
    replacement: str = "[removed]"
    """What stands for pieces that were left out."""
    window: Annotated[int, Field(ge=64, le=100_000)] = 2_000
    """Characters that are judged together."""
    every: Annotated[int, Field(ge=16, le=100_000)] = 500
    """Characters of a piece: the most that a stream is held back."""
    on_failure: Literal["refuse", "pass"] = "refuse"
    """Where the engine gives no answer: end the answer there (502), or let the piece go. What is
    only annotated goes either way."""
    labels: Annotated[tuple[str, ...], Field(min_length=1)] = ("jailbreak",)
    """The engine's labels that count."""
    engine: Annotated[EngineName, EngineOf("classify")] = "jailbreak_response"
    """The classifier that judges."""

    @model_validator(mode="after")
    def _windows_overlap(self) -> ResponseJailbreakRule:
        if self.every > self.window:
            raise ValueError(
                f"every ({self.every}) is more than window ({self.window}), so that characters "
                "between windows would not be judged; make it smaller"
            )
        return self


@catalog.register("plugin", "response_jailbreak", settings=ResponseJailbreakRule, stability="beta")
class ResponseJailbreakPlugin:
    """Stops, cuts or marks answers in which the model gave in to an attack."""

    def __init__(self, rule: ResponseJailbreakRule) -> None:
        self._rule = rule

    def before(self, prompt: Prompt, draft: Draft) -> None:
        if self._rule.action != "none":
            draft.filters.append(self._watch)

    def _watch(self, channel: Channel) -> ReplyFilter | None:
        return None if channel.kind == "arguments" else Watch(self._rule)


class Watch:
    """One text of an answer. Holds back less than ``every`` characters; none to ``annotate``."""

    warnings: tuple[str, ...] = ()

    def __init__(self, rule: ResponseJailbreakRule) -> None:
        self._rule = rule
        self._before = ""
        """The text that was let go, as much of it as a window looks back."""
        self._new = ""
        """Text that makes no whole piece yet."""
        self._cutting = False
        """Whether the piece before was left out, too: a run of them is replaced once."""

    def feed(self, text: str, final: bool) -> str | Flow[str]:
        rule = self._rule
        if rule.action == "annotate" and self.warnings:
            return text  # nothing more to find out
        self._new += text
        whole = len(self._new) if final else len(self._new) // rule.every * rule.every
        pieces = [self._new[i : i + rule.every] for i in range(0, whole, rule.every)]
        self._new = self._new[whole:]
        if rule.action == "annotate":
            return self._marked(text, pieces) if pieces else text
        return self._let_go(pieces) if pieces else ""

    def _marked(self, text: str, pieces: list[str]) -> Flow[str]:
        for i in range(0, len(pieces), _AT_ONCE):
            if any((yield from self._judge(pieces[i : i + _AT_ONCE]))):
                self.warnings = (WARNING,)
                break
        return text

    def _let_go(self, pieces: list[str]) -> Flow[str]:
        """What of ``pieces`` is let go, with what stands for the rest."""
        out: list[str] = []
        # What is left out is not looked back on, so to redact is to judge one by one.
        at_once = 1 if self._rule.action == "redact" else _AT_ONCE
        for i in range(0, len(pieces), at_once):
            some = pieces[i : i + at_once]
            before = self._before
            found = yield from self._judge(some)
            if not any(found):
                out += some
                self._cutting = False
            elif self._rule.action == "block":
                raise self._blocked()
            else:
                self._before = before
                self.warnings = (WARNING,)
                if not self._cutting:
                    out.append(self._rule.replacement)
                self._cutting = True
        return "".join(out)

    def _judge(self, pieces: list[str]) -> Flow[list[bool]]:
        """Whether each piece, with what came before it, shows that the model gave in."""
        rule = self._rule
        windows: list[str] = []
        for piece in pieces:
            window = (self._before + piece)[-rule.window :]
            windows.append(window)
            self._before = window
        asked = tuple(Classify(window, rule.engine) for window in windows if window.strip())
        answers = dict(zip(asked, (yield asked), strict=True)) if asked else {}
        said = [answers.get(Classify(window, rule.engine), ()) for window in windows]
        return [self._shows(answer) for answer in said]

    def _shows(self, answer: Labels | Failure) -> bool:
        rule = self._rule
        if isinstance(answer, Failure):
            if rule.on_failure == "refuse" and rule.action != "annotate":
                raise AskFailed(answer.reason)
            return False
        sure = sum(probability for label, probability in answer if label in rule.labels)
        return sure >= rule.threshold

    def _blocked(self) -> Blocked:
        rule = self._rule
        refuse = rule.as_ == "error"
        return Blocked(rule.message, reason=WARNING, refuse=refuse, status=rule.status)
