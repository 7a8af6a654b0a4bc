"""How busy the machine is, as Linux tells it in ``/proc`` (proc(5)). Nothing elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from wayside.telemetry.metrics import Labels, Metrics

Readings = list[tuple[Labels, float]]


class Machine:
    """Shares of the whole machine, in percent."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before = self._ticks()

    def cpu(self) -> float | None:
        """Of all processors' time since this was last asked, what was not idle."""
        now, before = self._ticks(), self._before
        self._before = now
        if now is None or before is None or now[0] <= before[0]:
            return None
        return 100.0 * (1 - (now[1] - before[1]) / (now[0] - before[0]))

    def memory(self) -> float | None:
        """What is not available."""
        found: dict[str, int] = {}
        with suppress(OSError, ValueError, IndexError):
            for line in (self._proc / "meminfo").read_text().splitlines():
                name, _, rest = line.partition(":")
                found[name] = int(rest.split()[0])
        total, free = found.get("MemTotal"), found.get("MemAvailable")
        return None if not total or free is None else 100.0 * (total - free) / total

    def disk(self) -> float | None:
        """Of the root file system, as ``df`` counts it."""
        with suppress(OSError, AttributeError, ZeroDivisionError):
            found = os.statvfs("/")
            used = found.f_blocks - found.f_bfree
            return 100.0 * used / (used + found.f_bavail)
        return None

    def show(self, metrics: Metrics) -> None:
        """Declare the three gauges under the names that production-stack gives them."""
        metrics.gauge(
            "router_cpu_usage_percent",
            "Processor time in use on this machine since the last scrape.",
            read=lambda: _reading(self.cpu()),
        )
        metrics.gauge(
            "router_memory_usage_percent",
            "Memory in use on this machine.",
            read=lambda: _reading(self.memory()),
        )
        metrics.gauge(
            "router_disk_usage_percent",
            "Disk space in use on this machine.",
            read=lambda: _reading(self.disk()),
        )

    def _ticks(self) -> tuple[int, int] | None:
        """All ticks so far, and the idle ones among them (idle and iowait)."""
        try:
            with (self._proc / "stat").open() as lines:
                ticks = [int(word) for word in lines.readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        return (sum(ticks), ticks[3] + ticks[4]) if len(ticks) >= 5 else None


def _reading(value: float | None) -> Readings:
    return [] if value is None else [((), value)]
