"""Everything of the console's data that is only looked at, tried out, or kept beside the
configuration."""

from __future__ import annotations

from wayside.console.access import AccessData
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


def data(inside: Inside) -> list[Data]:
    """Each part of it; from now on requests are watched."""
    passing = Passing(inside.telemetry, lambda: inside.runtime.policy)
    passing.watch()
    playing = Playing(inside)
    return [
        Live(inside, passing),
        OverviewData(inside, passing),
        Line(inside),
        ModelsData(inside, passing),
        CostsData(inside, passing),
        Playground(inside, playing),
        ReplaysData(inside, playing),
        Cached(inside),
        AccessData(inside),
        Evaluations(inside, playing.ready),
    ]
