"""The figures as a picture: one panel per scenario, time to the first token, plain SVG."""

from __future__ import annotations

from html import escape
from math import log10

from picking.report import Table

_WIDTH, _LABEL, _PLOT, _RIGHT = 900, 150, 560, 190
_ROW, _HEAD, _GAP = 17, 44, 18
_LOW, _HIGH = 0.03, 20.0

_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.small { fill: #57606a; font-size: 10px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.peer { fill: #8c959f } .ours { fill: #54aeff } .judged { fill: #0969da }
.spread { stroke: #24292f; stroke-width: 1 }
.dot { fill: #ffffff; stroke: #24292f }
.strong { font-weight: 700 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
  .peer { fill: #6e7681 } .ours { fill: #388bfd } .judged { fill: #79c0ff }
  .spread { stroke: #e6edf3 } .dot { fill: #0d1117; stroke: #e6edf3 }
}
"""


def _x(seconds: float) -> float:
    """A time's place on the logarithmic axis."""
    share = log10(max(_LOW, min(_HIGH, seconds)) / _LOW) / log10(_HIGH / _LOW)
    return _LABEL + share * _PLOT


def picture(table: Table, judged: str) -> str:
    """Bars are the 90th percentile, dots the median, lines the spread over the repeats."""
    parts: list[str] = []
    y = 8
    for scenario in table.scenarios:
        routers = table.routers(scenario)
        parts.append(f'<text class="title" x="8" y="{y + 14}">{escape(scenario)}</text>')
        bottom = y + _HEAD + _ROW * len(routers)
        for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10):
            x = _x(tick)
            label = f"{tick:g} s" if tick >= 1 else f"{tick * 1000:.0f} ms"
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{y + _HEAD - 6}" '
                f'y2="{bottom}"/><text class="small" text-anchor="middle" x="{x:.1f}" '
                f'y="{y + _HEAD - 10}">{label}</text>'
            )
        for row, router in enumerate(routers):
            parts += _row(table, scenario, router, judged, y + _HEAD + row * _ROW)
        y = bottom + _GAP
    title = "Time to the first token by router and scenario"
    legend = (
        f'<text class="small" x="8" y="{y + 8}">Bar: 90th percentile, logarithmic. Dot: median. '
        "Line: least and most of the repeats. Right: hit rate of the prefix caches, requests/s, "
        "errors.</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 20}" '
        f'width="{_WIDTH}" height="{y + 20}" role="img" aria-label="{title}">'
        f"<title>{title}</title><style>{_STYLE}</style>\n"
        + "\n".join([*parts, legend])
        + "</svg>\n"
    )


def _row(table: Table, scenario: str, router: str, judged: str, y: int) -> list[str]:
    p90 = table.spread(scenario, router, "p90, ms")
    p50 = table.spread(scenario, router, "first token p50, ms").middle
    hit = table.spread(scenario, router, "hit rate").middle
    rate = table.spread(scenario, router, "requests/s").middle
    errors = table.spread(scenario, router, "errors").middle
    kind = "judged" if router == judged else "ours" if router.startswith("wayside") else "peer"
    strong = ' class="strong"' if router == judged else ""
    middle = y + _ROW / 2
    said = f"{hit:.0%} · {rate:.1f}/s" + (f" · {errors:.0f} errors" if errors else "")
    return [
        f'<text{strong} text-anchor="end" x="{_LABEL - 8}" y="{y + 12}">{escape(router)}</text>',
        f'<rect class="{kind}" x="{_LABEL}" y="{y + 2}" rx="2" '
        f'width="{max(1.0, _x(p90.middle) - _LABEL):.1f}" height="{_ROW - 4}"/>',
        f'<line class="spread" x1="{_x(p90.low):.1f}" x2="{_x(p90.high):.1f}" '
        f'y1="{middle}" y2="{middle}"/>',
        f'<circle class="dot" cx="{_x(p50):.1f}" cy="{middle}" r="3"/>',
        f'<text class="small" x="{_WIDTH - _RIGHT + 10}" y="{y + 12}">{said}</text>',
    ]
