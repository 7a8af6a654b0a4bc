"""Change the headers of the request that goes upstream."""

from __future__ import annotations

import re

from pydantic import field_validator

from wayside.catalog import catalog
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.headers import HOP_BY_HOP, is_internal
from wayside.vocab.prompt import Prompt

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = HOP_BY_HOP | {"host", "content-length", "authorization"}


def _name(value: str) -> str:
    low = value.lower()
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name")
    if low in _FORBIDDEN or is_internal(low):
        raise ValueError(f"header {value!r} is the router's own; it cannot be changed here")
    return low


class HeaderValue(Settings):
    """One header."""

    name: str
    value: str

    _check_name = field_validator("name")(_name)

    @field_validator("value")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError("a header value is printable ASCII on one line")
        return value


class HeaderMutationRule(Settings):
    """Example: ``{add: [{name: x-tenant, value: blue}], delete: [x-legacy]}``"""

    add: tuple[HeaderValue, ...] = ()
    """Set unless the client sent one."""
    update: tuple[HeaderValue, ...] = ()
    """Set, whatever the client sent."""
    delete: tuple[str, ...] = ()
    """Removed before the request goes upstream."""

    @field_validator("delete")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_name(v) for v in value)


@catalog.register("plugin", "header_mutation", settings=HeaderMutationRule, stability="stable")
class HeaderMutationPlugin:
    """Adds, overwrites and removes headers of the request that goes upstream."""

    def __init__(self, rule: HeaderMutationRule) -> None:
        self._add = tuple((h.name, h.value) for h in rule.add)
        self._update = tuple((h.name, h.value) for h in rule.update)
        self._delete = rule.delete

    def before(self, prompt: Prompt, draft: Draft) -> None:
        for name, value in self._add:
            if name not in prompt.headers:
                draft.set[name] = value
        draft.set.update(self._update)
        draft.removed.extend(self._delete)
