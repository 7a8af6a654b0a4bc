"""Whose requests go first where they have to wait. Looked up only when somebody has to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from wayside.settings.model import IdentitySettings
from wayside.settings.resilience import UrgencySettings

_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,3})\s*")


class Urgencies:
    """What a request's headers say of its urgency, where they can be believed."""

    __slots__ = ("_groups", "_groups_header", "_header")

    def __init__(
        self,
        settings: UrgencySettings | None = None,
        identity: IdentitySettings | None = None,
    ) -> None:
        settings, identity = settings or UrgencySettings(), identity or IdentitySettings()
        self._header = settings.header if identity.trusted else None
        self._groups = settings.groups
        self._groups_header = identity.groups_header.lower() if identity.trusted else None

    def of(
        self, headers: Mapping[str, str], decided: int, groups: Sequence[str] | None = None
    ) -> int:
        """From -100 to 100: the header's, else that of the most urgent group, else ``decided``.
        ``groups`` are those of a caller who proved them; no header names others then."""
        if self._header is not None:
            said = _NUMBER.fullmatch(headers.get(self._header, ""))
            if said is not None:
                return max(-100, min(100, int(said[1])))
        if self._groups:
            if groups is None and self._groups_header is not None:
                groups = headers.get(self._groups_header, "").split(",")
            found = [
                self._groups[n] for name in groups or () if (n := name.strip()) in self._groups
            ]
            if found:
                return max(found)
        return decided
