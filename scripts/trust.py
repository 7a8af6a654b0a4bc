"""Run the forty faults, the fuzz targets and the load scenarios, and print one table.

    scripts/trust.py                 # all of it
    scripts/trust.py faults -k 07    # one part, narrowed as pytest does
    scripts/trust.py --json          # for programs

A row is a fault, a fuzz target or a scenario: what is expected of it in a few words, how it went,
and how long it took. The status is 1 if any is red. All of the work is pytest's; this reads its
reports.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PARTS = {
    "faults": ("tests/faults",),
    "fuzz": ("tests/fuzz",),
    "load": ("tests/load", "-m", "load"),
}
"""What pytest is told for each part."""
ORDER = ("failed", "skipped", "passed")
"""The worst first: a row is as its worst test."""
COLOURS = {"failed": "31", "skipped": "33", "passed": "32"}


@dataclass(slots=True)
class Row:
    """One line of the table. ``figures`` are what the tests recorded."""

    part: str
    name: str
    expected: str
    result: str = "passed"
    seconds: float = 0.0
    tests: int = 0
    figures: dict[str, str] = field(default_factory=dict)
    why: str = ""
    """The first line of what went wrong, or of why it was skipped."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test, as pytest's report has it."""

    file: str
    name: str
    result: str
    seconds: float
    why: str
    figures: dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    args = _arguments(arguments)
    parts = [args.part] if args.part else list(PARTS)
    rows: list[Row] = []
    for part in parts:
        folder = ROOT / PARTS[part][0]
        if not folder.is_dir():
            rows.append(Row(part, part, "", "skipped", why=f"there is no {PARTS[part][0]}"))
            continue
        if not args.json:
            print(f"{part} ...", file=sys.stderr, flush=True)
        rows += gathered(part, ran(part, args.keyword))
    print(json.dumps([asdict(row) for row in rows], indent=2) if args.json else table(rows))
    return 1 if any(row.result == "failed" for row in rows) else 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=list(PARTS), help="all of them when absent")
    parser.add_argument("-k", dest="keyword", default="", help="only tests that this matches")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


def ran(part: str, keyword: str = "") -> list[Case]:
    """Run the tests of a part, and read what pytest reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0"]
        command += [*PARTS[part], f"--junitxml={report}", *(["-k", keyword] if keyword else [])]
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not report.is_file() or done.returncode not in (0, 1, 5):
            why = (done.stdout + done.stderr).strip().splitlines()[-1:]
            took = time.monotonic() - began
            return [Case("", part, "failed", took, "".join(why) or "pytest ended badly", {})]
        return cases(report.read_text("utf-8"))


def cases(report: str) -> list[Case]:
    """The tests of a report in JUnit's form, which pytest wrote."""
    found = []
    for case in ElementTree.fromstring(report).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error")]
        left = [child for child in case if child.tag == "skipped"]
        result = "failed" if bad else "skipped" if left else "passed"
        said = [*bad, *left]
        why = (said[0].get("message") or said[0].text or "") if said else ""
        figures = {
            p.get("name", ""): p.get("value", "") for p in case.iterfind("properties/property")
        }
        found.append(
            Case(
                file=case.get("classname", "").rpartition(".")[2],
                name=case.get("name", ""),
                result=result,
                seconds=float(case.get("time", 0)),
                why=why.strip().partition("\n")[0][:200],
                figures=figures,
            )
        )
    return found


def gathered(part: str, found: Iterable[Case]) -> list[Row]:
    """One row for each fault, target or scenario."""
    rows: dict[str, Row] = {}
    for case in found:
        name, expected = _told(part, case)
        row = rows.setdefault(name, Row(part, name, expected))
        row.tests += 1
        row.seconds += case.seconds
        row.figures |= case.figures
        if ORDER.index(case.result) < ORDER.index(row.result) and not (
            case.result == "skipped" and row.tests > 1
        ):
            row.result = case.result
        if case.why and (not row.why or case.result == "failed"):
            row.why = f"{case.name}: {case.why}"
    return [rows[name] for name in sorted(rows)]


def _told(part: str, case: Case) -> tuple[str, str]:
    """The row that a test belongs to, and what is expected there."""
    number = re.match(r"test_fault_(\d\d)_", case.name)
    if part == "faults" and number:
        return f"fault {number[1]}", _expected().get(int(number[1]), "")
    plain, _, parameter = case.name.removeprefix("test_").partition("[")
    if part == "fuzz" and parameter and "target_sees" not in plain:
        target = parameter.rstrip("]").partition("-")[0]
        return f"fuzz {target}", "no crash, no hang, no broken promise"
    words = plain.replace("_", " ")
    return (words, "") if part == "load" else (f"{part}: the rest", "")


def _expected() -> dict[int, str]:
    from tests.faults.register import faults

    return {fault.number: fault.clauses[0].expected for fault in faults()}


def table(rows: list[Row], *, colour: bool | None = None) -> str:
    """The rows for people: coloured on a terminal, plain in a pipe."""
    colour = sys.stdout.isatty() if colour is None else colour
    width = max((len(row.name) for row in rows), default=4)
    lines = []
    for row in rows:
        said = f"{row.result:7}"
        if colour:
            said = f"\033[{COLOURS[row.result]}m{said}\033[0m"
        figures = "  ".join(f"{name}={value}" for name, value in row.figures.items())
        expected = row.expected if len(row.expected) <= 60 else row.expected[:59] + "…"
        line = f"{row.name:{width}}  {said}  {row.seconds:6.1f} s  {expected or figures}"
        lines.append(line.rstrip())
        if figures and row.expected:
            lines.append(f"{'':{width}}  {figures}")
        if row.result != "passed" and row.why:
            lines.append(f"{'':{width}}  {row.why}")
    counts = {result: sum(row.result == result for row in rows) for result in ORDER}
    seconds = sum(row.seconds for row in rows)
    told = ", ".join(f"{n} {result}" for result, n in counts.items() if n)
    return "\n".join([*lines, "", f"{told or 'nothing ran'} in {seconds:.0f} s"])


if __name__ == "__main__":
    sys.exit(main())
