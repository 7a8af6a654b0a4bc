"""Everything of the console's data that is only looked at, tried out, or kept beside the
configuration."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.cached import Cached
from wayside.console.costs import CostsData
from wayside.console.evaluations import Evaluations
from wayside.console.inside import Data, Inside
from wayside.console.line import Line
from wayside.console.live import Live
from wayside.console.models import ModelsData
from wayside.console.overview import OverviewData
from wayside.console.passed import Passing
from wayside.console.playground import Playground
from wayside.console.playing import Playing
from wayside.console.replays import ReplaysData
from wayside.gateway.api import ApiError, Endpoint


def data(inside: Inside) -> list[Data]:
    """Each part of it; from now on requests are watched."""
    passing = Passing(inside.telemetry, lambda: inside.runtime.policy)
    passing.watch()
    playing = Playing(inside)
    parts: list[Data] = [
        Live(inside, passing),
        OverviewData(inside, passing),
        Line(inside),
        ModelsData(inside, passing),
        CostsData(inside, passing),
        Playground(inside, playing),
        ReplaysData(inside, playing),
        Cached(inside),
        Evaluations(inside, playing.ready),
    ]
    if inside.maas is None:  # nothing of it is loaded
        return [*parts, _NoAccess()]
    from wayside.console.access import AccessData

    return [*parts, AccessData(inside)]


class _NoAccess:
    """In the place of people's keys and limits, where there are none."""

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/access", self._get, "Tiers, keys, and what was used."),
            Endpoint("POST", "/access/keys", self._get, "A key for a program.", role="admin"),
        ]

    async def _get(self, _: HttpRequest) -> Response:
        raise ApiError(404, "NO_MAAS", "this router has no maas, and asks nobody who they are")
