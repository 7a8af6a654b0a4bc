"""What is kept of OpenAI's Responses API."""

from __future__ import annotations

from typing import Annotated

from pydantic import PositiveFloat, PositiveInt

from wayside.settings.base import Settings, StoreName, StoreOf


class ResponsesSettings(Settings):
    """Answers of ``/v1/responses`` are kept for those who asked, so that the next request can
    name them in ``previous_response_id``.

    Example: ``{store: disk, ttl_s: 86400}``
    """

    enabled: bool = True
    """Whether any are kept. Without, a request that says ``store: true`` or refers to an earlier
    response is refused, and one that does not say is answered and forgotten."""
    store: Annotated[StoreName, StoreOf("documents")] = "memory"
    """Where they are kept. ``memory`` belongs to one process: several workers or replicas need a
    store that they share."""
    ttl_s: PositiveFloat = 2_592_000.0
    """How long; 30 days, as at OpenAI."""
    max_turns: PositiveInt = 200
    """The most responses that one conversation may follow; each is a question to the store."""
    max_bytes: PositiveInt = 16 << 20
    """The most that one conversation may hold, earlier responses and the request together."""
