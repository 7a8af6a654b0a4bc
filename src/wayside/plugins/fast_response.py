"""Answer at once, without a model: refuse, apologise, or send people elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.prompt import Prompt


class FastResponseRule(Settings):
    """Example: ``{message: "I cannot help with that.", as: completion}``"""

    message: Annotated[str, Field(min_length=1, max_length=100_000)]
    """What is said."""
    as_: Literal["completion", "error"] = Field("completion", alias="as")
    """An ordinary answer (200), streamed where the client asked for a stream, or an error."""
    status: Annotated[int, Field(ge=400, le=599)] = 403
    """The HTTP status, for ``as: error`` and for requests that no words can answer
    (embeddings)."""
    code: Annotated[str, Field(min_length=1, max_length=100)] = "content_filter"
    """The error's ``code``, for programs."""

    @model_validator(mode="after")
    def _of_errors(self) -> FastResponseRule:
        if self.as_ == "completion" and self.model_fields_set & {"status", "code"}:
            raise ValueError("status and code belong to as: error; remove them, or say so")
        return self


@catalog.register("plugin", "fast_response", settings=FastResponseRule, stability="stable")
class FastResponsePlugin:
    """Answers with a message of its own; no model is asked."""

    answers = True
    """A decision with this plugin needs no model."""

    def __init__(self, rule: FastResponseRule) -> None:
        self._rule = rule

    def before(self, prompt: Prompt, draft: Draft) -> None:
        rule = self._rule
        refuse = rule.as_ == "error"
        draft.reply(
            rule.message,
            path="blocked" if refuse else "fast_response",
            refuse=refuse,
            status=rule.status,
            code=rule.code,
        )
