"""The comparison page has no number of its own: each is on the page that a command writes."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT

EXPLANATION = ROOT / "docs" / "explanation"
PAGE = (EXPLANATION / "comparison.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Every row of every table, by its first cell."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            first, *cells = (cell.strip().strip("*") for cell in line.strip("|").split("|"))
            found.setdefault(first, cells)
    return found


def section(title: str) -> dict[str, list[str]]:
    return rows(PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0])


SPEED = {
    "nginx, which reads nothing": "nginx",
    "vllm-router (Rust), round_robin": "vllm-rr",
    "sglang-router (Rust), round_robin": "sglang-rr",
    "LiteLLM's proxy": "litellm",
    "Wayside, the client names the model": "wayside",
    "Wayside, 100 keywords, context, 20 decisions": "wayside-full",
    "Wayside, the same with domain and language read by models": "wayside-domain",
    "vllm-router, cache_aware": "vllm-cache",
    "sglang-router, cache_aware": "sglang-cache",
}
PICKING = {
    "sglang-router, cache_aware": "sglang-cache",
    "Wayside, `picking: balanced`": "wayside-balanced",
    "vllm-router, cache_aware": "vllm-cache",
    "Wayside without any setting": "wayside-default",
    "vllm-router, round robin": "vllm-rr",
    "production-stack's rules, prefix aware": "stack-prefix",
}


@pytest.mark.parametrize(("ours", "theirs"), SPEED.items())
def test_speeds_are_those_of_the_recorded_run(ours: str, theirs: str) -> None:
    text = (EXPLANATION / "performance.md").read_text(encoding="utf-8")
    table = rows(text.partition("### Requests/s")[2].partition("\n### ")[0])
    columns = table["requests/s"]
    recorded = [table[theirs][columns.index(name)] for name in ("short/16", "4k/16", "stream/16")]
    assert section("How fast")[ours] == recorded


@pytest.mark.parametrize(("ours", "theirs"), PICKING.items())
def test_picking_is_that_of_the_recorded_run(ours: str, theirs: str) -> None:
    text = (EXPLANATION / "picking-performance.md").read_text(encoding="utf-8")
    table = rows(text.partition("### multi-turn")[2].partition("\n### ")[0])
    hits, p50, p90, _, _, _, errors, _ = (
        re.match(r"[\d,.]+", cell)[0]  # type: ignore[index]
        for cell in table[theirs]
    )
    assert section("How well the replica is picked")[ours] == [
        f"{hits} %", f"{p50} ms", f"{p90} ms", errors,
    ]  # fmt: skip


def test_no_row_is_left_out_of_the_check() -> None:
    assert set(section("How fast")) - {"", "---"} == set(SPEED)
    assert set(section("How well the replica is picked")) - {"", "---"} == set(PICKING)
