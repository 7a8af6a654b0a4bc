"""Offer the model the tools that the question needs: from a list of ours, or fewer of the
client's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, PositiveInt, field_validator, model_validator

from wayside.catalog import catalog
from wayside.dialects import UNREADABLE
from wayside.plugins import Draft, about_tool, offered_tools, tool_name
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Bank, Embed, Flow, Similar, ask
from wayside.vocab.errors import AskFailed, ConfigError, RequestError
from wayside.vocab.lexical import terms
from wayside.vocab.prompt import Prompt

MAX_TOOLS = 2048
"""Tools of one list."""
MAX_OFFERED = 512
"""Tools of a request that are compared; of more the first ones, and the rest stay."""
Share = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Names = tuple[Annotated[str, Field(min_length=1, max_length=256)], ...]


class Weights(Settings):
    """Example: ``{embed: 0.6, lexical: 0.3, tag: 0.1}``"""

    embed: Share = 0.5
    """The cosine of question and description, no less than 0."""
    lexical: Share = 0.2
    """The share of the question's words that the description has."""
    tag: Share = 0.1
    """Whether a tag is among the question's words."""
    name: Share = 0.1
    """The share of the words of the tool's name that the question has."""
    category: Share = 0.1
    """Whether the category is among the question's words."""

    @model_validator(mode="after")
    def _weigh_something(self) -> Weights:
        if not sum([self.embed, self.lexical, self.tag, self.name, self.category]):
            raise ValueError("at least one weight must be above 0")
        return self


class ToolEntry(Settings):
    """A tool of a list. Example: ``{tool: {type: function, function: {name: now}}}``"""

    tool: dict[str, Any]
    """The tool as the API has it: `{type: function, function: {name, parameters}}`."""
    description: str = ""
    """What it is compared by; the tool's own description where absent."""
    category: str = ""
    """One word for what it is about."""
    tags: tuple[str, ...] = ()
    """Words that speak for it."""

    @model_validator(mode="after")
    def _has_a_name(self) -> ToolEntry:
        if not tool_name(self.tool):
            raise ValueError("a tool needs a name: {type: function, function: {name: ...}}")
        return self


class ToolSelectionRule(Settings):
    """Example: ``{mode: filter, threshold: 0.25, keep: 2}``"""

    mode: Literal["add", "filter"]
    """`add` offers the nearest tools of a list beside the client's; `filter` takes away those of
    the client's that are far from the question."""
    file: str | None = None
    """For `add`: a JSON file with a list of `{tool, description, category, tags}`; read when the
    configuration is."""
    tools: tuple[ToolEntry, ...] = ()
    """For `add`: the list itself, or more of it."""
    when: Literal["auto", "always"] = "auto"
    """For `add`: `auto` adds where the client leaves the choice of tools to the model
    (`tool_choice: auto`, or tools and no `tool_choice`); `always` also where it speaks of none."""
    top_k: PositiveInt = 5
    """For `add`: at most so many."""
    threshold: Cosine = 0.2
    """The least cosine of a tool to the question."""
    keep: Annotated[int, Field(ge=0)] = 0
    """For `filter`: so many of the nearest stay, however far they are."""
    strategy: Literal["nearest", "weighted"] = "nearest"
    """`nearest` ranks by cosine alone, `weighted` by the sum of `weights` times what they stand
    for."""
    weights: Weights = Weights()
    """For `weighted`; they are brought to a sum of 1."""
    min_score: Share = 0.0
    """For `weighted`: the least sum."""
    min_shared_words: Annotated[int, Field(ge=0)] = 0
    """For `weighted`: words of the question that the description must have."""
    pool: PositiveInt = 50
    """For `weighted`: so many nearest tools are looked at."""
    allow: Names = ()
    """Only these are added or kept; empty allows all."""
    block: Names = ()
    """These never are."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares."""
    on_error: Literal["pass", "fail"] = "pass"
    """What becomes of a request when the embedder gives no answer: it passes as it is, or 503."""

    @field_validator("tools")
    @classmethod
    def _not_too_many(cls, value: tuple[ToolEntry, ...]) -> tuple[ToolEntry, ...]:
        if len(value) > MAX_TOOLS:
            raise ValueError(f"{len(value)} tools; a list holds at most {MAX_TOOLS}")
        return value

    @model_validator(mode="after")
    def _settings_of_its_mode(self) -> ToolSelectionRule:
        given = self.model_fields_set
        if self.mode == "add" and not (self.file or self.tools):
            raise ValueError("mode add needs tools, or a file that lists them")
        others = {"add": ("keep",), "filter": ("file", "tools", "when", "top_k")}[self.mode]
        for name in others:
            if name in given:
                raise ValueError(f"{name} does nothing in mode {self.mode}")
        if self.strategy == "nearest":
            for name in ("weights", "min_score", "min_shared_words", "pool"):
                if name in given:
                    raise ValueError(f"{name} is for strategy weighted; write strategy: weighted")
        return self


_entries = msgspec.json.Decoder(list[dict[str, Any]])


