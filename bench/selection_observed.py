"""What algorithms that go by what was observed cost, and what watching requests costs.

Least of several runs, in microseconds of the processor and against the cheapest algorithm
(``static``) in the same run, since only the proportion says anything on a machine that others use.

    python bench/selection_observed.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.runtime.experience import Experience
from wayside.telemetry import Log, Telemetry, Watcher
from wayside.vocab.outcome import Forward, Record, Request

MODELS = 3
RUNS, CALLS = 15, 400
SELECTORS: dict[str, Any] = {
    "static": "static",
    "weighted": "weighted",
    "weighted, not sticky": "weighted",
    "automix": "automix",
    "latency_aware": "latency_aware",
    "multi_factor": "multi_factor",
    "elo": "elo",
    "thompson": "thompson",
    "hybrid": {"hybrid": {"router_dc_weight": 0}},
}


def app(select: Any, *, sticky: bool) -> App:
    models = {
        f"m{i}": {
            "endpoints": [f"http://127.0.0.1:{i + 1}"],
            "quality": 0.5 + 0.1 * i,
            "price": {"prompt_per_1m": 1 + i, "completion_per_1m": 2 + i},
        }
        for i in range(MODELS)
    }
    decision = {"name": "all", "models": list(models), "select": select}
    routing = {"decisions": [decision], "sticky": {"enabled": sticky}}
    text = json.dumps({"models": models, "routing": routing, "log": {"access": "off"}})
    return App(read(text.encode(), "bench.yaml", env={}), env={}, log=Log())


def least_us(what: Callable[[], object]) -> float:
    """The least mean of ``CALLS`` calls over ``RUNS`` runs."""
    found = []
    for _ in range(RUNS):
        began = time.process_time()
        for _ in range(CALLS):
            what()
        found.append((time.process_time() - began) / CALLS * 1e6)
    return min(found)


def routing(select: Any, *, sticky: bool, turns: int) -> float:
    """A request of a conversation with ``turns`` answers, from its bytes to where it goes."""
    running = app(select, sticky=sticky)
    told = running.telemetry
    for i in range(2000):  # full windows
        exchange = told.begin(shell="gateway")
        exchange.routed(Record(model=f"m{i % MODELS}", stream=True))
        exchange.first_byte(200)
        exchange.measure(stream=True).feed(b'data: {"usage":{"completion_tokens":9}}')
        exchange.ended(status=200)
    talk = [{"role": "user", "content": "hello"}]
    for _ in range(turns):
        talk += [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "go on"}]
    body = json.dumps({"model": "auto", "messages": talk}).encode()
    request = Request("POST", "/v1/chat/completions", {"x-request-id": "r"}, body)
    assert isinstance(running.runtime.handle(request), Forward)
    return least_us(lambda: running.runtime.handle(request))


def watching(watchers: tuple[Watcher, ...]) -> float:
    """A request as telemetry sees it."""
    telemetry = Telemetry()
    telemetry.watchers = watchers
    record = Record(model="m0", decision="all", recipe="default", candidate="m0", stream=True)

    def one() -> None:
        exchange = telemetry.begin(shell="gateway", request_id="r")
        exchange.routed(record)
        exchange.first_byte(200)
        exchange.measure(stream=True).feed(b'data: {"usage":{"completion_tokens":9}}')
        exchange.ended(status=200)

    return least_us(one)


def main() -> None:
    print(
        f"{'algorithm, ' + str(MODELS) + ' models':<28}{'us':>8}{'x static':>10}{'3rd turn':>10}"
    )
    base = routing("static", sticky=True, turns=0)
    for name, select in SELECTORS.items():
        sticky = "not sticky" not in name
        first = routing(select, sticky=sticky, turns=0)
        third = routing(select, sticky=sticky, turns=2)
        print(f"{name:<28}{first:8.1f}{first / base:10.2f}{third:10.1f}")
    experience = Experience()
    experience.learned.judged = True
    none = watching(())
    print(f"\n{'watchers of a request':<28}{'us':>8}{'more':>10}")
    print(f"{'none':<28}{none:8.2f}{0.0:10.2f}")
    for name, watcher in (("times and errors", experience.observed),
                          ("routings to be judged", experience.learned)):  # fmt: skip
        found = watching((watcher,))
        print(f"{name:<28}{found:8.2f}{found - none:10.2f}")


if __name__ == "__main__":
    main()
