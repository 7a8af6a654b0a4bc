"""vSR's plugins as ours.

v0.1's ``pii`` and ``jailbreak`` plugins blocked requests. So does our ``pii``; a jailbreak plugin
becomes a decision of its own before the one it stood on (:class:`Plugins`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

import wayside.plugins
from wayside.catalog import catalog, discover
from wayside.plugins.header_mutation import HeaderMutationRule, HeaderValue
from wayside.translate.keeping import Keeping
from wayside.translate.plugins_keeping import ALIASES, TRANSLATORS
from wayside.translate.reading import Reader

discover(wayside.plugins)
Rule = dict[str, Any]

BLOCKED = "I cannot help with that: it looks like an attempt to get around my instructions."
"""What a jailbreak plugin of v0.1 says, which had no words of its own in the configuration."""
_OWN_THRESHOLD = "is for vSR's detector; the built-in one has its own"


@dataclass(slots=True)
class Plugins:
    """The plugins of one decision, and whether jailbreaks are to be stopped before it."""

    made: dict[str, Rule] = field(default_factory=dict)
    stops_jailbreaks: bool = False


def read_plugins(decision: Reader, keeping: Keeping) -> Plugins:
    """``plugins`` of a decision, in the order written."""
    out = Plugins()
    for plugin in decision.each("plugins"):
        kind = (plugin.text("type") or "").lower().replace("-", "_")
        kind = ALIASES.get(kind, kind)
        configuration = plugin.inner("configuration")
        translate = _TRANSLATORS.get(kind)
        keeps = TRANSLATORS.get(kind)
        if configuration.flag("enabled") is False:
            plugin.leave_out("switched off, so nothing is lost", "ignored")
        elif kind in out.made:
            plugin.leave_out(f"a second {kind} plugin", "refused")
        elif kind == "jailbreak":
            configuration.set_aside("threshold", _OWN_THRESHOLD, "ignored")
            out.stops_jailbreaks = True
        elif translate is None and keeps is None:
            plugin.leave_out(f"plugin {kind or 'without type'} is not supported yet")
        else:
            made = keeps(configuration, keeping) if keeps else None
            made = translate(configuration) if translate else made
            if made is not None and _accepted(plugin, kind, made):
                out.made[kind] = made
    return out


def _accepted(plugin: Reader, kind: str, made: Rule) -> bool:
    """Whether our own settings take it; a note where they do not."""
    ours = catalog.get("plugin", kind)
    if ours is None:
        plugin.leave_out(f"plugin {kind} is not supported yet")
        return False
    try:
        ours.settings.model_validate(made)
    except ValidationError as error:
        plugin.leave_out(f"{_message(error)}; left out", "refused")
        return False
    return True


def system_prompt(configuration: Reader) -> Rule | None:
    """``{system_prompt, mode}``; v0.1's documentation also writes ``prompt``."""
    prompt = configuration.text("system_prompt") or configuration.text("prompt")
    mode = configuration.choice("mode", ("replace", "insert"))
    if not prompt:
        configuration.leave_out("no prompt to give; left out", "refused")
        return None
    return {"prompt": prompt} if mode in (None, "replace") else {"prompt": prompt, "mode": mode}


def _header_mutation(configuration: Reader) -> Rule | None:
    out: Rule = {}
    for key in ("add", "update"):
        values = [made for h in configuration.each(key) if (made := _header(h)) is not None]
        if values:
            out[key] = values
    if delete := configuration.texts("delete"):
        out["delete"] = [
            name for index, name in enumerate(delete) if _deletable(configuration, index, name)
        ]
    return out or None


def _header(header: Reader) -> dict[str, str] | None:
    made = {"name": header.text("name") or "", "value": header.text("value") or ""}
    try:
        HeaderValue.model_validate(made)
    except ValidationError as error:
        header.leave_out(_message(error), "refused")
        return None
    return made


def _deletable(configuration: Reader, index: int, name: str) -> bool:
    try:
        HeaderMutationRule.model_validate({"delete": [name]})
    except ValidationError as error:
        path = f"{configuration.at('delete')}[{index}]"
        configuration.ledger.add(path, _message(error), "refused")
        return False
    return True


def _fast_response(configuration: Reader) -> Rule | None:
    message = configuration.text("message")
    return {"message": message} if message else {}


def _response_jailbreak(configuration: Reader) -> Rule | None:
    configuration.set_aside("threshold", _OWN_THRESHOLD, "ignored")
    action = configuration.choice("action", ("block", "header", "none", "body")) or "block"
    if action == "none":
        configuration.note("does nothing, so nothing is lost", "ignored", key="action")
        return None
    # spec: vSR 1.7, a blocked answer is an error with status 403
    return {"action": "block", "as": "error"} if action == "block" else {"action": "annotate"}


def _hallucination(configuration: Reader) -> Rule | None:
    configuration.set_aside("use_nli", "the built-in checker compares claims by itself", "ignored")
    actions = ("header", "body", "none")
    action = configuration.choice("hallucination_action", actions) or "header"
    other = configuration.choice("unverified_factual_action", actions) or "none"
    details = configuration.flag("include_hallucination_details")
    if action == other == "none":
        return None
    out: Rule = {} if action == "header" else {"action": action}
    if other != "none":
        out |= {"unverified": other, "fact_check": "fact_check"}
    if details and "body" in (action, other):
        out["details"] = True
    elif details is not None:
        why = "details stand in the answer's note (body), not in a header"
        configuration.note(why, "ignored", key="include_hallucination_details")
    return out


def _request_params(configuration: Reader) -> Rule | None:
    out: Rule = {}
    if blocked := configuration.texts("blocked_params"):
        out["blocked"] = blocked
    for key in ("max_tokens_limit", "max_n"):
        if value := configuration.whole(key, low=1):
            out[key] = value
    if configuration.flag("strip_unknown"):
        out["strip_unknown"] = True
    return out or None


def _tools(configuration: Reader) -> Rule | None:
    mode = configuration.choice("mode", ("none", "passthrough", "filtered")) or "passthrough"
    out: Rule = {"mode": mode}
    allow, block = configuration.texts("allow_tools"), configuration.texts("block_tools")
    similar = configuration.flag("semantic_selection")
    if mode == "filtered":
        out |= {key: names for key, names in (("allow", allow), ("block", block)) if names}
        if similar:
            out["top_k"] = configuration.whole("top_k", low=1, high=512) or 3
    if configuration.flag("strip_tool_history"):
        out["strip_history"] = True
    return out


def _pii(configuration: Reader) -> Rule | None:
    out: Rule = {"action": "block"}
    if allowed := configuration.texts("pii_types_allowed"):
        out["allowed"] = allowed
    configuration.set_aside("threshold", _OWN_THRESHOLD, "ignored")
    return out


def _message(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


_TRANSLATORS: Mapping[str, Callable[[Reader], Rule | None]] = {
    "fast_response": _fast_response,
    "hallucination": _hallucination,
    "header_mutation": _header_mutation,
    "pii": _pii,
    "request_params": _request_params,
    "response_jailbreak": _response_jailbreak,
    "system_prompt": system_prompt,
    "tools": _tools,
}
"""Plugin ``type`` -> its settings as ours; ``None`` where nothing is left to do."""