@catalog.register("plugin", "tool_selection", settings=ToolSelectionRule, stability="beta")
class ToolSelectionPlugin:
    """Adds tools of a list that the question needs, or takes away those that it does not."""

    def __init__(self, rule: ToolSelectionRule) -> None:
        self._rule = rule
        self._allow, self._block = frozenset(rule.allow), frozenset(rule.block)
        self.reads: dict[str, Any] = {"file": self._take} if rule.file else {}
        """Files that the compiler reads for us, by setting."""
        self._listed: list[ToolEntry] = []
        self.banks: dict[str, Bank] = {}
        self._list(rule.tools)

    def _take(self, raw: bytes) -> None:
        try:
            entries = [ToolEntry.model_validate(entry) for entry in _entries.decode(raw)]
        except (*UNREADABLE, ValueError) as error:
            why = str(error).partition("\n")[0]
            raise ConfigError.one(
                f"not a list of tools: {why}",
                fix="write [{tool: {...}, description: ..., category: ..., tags: [...]}]",
            ) from error
        if len(entries) > MAX_TOOLS:
            raise ConfigError.one(f"{len(entries)} tools; a list holds at most {MAX_TOOLS}")
        self._list((*entries, *self._rule.tools))

    def _list(self, entries: Sequence[ToolEntry]) -> None:
        self._listed = [e for e in entries if self._allowed(tool_name(e.tool))]
        if self._listed:
            texts = tuple(e.description or about_tool(e.tool) for e in self._listed)
            self.banks = {"tools": Bank(texts, self._rule.engine)}

    def _allowed(self, name: str) -> bool:
        return name not in self._block and (not self._allow or name in self._allow)

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        if not prompt.question.strip():
            return None
        if self._rule.mode == "add":
            return self._add(prompt, draft) if self._listed and self._wanted(draft) else None
        return self._filter(prompt, draft) if prompt.tools else None

    def _wanted(self, draft: Draft) -> bool:
        if self._rule.when == "always":
            return draft.body.get("tool_choice") in (None, "auto")
        choice = draft.body.get("tool_choice")
        return choice == "auto" or (choice is None and bool(offered_tools(draft)))

    def _add(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        try:
            near = yield from ask(Similar(prompt.question, self.banks["tools"]))
        except AskFailed as failed:
            self._failed(failed)
            return
        offered = offered_tools(draft)
        names = {tool_name(tool) for tool in offered}
        order = [i for i in self._ranked(prompt.question, self._listed, near)]
        chosen = [
            self._listed[i].tool for i in order if tool_name(self._listed[i].tool) not in names
        ]
        if chosen:
            draft.edit.set("tools", [*offered, *chosen[: self._rule.top_k]])

    def _filter(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        offered = offered_tools(draft)
        looked_at = offered[:MAX_OFFERED]
        needed = _needed(draft)
        entries = [ToolEntry.model_construct(tool=tool) for tool in looked_at]
        texts = tuple(about_tool(tool) for tool in looked_at)
        try:
            question, *tools = yield from ask(Embed((prompt.question, *texts), self._rule.engine))
        except AskFailed as failed:
            self._failed(failed)
            return
        near = tuple(sum(a * b for a, b in zip(question, t, strict=True)) for t in tools)
        best = sorted(range(len(near)), key=lambda i: (-near[i], i))[: self._rule.keep]
        stay = {*self._ranked(prompt.question, entries, near), *best}
        kept = [
            tool
            for i, tool in enumerate(offered)
            if tool_name(tool) in needed
            or (self._allowed(tool_name(tool)) and (i in stay or i >= MAX_OFFERED))
        ]
        if len(kept) == len(offered):
            return
        if kept:
            draft.edit.set("tools", kept)
            return
        for field in ("tools", "tool_choice", "parallel_tool_calls"):
            draft.edit.drop(field)

    def _ranked(
        self, question: str, entries: Sequence[ToolEntry], near: Sequence[float]
    ) -> list[int]:
        """The indices of the tools that pass, best first."""
        rule = self._rule
        order = sorted(range(len(entries)), key=lambda i: (-near[i], i))
        order = [i for i in order if near[i] >= rule.threshold]
        if rule.strategy == "nearest":
            return order
        words = terms(question.lower())
        scored = [
            (score, i)
            for i in order[: rule.pool]
            if (score := weighted(entries[i], words, near[i], rule)) is not None
        ]
        return [i for _, i in sorted(scored, key=lambda found: (-found[0], found[1]))]

    def _failed(self, failed: AskFailed) -> None:
        if self._rule.on_error == "fail":
            raise RequestError(
                "The tools for this request could not be chosen; try again later.",
                status=503,
                kind="server_error",
                code="tool_selection_unavailable",
            ) from failed


def weighted(
    entry: ToolEntry, words: set[str], near: float, rule: ToolSelectionRule
) -> float | None:
    """The weighted score of one tool, 0..1; ``None`` where it shares too few words or scores too
    low. ``words`` are the question's."""
    own = terms((entry.description or about_tool(entry.tool)).lower())
    shared = len(words & own)
    if shared < rule.min_shared_words:
        return None
    named = terms(tool_name(entry.tool).replace("_", " ").replace(".", " ").lower())
    tags = terms(" ".join(entry.tags).lower())
    w = rule.weights
    score = (
        w.embed * max(0.0, near)
        + w.lexical * (shared / len(words) if words else 0.0)
        + w.tag * bool(words & tags)
        + w.name * (len(words & named) / len(named) if named else 0.0)
        + w.category * bool(words & terms(entry.category.lower()))
    ) / sum([w.embed, w.lexical, w.tag, w.name, w.category])
    return score if score >= rule.min_score else None


def _needed(draft: Draft) -> set[str]:
    """Tools that the client forces, or that the conversation has called: their results would
    hang in the air."""
    names = set()
    choice = draft.body.get("tool_choice")
    if isinstance(choice, dict):
        names.add(tool_name(choice))
    turns = draft.body.get("messages")
    for turn in turns if isinstance(turns, list) else ():
        calls = turn.get("tool_calls") if isinstance(turn, dict) else None
        names |= {tool_name(call) for call in calls if isinstance(call, dict)} if calls else set()
    return names
