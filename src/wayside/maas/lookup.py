"""``POST /v1/tiers/lookup``: which tier some groups are in, as Authorino asks it."""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.maas.tiers import Tiers

MAX_GROUPS = 1000


def looked_up(tiers: Tiers, raw: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the body for ``{"groups": [...]}``."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _bad("not JSON")
    groups = found.get("groups") if isinstance(found, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        return _bad("groups: a list of names is wanted")
    if not 1 <= len(groups) <= MAX_GROUPS:
        return _bad(f"groups: from 1 to {MAX_GROUPS} names are wanted")
    tier = tiers.lookup(groups)
    if tier is None:
        said = " ".join(groups)[:500]
        message = f"group groups [{said}] not found in any tier"
        return 404, {"error": "not_found", "message": message}
    return 200, {"tier": tier.name, "displayName": tier.display_name}


def _bad(why: str) -> tuple[int, dict[str, Any]]:
    return 400, {"error": "bad_request", "message": f"invalid request body: {why}"}
