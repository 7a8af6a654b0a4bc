"""Medians, tables, and the verdict on every bar of the performance plan.

Takes the figures that compare.py collected; measures nothing itself. Tables are Markdown that
reads well as plain text, so that the terminal and the docs show the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

RUST = ("vllm-rr", "sglang-rr")
RUST_CACHE_AWARE = ("vllm-cache", "sglang-cache")
SHORT = ("short/16", "short/64")
SHORT_AND_MEDIUM = (*SHORT, "4k/16", "4k/64")


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything measured: ``rounds[target][cell]`` holds the load generator's lines."""

    rounds: dict[str, dict[str, list[dict[str, Any]]]]
    unavailable: dict[str, str]
    memory: dict[str, dict[str, float]]
    notes: dict[str, str]
    soak: dict[str, Any] | None = None

    def median(self, target: str, cell: str, what: str) -> float | None:
        values = [line[what] for line in self.rounds.get(target, {}).get(cell, [])]
        return statistics.median(values) if values else None

    def faults(self, target: str, cell: str) -> int:
        """Wrong and lost answers, over all rounds."""
        return sum(line["wrong"] + line["lost"] for line in self.rounds[target].get(cell, []))

    def best(self, targets: Iterable[str], cell: str, what: str = "rps") -> float | None:
        values = [self.median(target, cell, what) for target in targets]
        return max((v for v in values if v), default=None)

    def added_us(self, target: str, cell: str, what: str) -> float | None:
        """Latency over direct, paired within each round."""
        ours = self.rounds.get(target, {}).get(cell, [])
        direct = self.rounds.get("direct", {}).get(cell, [])
        pairs = [a[what] - b[what] for a, b in zip(ours, direct, strict=False)]
        return statistics.median(pairs) if pairs else None

    def absence(self, targets: Iterable[str]) -> str:
        missing = [t for t in targets if t in self.unavailable]
        if missing:
            return f"{', '.join(missing)} unavailable (see the notes)"
        return "not in this run"


