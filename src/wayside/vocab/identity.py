"""Who is asking, as a proxy in front of the router says in headers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from wayside.vocab.access import Caller
from wayside.vocab.prompt import Prompt


class Identity(msgspec.Struct, frozen=True):
    """The lower-case names of the headers, and whether what they say is believed.

    Whoever can set them can be anybody. They are believed only where the configuration says that
    a proxy sets or removes them on every request; otherwise they are as if they were not there.
    """

    user: str = "x-authz-user-id"
    groups: str = "x-authz-user-groups"
    team: str = "x-authz-team-id"
    tenant: str = "x-authz-tenant-id"
    trusted: bool = False
    upstream: bool = False

    @property
    def removed(self) -> tuple[str, ...]:
        """Header names that do not go upstream, in both spellings that servers may read."""
        if self.trusted and self.upstream:
            return ()
        names = (self.user, self.groups, self.team, self.tenant)
        return tuple(dict.fromkeys([*names, *(name.replace("-", "_") for name in names)]))

    def told(
        self, prompt: Prompt, headers: Mapping[str, str], caller: Caller | None = None
    ) -> Prompt:
        """``prompt`` with the user, the groups, the team and the tenant that ``headers`` name, or
        those of a ``caller`` who proved them: then no header says anything.

        Groups are listed with commas; a header sent twice is one list.
        """
        if caller is not None:
            return msgspec.structs.replace(
                prompt, user=caller.user, groups=caller.groups, team="", tenant=caller.tenant
            )
        if not self.trusted:
            return prompt
        user = headers.get(self.user, "").strip()
        groups = [group.strip() for group in headers.get(self.groups, "").split(",")]
        team, tenant = (headers.get(name, "").strip() for name in (self.team, self.tenant))
        if not (user or team or tenant or any(groups)):
            return prompt
        return msgspec.structs.replace(
            prompt, user=user, groups=tuple(filter(None, groups)), team=team, tenant=tenant
        )


NOBODY = Identity()
"""Believes nothing; the default."""
