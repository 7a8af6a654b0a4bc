"""Keep personal data from leaving: refuse it, blank it out, or swap it for names and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.dialects import encode
from wayside.plugins import Channel, Draft
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Failure, Flow, Mark, Span
from wayside.vocab.errors import ConfigError
from wayside.vocab.personal import chosen, counted, unknown_types
from wayside.vocab.prompt import Prompt

HEADER = "x-wayside-pii"
"""Set upstream by ``annotate``: the types found, separated by commas."""

_SORRY = "Your request holds personal data that may not be sent to this model."


class PiiPluginRule(Settings):
    """Example: ``{action: mask, allowed: [PERSON]}``"""

    action: Literal["block", "redact", "mask", "annotate"] = "redact"
    """Answer in the model's place; send ``[EMAIL_ADDRESS]`` instead; send ``<EMAIL_ADDRESS_1>``
    and put the value back into the answer; or tell the model's servers in a header."""
    types: tuple[str, ...] = ()
    """Types that count; absent: all that identify a person or open a door."""
    allowed: tuple[str, ...] = ()
    """Types that do not count."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How sure a finding must be to count."""
    engine: Annotated[EngineName, EngineOf("mark")] = "pii"
    """Who finds it: the built-in recogniser, or an engine of your own."""
    message: Annotated[str, Field(min_length=1)] = _SORRY
    """What ``block`` says."""
    on_failure: Literal["refuse", "pass"] = "refuse"
    """Without an answer from the engine: refuse the request (503), or send it unread."""


@catalog.register("plugin", "pii", settings=PiiPluginRule, stability="beta")
class PiiPlugin:
    """Blocks, redacts, masks and restores, or reports personal data in a request."""

    def __init__(self, rule: PiiPluginRule) -> None:
        problems = unknown_types(rule.types, rule.allowed, rule.engine)
        if problems:
            raise ConfigError(problems)
        self._rule = rule
        self._types = chosen(rule.types, rule.allowed)

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        rule = self._rule
        texts: dict[str, None] = {}
        draft.body.rewrite_texts(lambda text: _note(text, texts))
        found = yield from self._find(texts)
        if found is None:
            if rule.on_failure == "refuse":
                draft.reply(
                    "The request could not be checked for personal data.",
                    path="error", refuse=True, status=503, code="pii_unchecked",
                )  # fmt: skip
            return
        if not found:
            return
        draft.personal = True
        if rule.action == "block":
            draft.reply(rule.message)
        elif rule.action == "annotate":
            labels = {span.label for spans in found.values() for span in spans}
            draft.set[HEADER] = ",".join(sorted(labels))
        elif rule.action == "redact":
            draft.edit.rewrite_texts(_replacing(found, lambda label, _: f"[{label}]"))
        else:
            masks = Masks(texts)
            draft.edit.rewrite_texts(_replacing(found, masks.placeholder))
            in_json = _wants_json(draft)
            draft.filters.append(lambda channel: Restorer(masks.values, channel, in_json))

    def _find(self, texts: Iterable[str]) -> Flow[Mapping[str, list[Span]] | None]:
        """What counts, by text; texts without any are left out. ``None`` if a text went unread."""
        asked = [text for text in texts if text.strip()]
        if not asked:
            return {}
        answers = yield tuple([Mark(text, self._rule.engine) for text in asked])
        found: dict[str, list[Span]] = {}
        for text, spans in zip(asked, answers, strict=True):
            if isinstance(spans, Failure):
                return None
            kept = counted(spans, self._types, self._rule.threshold)
            if kept:
                found[text] = kept
        return found


def _wants_json(draft: Draft) -> bool:
    """Whether the client asked for an answer that is JSON."""
    wanted = draft.body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def _note(text: str, texts: dict[str, None]) -> str:
    texts[text] = None
    return text


def _replacing(
    found: Mapping[str, list[Span]], replacement: Callable[[str, str], str]
) -> Callable[[str], str]:
    """Replaces every finding of a text by what ``replacement(label, value)`` says."""

    def rewrite(text: str) -> str:
        pieces, at = [], 0
        for span in found.get(text, ()):
            value = text[span.start : span.end]
            pieces += [text[at : span.start], replacement(span.label, value)]
            at = span.end
        return "".join([*pieces, text[at:]]) if pieces else text

    return rewrite


_LONGEST = 64  # characters between the brackets of a placeholder
_PLACEHOLDER = re.compile(rf"<[A-Za-z0-9_]{{1,{_LONGEST}}}>")
_UNFIT = re.compile(r"[^A-Za-z0-9_]+")


class Masks:
    """Placeholders for values, numbered by first appearance in the conversation.

    Equal values of one type share one. A client that repeats the conversation gets the same
    numbers again, so servers find the prefix of a growing conversation in their cache. None is
    like anything that stands in ``texts`` already: what the client wrote is never restored.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._taken = {found for text in texts for found in _PLACEHOLDER.findall(text)}
        self._by_value: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        self.values: dict[str, str] = {}
        """Values by placeholder."""

    def placeholder(self, label: str, value: str) -> str:
        label = _UNFIT.sub("_", label)[:40]
        known = self._by_value.get((label, value))
        return self._new(label, value) if known is None else known

    def _new(self, label: str, value: str) -> str:
        number = self._last.get(label, 0) + 1
        while f"<{label}_{number}>" in self._taken:
            number += 1
        self._last[label] = number
        made = f"<{label}_{number}>"
        self._by_value[label, value] = made
        self.values[made] = value
        return made


_BEGUN = re.compile(rf"<[A-Za-z0-9_]{{0,{_LONGEST}}}\Z")
# JSON may write < and > as \u003c and \u003e, and a chunk may end inside that.
_ESCAPE = r"\\(?:u(?:0(?:03?)?)?)?"
_BEGUN_IN_JSON = re.compile(
    rf"(?:<|\\u003[cC])[A-Za-z0-9_]{{0,{_LONGEST}}}(?:{_ESCAPE})?\Z|{_ESCAPE}\Z"
)
_PLACEHOLDER_IN_JSON = re.compile(
    rf"(?:<|\\u003[cC])([A-Za-z0-9_]{{1,{_LONGEST}}})(?:>|\\u003[eE])"
)
_TAIL = _LONGEST + 12  # the longest beginning


class Restorer:
    """Puts values back in the place of their placeholders, however the text was cut.

    Holds back what may be the beginning of a placeholder: at most 76 characters, and in prose
    none unless they begin with ``<``. In the arguments of a tool call, which are JSON, and in text
    that is to be JSON, a value is written as JSON has it.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, str], channel: Channel, in_json: bool = False) -> None:
        self._values = values
        self._json = channel.kind == "arguments" or (in_json and channel.kind == "text")
        self._held = ""

    def feed(self, text: str, final: bool) -> str:
        """What may be passed on now that ``text`` has come."""
        text, self._held = self._held + text, ""
        if not final:
            begun = _BEGUN_IN_JSON if self._json else _BEGUN
            found = begun.search(text, max(0, len(text) - _TAIL))
            if found:
                text, self._held = text[: found.start()], found[0]
        if self._json:
            return _PLACEHOLDER_IN_JSON.sub(self._as_json, text)
        return _PLACEHOLDER.sub(lambda found: self._values.get(found[0], found[0]), text)

    def _as_json(self, found: re.Match[str]) -> str:
        value = self._values.get(f"<{found[1]}>")
        return found[0] if value is None else encode(value).decode()[1:-1]
