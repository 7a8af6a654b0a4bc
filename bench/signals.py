"""What each signal costs at each length of prompt, its engines included; writes the page of it.

.venv/bin/python bench/signals.py            print the table
.venv/bin/python bench/signals.py --write    and write docs/explanation/signal-costs.md

One rule a kind: the ``Example`` of its settings. Time is processor time of one thread, the best of
several rounds, so that what else the machine does counts little. Engines that are not built in
are not measured here (see bench/engines.py).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import itertools
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wayside.catalog import Kind, catalog
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "signal-costs.md"
LENGTHS = (20, 250, 1_000, 4_000, 16_000, 64_000, 1_000_000)
SENTENCES = (
    "Could you explain why the deployment of our billing service fails after the last upgrade? ",
    "The log says that connection 4471 was refused at 10:32, and nothing else of use. ",
    "My colleague thinks that it is the certificate; I doubt it, as it was renewed in March. ",
    "Please list the three likeliest causes, then say how to tell them apart, step by step. ",
)
"""Ordinary prose with a question, some numbers and no personal data."""


def prompt(length: int, start: int = 0) -> Prompt:
    """A conversation of three turns whose last has ``length`` characters."""
    whole = "".join((*SENTENCES[start:], *SENTENCES[:start]))
    text = (whole * (length // len(whole) + 1))[:length]
    turns = (
        Message("user", "Our billing service does not start."),
        Message("assistant", "Which version did you upgrade to?"),
        Message("user", text),
    )
    return Prompt(
        model="auto",
        messages=turns,
        question=text,
        tokens=estimate_tokens([turn.text for turn in turns]),
        headers={"x-authz-user-id": "ada", "x-authz-user-groups": "staff"},
    )


def signals() -> Iterator[tuple[Kind, str, Any]]:
    """Every kind, its example, and a signal of it."""
    for kind in catalog.family("signal"):
        found = re.search(r"Example: ``(.+?)``", kind.settings.__doc__ or "", re.S)
        assert found, kind.name
        rule = kind.settings.model_validate(yaml.safe_load(found[1]))
        yield kind, found[1], kind.build({"it": rule})


def cost_us(
    runtime: Runtime,
    signal: Any,
    prompts: list[Prompt],
    budget_s: float,
    loop: asyncio.AbstractEventLoop,
) -> float:
    """Processor microseconds of one reading: the least of the rounds that fit the budget.

    ``prompts`` take turns, so that no engine remembers the last text.
    """
    turns = itertools.cycle(prompts)

    async def later(flow: Any) -> None:
        found = runtime.drive(flow)
        if inspect.isawaitable(found):
            await found

    def once() -> None:
        asked = next(turns)
        found = signal.read(asked)
        if not hasattr(found, "send"):
            return
        if len(asked.question) > 4_000:  # may go to another thread
            loop.run_until_complete(later(found))
        else:
            runtime.drive(found)

    began = time.perf_counter()
    once()
    first = time.perf_counter() - began
    times = max(1, min(2_000, int(0.02 / max(first, 1e-7))))
    best = float("inf")
    until = time.perf_counter() + budget_s
    while True:
        start = time.process_time()
        for _ in range(times):
            once()
        best = min(best, (time.process_time() - start) / times)
        if time.perf_counter() > until:
            return best * 1e6


def table(budget_s: float) -> tuple[list[str], list[str]]:
    policy = compile_policy(
        RouterSettings.model_validate({"models": {"m": {"endpoints": ["h:1"]}}})
    )
    runtime = Runtime(policy, Engines().answerers())
    prompts = [[prompt(length, start) for start in range(4)] for length in LENGTHS]
    loop = asyncio.new_event_loop()
    heads = " | ".join(f"{length:,}" for length in LENGTHS)
    lines = [f"| signal | {heads} | its rule |", "|---|" + "--:|" * len(LENGTHS) + "---|"]
    failed = []
    gc.disable()
    for kind, example, signal in signals():
        try:
            costs = [cost_us(runtime, signal, asked, budget_s, loop) for asked in prompts]
        except AskFailed as error:
            failed.append(f"{kind.name}: {error}")
            continue
        cells = " | ".join(_figure(cost) for cost in costs)
        page = f"../reference/signals/{kind.name}.md"
        rule = example.replace("|", "\\|")
        lines.append(f"| [`{kind.name}`]({page}) | {cells} | `{rule}` |")
        print(f"{kind.name:<18}" + "".join(f"{_figure(cost):>10}" for cost in costs))
        sys.stdout.flush()
    return lines, failed


def _figure(cost: float) -> str:
    return f"{cost:.1f}" if cost < 10 else f"{cost:,.0f}"


TEXT = """# What signals cost

<!-- Generated by bench/signals.py --write; do not edit. -->

Microseconds of one core for one rule of each kind, the built-in engine it asks included, at
questions of so many characters (four characters are about one token), the third turn of a
conversation: a rule that reads the history pays for the turns before it as well. Only signals
that a decision or a projection reads are evaluated. The rule is the example of the kind's
settings; more rules of a kind share the work (one scan for all keywords, one question to a
classifier).

{table}

Where a row stops growing, the engine reads an excerpt of a bounded length; where it grows in
proportion, the whole text is scanned, in linear time. Measured on {machine}, with Python
{python}: read the proportions rather than the figures.
"""


def machine() -> str:
    """The processor's name, as Linux tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "an unnamed processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--budget", type=float, default=0.3, help="seconds per figure")
    arguments = parser.parse_args()
    lines, failed = table(arguments.budget)
    for line in failed:
        print("not measured:", line, file=sys.stderr)
    if arguments.write:
        if failed:
            sys.exit("not written: every kind must be there")
        version = ".".join(map(str, sys.version_info[:3]))
        PAGE.write_text(TEXT.format(table="\n".join(lines), machine=machine(), python=version))


if __name__ == "__main__":
    main()
