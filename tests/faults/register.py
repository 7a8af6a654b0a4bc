"""The register of forty faults: what comes, what is expected of it, and which test shows that.

Each clause of what is expected names the tests that show it (their ids below ``tests/``), or says
why it is not shown. ``docs/explanation/faults.md`` is made from it by ``scripts/generate.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "faults.md"


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of what is expected. ``shown`` are ids of tests; without any, ``reason`` says why
    nothing shows it. With both, the reason tells what the tests leave open."""

    expected: str
    shown: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """``number`` as in the list of forty; ``input`` is what comes."""

    number: int
    input: str
    clauses: tuple[Clause, ...] = field(default=())

    @property
    def prefix(self) -> str:
        """How the names of its own tests begin."""
        return f"test_fault_{self.number:02d}_"


def clause(expected: str, *shown: str, reason: str = "") -> Clause:
    return Clause(expected, shown, reason)


def faults() -> tuple[Fault, ...]:
    """All forty, in order."""
    from tests.faults import register_inside, register_outside, register_trust

    found = (*register_outside.FAULTS, *register_inside.FAULTS, *register_trust.FAULTS)
    return tuple(sorted(found, key=lambda fault: fault.number))


_HEAD = """\
<!-- Generated from tests/faults/register.py by scripts/generate.py. -->
# Forty faults

What a gateway of this kind has to survive, what Wayside does, and the test that shows it.
`make trust` runs them all and prints one table; `pytest tests/faults -k fault_07` runs one.
What is not shown, or is otherwise on purpose, says so.

"""


def page() -> str:
    lines = [_HEAD.rstrip(), ""]
    for fault in faults():
        lines += [f"## {fault.number}. {fault.input}", ""]
        for one in fault.clauses:
            tests = ", ".join(f"`{test}`" for test in one.shown)
            said = [tests] if tests else []
            said += [f"*{one.reason}*"] if one.reason else []
            lines.append(f"- {one.expected}: {'. '.join(said)}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
