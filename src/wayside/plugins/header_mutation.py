"""Change the headers of the request that goes upstream."""

from __future__ import annotations

from pydantic import field_validator

from wayside.catalog import catalog
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.headers import CREDENTIALS, header_name, header_value
from wayside.vocab.prompt import Prompt


def _name(value: str) -> str:
    low = header_name(value)
    if low in CREDENTIALS:
        raise ValueError(f"header {value!r} carries a key; give the model a credential instead")
    return low


class HeaderValue(Settings):
    """One header."""

    name: str
    value: str

    _check_name = field_validator("name")(_name)
    _check_value = field_validator("value")(header_value)


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
