"""Which small model proposes tokens for a model: told, so that nobody routes to it by mistake."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from wayside.settings.base import Name, Settings


class SpeculativeSettings(Settings):
    """Its servers decode speculatively: a draft proposes tokens, the model itself decides.

    The pair is one model, the target's: a request that names the draft goes to the target and is
    reported as the target's, and decisions cannot choose the draft.

    Example: ``{draft: llama-3.2-1b, tokens: 5}``
    """

    draft: Name | None = None
    """The model that proposes; none for methods without one."""
    method: Literal["draft", "ngram", "mlp", "eagle"] = "draft"
    """How tokens are proposed; told in `/v1/models`."""
    tokens: PositiveInt | None = None
    """Proposed at once; told in `/v1/models`."""
