"""Who is asking: users and groups that a trusted proxy names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class AuthzSubject(Settings):
    """One user or group, as Kubernetes role bindings name them.

    Example: ``{kind: Group, name: platform-admins}``
    """

    kind: Literal["User", "Group"]
    """Which of the two headers is compared."""
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    """The whole name, exactly, case included."""


class AuthzRule(Settings):
    """Example: ``{subjects: [{kind: Group, name: admins}, {kind: User, name: alice}]}``"""

    needs_identity: ClassVar[bool] = True
    """Refused when the configuration is compiled unless ``identity.trusted``."""

    subjects: Annotated[tuple[AuthzSubject, ...], Field(min_length=1)]
    """The rule matches when one of them is asking."""


@catalog.register("signal", "authz", settings=AuthzRule, stability="beta")
class AuthzSignal:
    """Matches when a user or a member of a group is asking."""

    def __init__(self, rules: Mapping[str, AuthzRule]) -> None:
        self._rules = [
            (
                name,
                frozenset(s.name for s in rule.subjects if s.kind == "User"),
                frozenset(s.name for s in rule.subjects if s.kind == "Group"),
            )
            for name, rule in rules.items()
        ]

    def read(self, prompt: Prompt) -> Reading:
        user, groups = prompt.user, prompt.groups
        if not user and not groups:
            return {}
        reading = {}
        for name, users, wanted in self._rules:
            if user in users:
                reading[name] = Verdict(True, 1.0, f"user {user[:200]!r}")
                continue
            member = [group for group in groups if group in wanted]
            if member:
                reading[name] = Verdict(True, 1.0, f"group {member[0][:200]!r}")
        return reading
