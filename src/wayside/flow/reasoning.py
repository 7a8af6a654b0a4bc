"""How each family of models is told to think, or not to (spec: vSR 1.6)."""

from __future__ import annotations

from wayside.dialects import Edit
from wayside.settings import ReasoningFamily

_KWARGS = "chat_template_kwargs"
_EFFORT = "reasoning_effort"


def set_reasoning(
    edit: Edit, family: ReasoningFamily, *, on: bool, effort: str, effort_at_top_level: bool
) -> None:
    """Write the family's switch into the request.

    * ``chat_template_kwargs``: ``chat_template_kwargs.<parameter>`` is true or false.
    * ``reasoning_effort``: on, the effort goes to the top level (cloud APIs) or into
      ``chat_template_kwargs`` (vLLM); off, an effort the client chose stays.
    * ``top_level_reasoning_effort``: on, the effort goes to the top level; off, it is removed.
    * ``thinking``: DeepSeek's own API: ``thinking.type`` is enabled or disabled.
    """
    match family.type:
        case "chat_template_kwargs":
            edit.set_inside(_KWARGS, family.parameter, on)
        case "reasoning_effort":
            if on and effort_at_top_level:
                edit.set(_EFFORT, effort)
            elif on:
                edit.set_inside(_KWARGS, family.parameter, effort)
        case "top_level_reasoning_effort":
            if on:
                edit.set(_EFFORT, effort)
            else:
                edit.drop(_EFFORT)
        case "thinking":
            edit.drop(_KWARGS)
            edit.set("thinking", {"type": "enabled" if on else "disabled"})
            if on:
                edit.set(_EFFORT, effort)
