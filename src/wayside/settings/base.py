"""What every settings class is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wayside.settings.described import Described

Name = Annotated[str, Field(min_length=1, max_length=256)]


class Settings(Described):
    """Base of every settings class: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


Capability = Literal["cache", "documents", "search", "index"]
"""What a store can do: hold answers to be found again, keep documents by key, find passages by
meaning (``search``), and take them in (``index``)."""


class StoreOf:
    """Marks a settings field as the name of a store that does ``capability``; checked on load."""

    __slots__ = ("capability",)

    def __init__(self, capability: Capability) -> None:
        self.capability: Capability = capability


StoreName = Annotated[str, Field(min_length=1, max_length=256)]
"""``memory``, or a key of ``stores``; write ``Annotated[StoreName, StoreOf(capability)]``."""
