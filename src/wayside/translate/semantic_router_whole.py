"""What a SemanticRouter says of the whole router, and decisions do here: guard, cache, tools.

A guard becomes a decision before all others. Cache and tools become plugins of every decision that
does not say otherwise, and of one more that takes what no other decision takes; decisions that
bring such a plugin themselves show that the section is meant as their default only.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from wayside.translate.plugins import BLOCKED
from wayside.translate.reading import Reader
from wayside.translate.signals import Signals
from wayside.translate.vsr_v03 import Draft

Rule = dict[str, Any]
GUARD = "prompt_guard"
"""The guard's decision, and its signal."""
REST = "everything_else"
"""The decision for what no other takes."""
_LABELS = ("jailbreak", "harmful", "benign")
"""What the built-in detector tells apart."""


def guard(config: Reader, decisions: list[Rule], signals: Signals, out: Draft) -> None:
    """``prompt_guard``: every prompt is looked at first, of requests that name a model as well.

    Where the resource has jailbreak signals of its own, its decisions say what happens.
    """
    said = config.inner("prompt_guard")
    if "prompt_guard" not in config:
        return
    rule = _detector(said)
    blocks = said.choice("on_error", ("allow", "block")) == "block"
    if said.flag("enabled") is False:
        said.set_aside_all("switched off", "ignored")
        return
    if signals.known.get("jailbreak"):
        own = "the resource has jailbreak signals of its own: its decisions say what happens"
        said.note(own, "mapped")
        return
    signals.add("jailbreak", GUARD, rule)
    name = _free(GUARD, decisions)
    made: Rule = {
        "name": name,
        "priority": max((d.get("priority", 0) for d in decisions), default=0) + 1,
        "when": f"jailbreak:{GUARD}",
        "plugins": {"fast_response": {"message": BLOCKED}},
    }
    if blocks:
        made["on_unknown"] = "match"
    if out.routing.get("strategy") == "confidence":
        _in_tiers(made, decisions)
    elif any(decision.get("tier") for decision in decisions):
        what = "decisions with tiers are looked at by confidence, so that one of tier 0 may win"
        said.note(what, "unsupported", key="enabled")
    decisions.insert(0, made)
    untiered = {k: v for k, v in made.items() if k not in ("priority", "tier")}
    out.recipes["guards"] = {
        "signals": {"jailbreak": {GUARD: dict(rule)}},
        "decisions": [deepcopy(untiered)],
    }
    out.top["guard_recipe"] = "guards"


def _in_tiers(first: Rule, decisions: list[Rule]) -> None:
    """Where confidence decides, only a tier makes a decision go first; within tiers confidence
    decides as before."""
    for decision in decisions:
        decision["tier"] = decision.get("tier", 0) + 2
    first["tier"] = 1


def _detector(said: Reader) -> Rule:
    """The rule of the signal; what belongs to another detector is noted."""
    variant, protocol = said.text("variant"), said.text("protocol")
    if variant and protocol:
        what = "cannot specify both prompt_guard.variant and prompt_guard.protocol"
        said.note(what, "refused", key="protocol")
    elif protocol:
        what = (
            "nothing says where the server is that would be asked; leave it out, and the built-in "
            "detector guards"
        )
        said.note(what, "refused", key="protocol")
    built_in = "the built-in detector guards"
    for key in ("variant", "model_id", "use_cpu", "jailbreak_mapping_path"):
        said.set_aside(key, built_in, "ignored")
    if said.number("threshold", low=0, high=1) is not None:
        what = "is for vSR's detector; the built-in one has its own"
        said.note(what, "mapped", key="threshold")
    labels = said.texts("positive_labels")
    if wrong := [label for label in labels if label not in _LABELS]:
        what = f"{built_in}, whose labels are {', '.join(_LABELS)}; {wrong[0][:80]!r} is none"
        said.note(what, "refused", key="positive_labels")
        labels = []
    return {"labels": labels} if labels else {}


def read_tools(spec: Reader) -> list[Rule]:
    """``toolsDb``, nested as OpenAI has tools or flat, as entries ``{tool, description, category,
    tags}``."""
    found: list[Rule] = []
    names: set[str] = set()
    for entry in spec.each("tools_db"):
        tool = entry.inner("tool")
        function = tool.inner("function") if tool else entry
        name = function.text("name")
        description = function.text("description") or ""
        parameters = function.raw("parameters")
        if not name or name in names:
            what = "a second tool of that name" if name else "a tool needs a name"
            entry.leave_out(what, "refused")
            continue
        names.add(name)
        made: Rule = {"name": name}
        if description:
            made["description"] = description
        if parameters is not None:
            made["parameters"] = parameters
        item: Rule = {"tool": {"type": tool.text("type") or "function", "function": made}}
        if compared := entry.text("description") or description:
            item["description"] = compared
        if category := entry.text("category"):
            item["category"] = category
        if tags := entry.texts("tags"):
            item["tags"] = tags
        found.append(item)
    return found


def on_everything(config: Reader, decisions: list[Rule], out: Any, *, caching: bool) -> None:
    """Put the cache and the tools on decisions, and make one for the rest where there is either.

    ``out`` is the draft with its ``tools`` and ``tools_file``.
    """
    plugins: dict[str, Rule] = {}
    if "tools" in config and (tools := _tools(config.inner("tools"), out)):
        plugins["tool_selection"] = tools
    if caching:
        plugins["response_cache"] = {**out.keeping.cache, "mode": "exact_then_semantic"}
    own = {kind for decision in decisions for kind in decision.get("plugins", {})}
    if "tools" in own:
        own.add("tool_selection")
    wanted = {kind: rule for kind, rule in plugins.items() if kind not in own}
    if not wanted:
        return
    tiered = any(decision.get("tier") for decision in decisions)
    if out.models and not (tiered and out.routing.get("strategy") != "confidence"):
        rest: Rule = {"name": _free(REST, decisions)}
        rest["priority"] = min((d.get("priority", 0) for d in decisions), default=0) - 1
        if tiered:
            rest["tier"] = max(d.get("tier", 0) for d in decisions) + 1
        decisions.append(rest)
    for decision in decisions:
        if "fast_response" not in decision.get("plugins", {}):
            decision["plugins"] = {**decision.get("plugins", {}), **deepcopy(wanted)}


def _tools(said: Reader, out: Any) -> Rule | None:
    """The plugin, where there are tools to choose from."""
    enabled = said.flag("enabled")
    most, threshold = (
        said.whole("top_k"),
        said.number("similarity_threshold", low=0, high=1),
    )
    path = said.text("tools_db_path")
    passes = said.flag("fallback_to_empty")
    if enabled is False:
        return None
    if not out.tools:
        if path not in (None, "", _TOOLS_PATH):
            what = "only the tools of toolsDb are there: write them there"
            said.note(what, "refused", key="tools_db_path")
        return None
    rule: Rule = {"mode": "add"}
    if out.tools_file:
        rule["file"] = out.tools_file
    else:
        rule["tools"] = out.tools
    rule["top_k"] = most or _TOP_K
    if threshold is not None:
        rule["threshold"] = round(threshold * _SCALE, 4)
    if passes is False:
        rule["on_error"] = "fail"
    return rule


_TOOLS_PATH = "config/tools_db.json"
_TOP_K = 3
_SCALE = 0.7
"""See :data:`wayside.translate.learned.EMBEDDING_SCALE`."""


def _free(name: str, decisions: list[Rule]) -> str:
    taken = {decision["name"] for decision in decisions}
    while name in taken:
        name += "_"
    return name
