"""The console: what people look at and change in a browser, behind a login, with roles.

Its pages are built from ``console/`` (TypeScript, React, Vite) into ``static/``, which is in the
repository and in the wheel, so that nobody needs Node to run it. Its data is JSON under
``/console/api``, of the shapes in ``console/src/api/types.ts``.
"""

from __future__ import annotations

from wayside.console.inside import Data, Inside, Who, note, who
from wayside.gateway.api import Endpoint

__all__ = ["Console", "Data", "Inside", "Who", "note", "who"]


def parts(inside: Inside) -> list[Data]:
    """Everything that has endpoints of its own; one line each. Those that change something say
    ``role="operator"`` or ``"admin"``, and are written into the audit."""
    return []


class Console:
    """The console of one router."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        self._parts = parts(inside)

    def endpoints(self) -> list[Endpoint]:
        """The data, without its login; paths are relative to ``/console/api``."""
        return [endpoint for part in self._parts for endpoint in part.endpoints()]
