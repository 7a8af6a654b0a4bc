"""Give the chosen model a system prompt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.prompt import Prompt


class SystemPromptRule(Settings):
    """Example: ``{prompt: "You are a patient maths tutor.", mode: insert}``"""

    prompt: str = Field(min_length=1)
    mode: Literal["replace", "insert"] = "replace"
    """``replace`` the client's system prompt, or ``insert`` ours before it."""


@catalog.register("plugin", "system_prompt", settings=SystemPromptRule, stability="stable")
class SystemPromptPlugin:
    """Sets or prepends the system prompt of the request that goes upstream."""

    def __init__(self, rule: SystemPromptRule) -> None:
        self._prompt, self._replace = rule.prompt, rule.mode == "replace"

    def before(self, prompt: Prompt, draft: Draft) -> None:
        draft.edit.instruct(self._prompt, replace=self._replace)
