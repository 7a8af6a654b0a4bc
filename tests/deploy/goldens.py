"""What a target has to be told where there is no cluster to ask."""

from __future__ import annotations

_TOLD = {
    "maas-dual-gateway": {"domain": "apps.example.com"},
    "maas-single-gateway": {"domain": "apps.example.com"},
}


def told(target: str) -> dict[str, str]:
    """Of ``--set``, for rendering the target's example."""
    return dict(_TOLD.get(target, {}))
