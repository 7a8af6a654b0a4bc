"""A report as one HTML page: figures, plots drawn as SVG, tables. Light or dark as the reader is.

The page stands alone: no script, no font, no request to anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from wayside.engines.report import BINS, Report

_SIDE: Final = 260  # inner width and height of a plot, in SVG units
_PAD: Final = 38


def as_html(found: Report) -> str:
    """The whole page."""
    plots = [_figure("How far its confidence can be believed", _reliability(found), _BELIEVED)]
    plots.append(_figure("What a threshold leaves", _thresholds(found), _LEFT))
    if found.roc is not None:
        note = ", ".join(f"{r:.1%} at {rate:.1%}" for rate, r in found.roc.recall_at)
        plots.append(
            _figure(
                f"As a detector of {found.roc.positive}",
                _roc(found),
                f"Area {found.roc.auc:.3f}; recall {note} false positives.",
            )
        )
    name = escape(found.name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{_STYLE}</style></head><body>'
        f"<h1>{name}</h1>{_tiles(found)}<div class=plots>{''.join(plots)}</div>"
        f"<h2>By label</h2>{_labels(found)}"
        f"<h2>What is taken for what</h2>{_confusion(found)}"
        f"<div class=parts>{''.join(_parts(found))}</div>{_worst(found)}</body></html>\n"
    )


def _tiles(found: Report) -> str:
    tiles = (
        (f"{found.accuracy:.1%}", "right"),
        (f"{found.macro_f1:.3f}", "macro F1"),
        (f"{found.ece:.3f}", "calibration error"),
        (f"{found.us_median:,.0f} µs", "a prompt, median"),
        (f"{found.rows:,}", "rows"),
    )
    cells = "".join(f"<div><b>{value}</b><span>{what}</span></div>" for value, what in tiles)
    return f"<div class=tiles>{cells}</div>"


def _figure(title: str, plot: str, note: str) -> str:
    return (
        f"<figure><h2>{escape(title)}</h2>{plot}<figcaption>{escape(note)}</figcaption></figure>"
    )


def _frame(content: str, across: str, up: str) -> str:
    """Axes from 0 to 1 in both directions, with ``content`` inside."""
    whole = _SIDE + 2 * _PAD
    lines = []
    for i in range(6):
        at = i / 5
        x, y = _x(at), _y(at)
        lines.append(
            f'<line class=grid x1="{x}" y1="{_y(0)}" x2="{x}" y2="{_y(1)}"/>'
            f'<line class=grid x1="{_x(0)}" y1="{y}" x2="{_x(1)}" y2="{y}"/>'
            f'<text x="{x}" y="{_y(0) + 15}" text-anchor="middle">{at:.1f}</text>'
            f'<text x="{_x(0) - 6}" y="{y + 4}" text-anchor="end">{at:.1f}</text>'
        )
    middle = _PAD + _SIDE / 2
    return (
        f'<svg viewBox="0 0 {whole} {whole}" role="img" aria-label="{across} against {up}">'
        f"{''.join(lines)}{content}"
        f'<text x="{middle}" y="{whole - 4}" text-anchor="middle">{across}</text>'
        f'<text x="11" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 11 {middle})">{up}</text></svg>'
    )


def _reliability(found: Report) -> str:
    """A bar a bin at its accuracy, a dot at what it said, the diagonal of perfect honesty."""
    most = max(b.rows for b in found.reliability) or 1
    marks = [f'<line class=ideal x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>']
    width = _SIDE / BINS - 3
    for b in found.reliability:
        if b.rows:
            fade = 0.35 + 0.65 * b.rows / most
            marks.append(
                f'<rect class=bar x="{_x(b.low) + 1.5:.1f}" y="{_y(b.accuracy):.1f}" '
                f'width="{width:.1f}" height="{_y(0) - _y(b.accuracy):.1f}" opacity="{fade:.2f}">'
                f"<title>{b.rows} rows: said {b.confidence:.2f}, right {b.accuracy:.2f}</title>"
                f'</rect><circle class=dot cx="{_x(b.confidence):.1f}" '
                f'cy="{_y(b.accuracy):.1f}" r="3.5"/>'
            )
    return _frame("".join(marks), "confidence", "right")


def _thresholds(found: Report) -> str:
    points = [(t.threshold, t.coverage, t.precision) for t in found.thresholds]
    held = [(t, c, p) for t, c, p in points if c]
    return _frame(
        _line("second", [(t, c) for t, c, _ in points])
        + _line("first", [(t, p) for t, _, p in held]),
        "threshold",
        "share",
    )


def _roc(found: Report) -> str:
    assert found.roc is not None
    diagonal = f'<line class=ideal x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    return _frame(
        diagonal + _line("first", _thinned(found.roc.curve)), "false positives", "recall"
    )


def _thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most some 500 of the points, the last one among them: more cannot be seen."""
    step = max(1, len(curve) // 500)
    return [*curve[::step], curve[-1]]


def _line(kind: str, points: Iterable[tuple[float, float]]) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class={kind} points="{path}"/>'


def _x(share: float) -> float:
    return _PAD + share * _SIDE


def _y(share: float) -> float:
    return _PAD + (1 - share) * _SIDE


def _labels(found: Report) -> str:
    rows = "".join(
        f"<tr><th>{escape(one.label)}</th><td>{one.precision:.3f}</td><td>{one.recall:.3f}</td>"
        f"<td class=meter><i style='width:{one.f1:.1%}'></i><span>{one.f1:.3f}</span></td>"
        f"<td>{one.rows:,}</td></tr>"
        for one in found.labels
    )
    head = "<tr><th></th><th>precision</th><th>recall</th><th>F1</th><th>rows</th></tr>"
    return f"<div class=wide><table>{head}{rows}</table></div>"


def _confusion(found: Report) -> str:
    """Rows are the true labels; a cell is as dark as its share of its row."""
    head = "".join(f"<th class=up><span>{escape(one.label)}</span></th>" for one in found.labels)
    lines = []
    for i, (one, row) in enumerate(zip(found.labels, found.confusion, strict=True)):
        whole = sum(row) or 1
        cells = "".join(
            f"<td class={'hit' if i == j else 'miss'} style='--s:{count / whole:.2f}'>"
            f"{count or ''}</td>"
            for j, count in enumerate(row)
        )
        lines.append(f"<tr><th>{escape(one.label)}</th>{cells}</tr>")
    return (
        f"<p class=note>{_TAKEN}</p>"
        f"<div class=wide><table><tr><th></th>{head}</tr>{''.join(lines)}</table></div>"
    )


def _parts(found: Report) -> Iterable[str]:
    for what, parts in found.parts:
        rows = "".join(
            f"<tr><th>{escape(p.name)}</th>"
            f"<td class=meter><i style='width:{p.accuracy:.1%}'></i>"
            f"<span>{p.accuracy:.3f}</span></td><td>{p.rows:,}</td></tr>"
            for p in parts
        )
        yield (
            f"<section><h2>By {escape(_CALLED.get(what, what))}</h2><div class=wide><table>"
            f"<tr><th></th><th>right</th><th>rows</th></tr>{rows}</table></div></section>"
        )


def _worst(found: Report) -> str:
    if not found.worst:
        return ""
    rows = "".join(
        f"<tr><td class=text>{escape(_shown(a.example.text))}</td>"
        f"<td class=name data-of=is>{escape(a.example.label)}</td>"
        f"<td class=name data-of=given>{escape(a.given)}</td>"
        f"<td data-of=sure>{a.confidence:.2f}</td></tr>"
        for a in found.worst
    )
    head = "<tr><th>text</th><th class=name>is</th><th class=name>given</th><th>sure</th></tr>"
    return (
        f"<h2>Its surest mistakes</h2><div class=wide><table class=told>{head}{rows}</table></div>"
    )


def _shown(text: str) -> str:
    """The beginning of a text, without half surrogates, which no file can hold."""
    return text[:240].encode("utf-8", "replace").decode()


_BELIEVED: Final = (
    "Bars are how often it was right, dots where it said it would be; on the line it is honest. "
    "Paler bars have fewer rows."
)
_TAKEN: Final = (
    "Rows are the true labels, columns the given ones; stronger is a larger share of its row."
)
_CALLED: Final = {"lang": "language"}
_LEFT: Final = "Solid: right, of the answers at or above the threshold. Dashed: share of answers."
_STYLE: Final = """
:root{--ink:#1d2330;--dim:#667085;--paper:#fbfbfd;--card:#fff;--line:#e3e6ec;
--a:#3661d8;--b:#d9782d}
@media(prefers-color-scheme:dark){
:root{--ink:#e7eaf0;--dim:#98a1b3;--paper:#14171e;--card:#1b1f29;
--line:#2d3340;--a:#7ea0ff;--b:#f0a062}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:32px 20px 64px;background:var(--paper);
color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0 0 20px}h2{font-size:16px;margin:36px 0 10px}
.tiles{display:flex;flex-wrap:wrap;gap:12px}
.tiles div{flex:1 1 130px;padding:14px 16px;border:1px solid var(--line);border-radius:10px;
background:var(--card)}
.tiles b{display:block;font-size:24px;font-variant-numeric:tabular-nums}
figcaption{margin-top:8px}
.tiles span,figcaption,.note{color:var(--dim);font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:12px;
margin-top:12px}
figure{margin:0;padding:14px 16px;border:1px solid var(--line);border-radius:10px;
background:var(--card)}
figure h2{margin:0 0 4px}svg{width:100%;max-width:380px;height:auto;display:block;margin:auto}
svg text{fill:var(--dim);font-size:11px}
.grid{stroke:var(--line)}.ideal{stroke:var(--dim);stroke-dasharray:3 4}
.bar{fill:var(--a)}.dot{fill:var(--b);stroke:var(--card)}
polyline{fill:none;stroke-width:2.2}.first{stroke:var(--a)}
.second{stroke:var(--b);stroke-dasharray:6 4}
.wide{overflow-x:auto}.note{margin:0 0 8px}
.parts{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:0 24px}
table{border-collapse:collapse;background:var(--card);border:1px solid var(--line);
font-variant-numeric:tabular-nums}
td,th{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;font-weight:400}
th:first-child,td.text{text-align:left;font-weight:500}
td.text{min-width:13em;max-width:560px;font-weight:400;overflow-wrap:anywhere}
td.name,th.name{text-align:left;min-width:7.5em;overflow-wrap:anywhere}
.meter{position:relative;min-width:120px}tr:last-child>*{border-bottom:0}
.meter i{position:absolute;left:0;top:4px;bottom:4px;background:var(--a);opacity:.25;
border-radius:3px}
.meter span{position:relative}
.up span{writing-mode:vertical-rl;transform:rotate(180deg);color:var(--dim)}
@media(max-width:600px){
.told,.told tbody,.told tr,.told td.text{display:block}.told tr:first-child{display:none}
.told tr{padding:6px 0;border-bottom:1px solid var(--line)}.told td{border:0;padding:2px 10px}
.told td[data-of]{display:block;text-align:left;color:var(--dim);font-size:13px}
.told td[data-of]::before{content:attr(data-of) " "}}
td.hit{background:color-mix(in srgb,var(--a) calc(var(--s)*50%),transparent)}
td.miss{background:color-mix(in srgb,var(--b) calc(var(--s)*50%),transparent)}
"""
