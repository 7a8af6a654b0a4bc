"""Decide which of the offered tools the model gets to see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.plugins import Draft, about_tool, offered_tools, tool_name
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Embed, Flow, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt

Names = tuple[Annotated[str, Field(min_length=1, max_length=256)], ...]
_MOST = 512
"""Tools compared by meaning in one request; more are only filtered by name."""


class ToolsRule(Settings):
    """Example: ``{mode: filtered, allow: [docs.search], block: [admin.delete]}``"""

    mode: Literal["none", "filtered", "passthrough"] = "filtered"
    """``none`` takes every tool away, ``filtered`` those that the other settings leave out,
    ``passthrough`` none."""
    allow: Names = ()
    """Only these tools stay; empty allows all."""
    block: Names = ()
    """These tools go, allowed or not."""
    top_k: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    """So many tools stay whose name and description are nearest in meaning to the question."""
    threshold: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The least cosine between a tool and the question for the tool to stay."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares; if it gives no answer, no tool is left out for its meaning."""
    strip_history: bool = False
    """Also take earlier tool calls and their results out of the conversation."""

    @model_validator(mode="after")
    def _says_something(self) -> ToolsRule:
        filters = self.allow or self.block or self.top_k or self.threshold is not None
        if self.mode == "filtered" and not filters:
            raise ValueError("mode filtered needs allow, block, top_k or threshold")
        if self.mode != "filtered" and filters:
            raise ValueError(f"allow, block, top_k and threshold do nothing in mode {self.mode}")
        return self


@catalog.register("plugin", "tools", settings=ToolsRule, stability="beta")
class ToolsPlugin:
    """Takes tools away from the request, by name or by meaning."""

    def __init__(self, rule: ToolsRule) -> None:
        self._rule = rule
        self._allow, self._block = frozenset(rule.allow), frozenset(rule.block)

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        rule = self._rule
        if rule.strip_history and any(m.role == "tool" or m.tool_calls for m in prompt.messages):
            _strip_history(draft)
        if rule.mode == "passthrough" or not prompt.tools:
            return None
        if rule.mode == "none":
            _keep(draft, [])
            draft.edit.drop("functions")
            draft.edit.drop("function_call")
            return None
        self._filter_functions(draft)
        offered = offered_tools(draft)
        named = [tool for tool in offered if self._allowed(tool_name(tool))]
        if rule.top_k is None and rule.threshold is None:
            if len(named) < len(offered):
                _keep(draft, named)
            return None
        return self._nearest(prompt, draft, offered, named)

    def _filter_functions(self, draft: Draft) -> None:
        """``functions``, the older form of ``tools``, by name; meaning is not asked for them."""
        offered = draft.body.get("functions")
        if not isinstance(offered, list):
            return
        named = [function for function in offered if self._allowed(tool_name(function))]
        if len(named) == len(offered):
            return
        draft.edit.set("functions", named)
        chosen = draft.edit.get("function_call")
        if not named:
            draft.edit.drop("functions")
            draft.edit.drop("function_call")
        elif isinstance(chosen, dict) and not self._allowed(tool_name(chosen)):
            draft.edit.drop("function_call")

    def _allowed(self, name: str) -> bool:
        return name not in self._block and (not self._allow or name in self._allow)

    def _nearest(
        self, prompt: Prompt, draft: Draft, offered: list[Any], named: list[Any]
    ) -> Flow[None]:
        rule = self._rule
        kept = named
        if prompt.question.strip() and 0 < len(named) <= _MOST:
            texts = tuple(about_tool(tool) for tool in named)
            try:
                question, *tools = yield from ask(Embed((prompt.question, *texts), rule.engine))
            except AskFailed:  # a lost comparison must not take a tool that the answer needs
                scores = [1.0] * len(named)
            else:
                scores = [sum(a * b for a, b in zip(question, t, strict=True)) for t in tools]
            order = sorted(range(len(named)), key=lambda i: -scores[i])
            best = set(order[: rule.top_k] if rule.top_k else order)
            least = -1.0 if rule.threshold is None else rule.threshold
            kept = [t for i, t in enumerate(named) if i in best and scores[i] >= least]
        if len(kept) < len(offered):
            _keep(draft, kept)


def _keep(draft: Draft, tools: list[Any]) -> None:
    """Offer these and no others; a choice among tools that are gone goes with them."""
    edit = draft.edit
    if tools:
        edit.set("tools", tools)
        chosen = edit.get("tool_choice")
        if isinstance(chosen, dict) and tool_name(chosen) not in {
            tool_name(tool) for tool in tools
        }:
            edit.drop("tool_choice")
        return
    for field in ("tools", "tool_choice", "parallel_tool_calls"):
        edit.drop(field)


def _strip_history(draft: Draft) -> None:
    """Drop tool results, the calls in the assistant's turns, and turns that were only calls."""
    turns = draft.edit.get("messages")
    kept = []
    for turn in turns if isinstance(turns, list) else []:
        if not isinstance(turn, dict):
            kept.append(turn)
        elif turn.get("role") not in ("tool", "function"):
            plain = {k: v for k, v in turn.items() if k not in ("tool_calls", "function_call")}
            if len(plain) == len(turn) or plain.get("content"):
                kept.append(plain)
    draft.edit.set("messages", kept)
