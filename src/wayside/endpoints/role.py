"""Keep servers that do a stage of the work: encode, prefill, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster
from wayside.vocab.roles import ROLE_LABEL, stages

Role = Literal[
    "prefill",
    "decode",
    "encode",
    "prefill-decode",
    "encode-prefill",
    "encode-decode",
    "encode-prefill-decode",
    "both",
]


class RoleRule(Settings):
    """Example: ``{role: prefill}``"""

    role: Role
    """The stages that a server must do, with hyphens between; `both` is `prefill-decode`."""
    label: str = ROLE_LABEL
    """Of servers: where theirs are written, in the same way."""
    unlabelled: bool | None = None
    """Whether servers without the label stay. Where nothing is said they do if `role` has decode:
    a server that was given no role does the whole work."""


@catalog.register("filter", "role", settings=RoleRule, stability="beta")
class RoleFilter:
    """Keeps servers that do a stage of the work, or several: encode, prefill, decode.

    (llm-d's ``decode-filter``, ``prefill-filter`` and ``encode-filter``, spec 3.4 and 4.3.)
    """

    steady = True

    def __init__(self, rule: RoleRule) -> None:
        self._wanted = stages(rule.role)
        self._label = rule.label
        if rule.unlabelled is None:
            self._unlabelled = "decode" in self._wanted
        else:
            self._unlabelled = rule.unlabelled

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        said = [e.labels.get(self._label) for e in roster.endpoints]
        able = {
            role: self._wanted <= stages(role) if role else self._unlabelled for role in set(said)
        }
        return [i for i, role in enumerate(said) if able[role]]