# ---- tables --------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, prose: bool = False) -> str:
    """A Markdown table with aligned columns: numbers to the right, ``prose`` to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    left = [prose or i == 0 for i in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, widths, left, strict=True)
        return "| " + " | ".join(c.ljust(w) if at else c.rjust(w) for c, w, at in cells) + " |"

    rule = ["-" * w if at else "-" * (w - 1) + ":" for w, at in zip(widths, left, strict=True)]
    return "\n".join([line(header), "| " + " | ".join(rule) + " |", *map(line, rows)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _ratio(value: float | None, base: float | None) -> str:
    if value is None or not base:
        return "-"
    ratio = value / base
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def throughput(figures: Figures, cells: Sequence[str]) -> str:
    rows = []
    for target in figures.rounds:
        row = [target]
        for cell in cells:
            faults = figures.faults(target, cell)
            mark = f" ({faults} bad)" if faults else ""
            row.append(_number(figures.median(target, cell, "rps")) + mark)
        rows.append(row)
    return table(["requests/s", *cells], rows)


def per_cpu(figures: Figures, cells: Sequence[str]) -> str:
    rows = [
        [target, *(_number(figures.median(target, cell, "per_cpu_s") or None) for cell in cells)]
        for target in figures.rounds
        if target != "direct"
    ]
    return table(["requests/CPU s", *cells], rows)


def disturbance(figures: Figures) -> str:
    shares = [
        line["others"]
        for cells in figures.rounds.values()
        for lines in cells.values()
        for line in lines
    ]
    if not shares:
        return "Nothing was measured."
    middle, worst = statistics.median(shares), max(shares)
    return f"Other processes took {middle:.0%} of the machine (median; {worst:.0%} at worst)."


def ratios(figures: Figures, cells: Sequence[str]) -> str:
    bases = {cell: figures.best(RUST, cell) for cell in cells}
    rows = [
        [target, *(_ratio(figures.median(target, cell, "rps"), bases[cell]) for cell in cells)]
        for target in figures.rounds
    ]
    return table(["x Rust round_robin", *cells], rows)


def latencies(figures: Figures, cells: Sequence[str]) -> str:
    def pair(target: str, cell: str) -> str:
        p50 = figures.median(target, cell, "p50_us")
        return f"{_number(p50)}/{_number(figures.median(target, cell, 'p99_us'))}" if p50 else "-"

    rows = [[target, *(pair(target, cell) for cell in cells)] for target in figures.rounds]
    return table(["p50/p99 µs", *cells], rows)


def added(figures: Figures, cells: Sequence[str]) -> str:
    def pair(target: str, cell: str) -> str:
        p50 = figures.added_us(target, cell, "p50_us")
        p99 = figures.added_us(target, cell, "p99_us")
        return "-" if p50 is None else f"{_number(p50)}/{_number(p99)}"

    rows = [[target, *(pair(target, cell) for cell in cells)] for target in figures.rounds]
    return table(["added p50/p99 µs", *cells], rows)


def memory(figures: Figures) -> str:
    rows = [
        [
            target,
            *(f"{m[key]:.0f}" for key in ("idle_mb", "after_mb", "largest_mb")),
            f"{m['idle_cpu'] * 100:.1f}",
        ]
        for target, m in figures.memory.items()
    ]
    header = ["resident MB", "idle", "after load", "largest process", "idle CPU %"]
    return table(header, rows)


# ---- bars ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    bar: str
    need: str
    figure: str
    verdict: str
    by_cpu: str = ""
    """The same ratios per CPU second of the proxies: what a quiet machine would likely say."""


def _verdict(bar: str, need: str, figure: str, *, passed: bool) -> Verdict:
    return Verdict(bar, need, figure, "PASS" if passed else "FAIL")


def _faster(
    figures: Figures,
    bar: str,
    ours: str,
    factor: float,
    peers: Sequence[str],
    label: str,
    cells: Sequence[str],
) -> Verdict:
    """Ours does at least ``factor`` times what the best of ``peers`` does, in every cell."""
    need = f">= {factor:g} x {label}"
    found = _ratios(figures, ours, peers, cells, "rps")
    if not found:
        why = figures.absence([ours, *peers])
        return Verdict(bar, need, "-", f"not measured: {why}")
    text = _listed(found)
    bad = sum(figures.faults(ours, cell) for cell in cells)
    if bad:
        text += f"; {bad} wrong or lost answers"
    passed = min(found.values()) >= factor and not bad
    by_cpu = _listed(_ratios(figures, ours, peers, cells, "per_cpu_s"))
    return Verdict(bar, need, text, "PASS" if passed else "FAIL", by_cpu)


def _ratios(
    figures: Figures, ours: str, peers: Sequence[str], cells: Sequence[str], what: str
) -> dict[str, float]:
    found = {}
    for cell in cells:
        mine, theirs = figures.median(ours, cell, what), figures.best(peers, cell, what)
        if mine is not None and theirs:
            found[cell] = mine / theirs
    return found


def _listed(ratios: dict[str, float]) -> str:
    return ", ".join(f"{cell} {ratio:.2f}" for cell, ratio in ratios.items())


def _slower(
    figures: Figures, bar: str, ours: str, factor: float, peer: str, cell: str, what: str
) -> Verdict:
    """Ours adds at most ``factor`` times the latency over direct that ``peer`` adds."""
    need = f"<= {factor:g} x what {peer} adds"
    mine, theirs = figures.added_us(ours, cell, what), figures.added_us(peer, cell, what)
    if mine is None or theirs is None:
        why = figures.absence(["direct", ours, peer])
        return Verdict(bar, need, "-", f"not measured: {why}")
    text = f"{mine:.0f} µs, {peer} {theirs:.0f} µs"
    bad = figures.faults(ours, cell)
    if bad:
        text += f"; {bad} wrong or lost answers"
    return _verdict(bar, need, text, passed=mine <= factor * theirs and not bad)


def _resident(figures: Figures) -> list[Verdict]:
    bar, need = "resident memory per worker, built-in models", "<= 150 MB"
    found = figures.memory.get("wayside-domain")
    if found is None:
        why = figures.absence(["wayside-domain"])
        first = Verdict(bar, need, "-", f"not measured: {why}")
    else:
        mb = found["largest_mb"]
        first = _verdict(bar, need, f"{mb:.0f} MB", passed=mb <= 150)
    bar, need = "memory over the soak", "flat"
    if figures.soak is None:
        return [first, Verdict(bar, need, "-", "not measured: give --soak FILE of soak.py")]
    text = f"{figures.soak['slope_mb_h']:+.1f} MB/h over {figures.soak['minutes']:.0f} min"
    return [first, _verdict(bar, need, text, passed=figures.soak["verdict"] == "PASS")]


def _two_workers(figures: Figures) -> Verdict:
    bar, need = "two workers on two cores", "reported; near-linear per CPU second"
    texts = []
    for cell in SHORT:
        one, two = (figures.median(t, cell, "rps") for t in ("wayside-full", "wayside-full-2"))
        per = [figures.median(t, cell, "per_cpu_s") for t in ("wayside-full", "wayside-full-2")]
        if one and two and per[0] and per[1]:
            texts.append(
                f"{cell}: {two / one:.2f} x requests/s, {per[1] / per[0]:.2f} x per CPU second"
            )
    if not texts:
        why = figures.absence(["wayside-full", "wayside-full-2"])
        return Verdict(bar, need, "-", f"not measured: {why}")
    return Verdict(bar, need, "; ".join(texts), "reported")


def bars(f: Figures) -> list[Verdict]:
    """Every row of "Bars" in the performance plan, in its order."""
    through = "gateway, pass-through, short and medium"
    full = "gateway, full decision without a classifier"
    domain = "gateway, built-in domain and language signals, 250 characters"
    streams = "gateway, 16 streams, full decision"
    envoy, envoy_full = "Envoy path, pass-through", "Envoy path, full decision"
    noop, aio = ("envoy-noop",), ("envoy-grpcaio",)
    p250 = ("p250/16", "p250/64")
    ratio = _faster
    return [
        ratio(f, through, "wayside", 1.2, RUST, "Rust", SHORT_AND_MEDIUM),
        ratio(f, through, "wayside", 0.6, ("nginx",), "nginx", SHORT_AND_MEDIUM),
        ratio(f, full, "wayside-full", 0.8, RUST, "Rust", SHORT_AND_MEDIUM),
        ratio(
            f, full, "wayside-full", 1.5, RUST_CACHE_AWARE, "Rust cache_aware", SHORT_AND_MEDIUM
        ),
        ratio(f, full, "wayside-full", 200, ("litellm",), "LiteLLM", SHORT_AND_MEDIUM),
        ratio(f, domain, "wayside-domain", 0.4, RUST, "Rust", p250),
        ratio(f, domain, "wayside-domain", 100, ("litellm",), "LiteLLM", p250),
        ratio(f, "the same, 4 KB", "wayside-domain", 0.25, RUST, "Rust", ("4k/16", "4k/64")),
        ratio(f, streams, "wayside-full", 2, RUST, "Rust", ("stream/16",)),
        ratio(f, streams, "wayside-full", 1, ("envoy",), "Envoy", ("stream/16",)),
        ratio(f, envoy, "envoy-wayside", 0.75, noop, "C no-op", SHORT_AND_MEDIUM),
        ratio(f, envoy, "envoy-wayside", 8, aio, "grpc.aio no-op", SHORT_AND_MEDIUM),
        ratio(f, envoy_full, "envoy-wayside-full", 0.5, noop, "C no-op", SHORT_AND_MEDIUM),
        ratio(f, envoy_full, "envoy-wayside-full", 6, aio, "grpc.aio no-op", SHORT_AND_MEDIUM),
        _slower(f, "added p50 at 50/s, pass-through", "wayside", 1, "vllm-rr", "50/s", "p50_us"),
        _slower(
            f,
            "added p50 at 50/s, built-in signals",
            "wayside-domain",
            2,
            "vllm-rr",
            "50/s",
            "p50_us",
        ),
        _slower(
            f,
            "added p99 at 1,000/s, full decision",
            "wayside-full",
            2,
            "envoy",
            "1000/s",
            "p99_us",
        ),
        *_resident(f),
        _two_workers(f),
    ]


def everything(figures: Figures, machine: str) -> str:
    cells = list(dict.fromkeys(c for found in figures.rounds.values() for c in found))
    rates = [cell for cell in cells if cell.endswith("/s")]
    closed = [cell for cell in cells if cell not in rates]
    parts = [machine, disturbance(figures)]
    if closed:
        parts += [
            "## Requests/s (closed loop; size/connections)",
            throughput(figures, closed),
            "## Requests per CPU second of the proxy (less sensitive to a busy machine)",
            per_cpu(figures, closed),
            "## Latency under that load",
            latencies(figures, closed),
        ]
    if any(figures.best(RUST, cell) for cell in closed):
        title = "## Requests/s as a ratio to the better Rust router in round_robin"
        parts += [title, ratios(figures, closed)]
    if rates:
        parts += [
            "## Latency at a fixed rate (open loop, 250-character prompts)",
            latencies(figures, rates),
            "## Added over direct",
            added(figures, rates),
        ]
    parts += ["## Memory and idle processor", memory(figures)]
    lines = [f"- {name} unavailable: {why}" for name, why in figures.unavailable.items()]
    lines += [f"- {name}: {note}" for name, note in figures.notes.items()]
    if lines:
        parts += ["## Notes", "\n".join(lines)]
    rows = [[v.bar, v.need, v.verdict, v.figure, v.by_cpu] for v in bars(figures)]
    header = ["bar", "need", "verdict", "figure", "per CPU second"]
    parts += ["## Bars", table(header, rows, prose=True)]
    return "\n\n".join(parts)
