"""Long work in slices."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from wayside.net.turns import LONGEST_S, REST, Share, Turns


async def test_others_have_their_turn_when_a_slice_is_over() -> None:
    now = 0.0
    turns = Turns(slice_s=0.002, clock=lambda: now, share=Share())
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    await asyncio.sleep(0)
    before = others
    for _ in range(100):  # a slice is not over yet
        await turns.rest()
    assert others == before
    now = 0.0021
    await turns.rest()
    assert others > before
    task.cancel()


def test_however_many_work_they_share_a_quarter() -> None:
    """Ten that work at once: their slices never overlap, and three quarters are left."""
    share, slice_s = Share(), 0.002
    going_on = [0.0] * 10
    slots = []
    for _ in range(100):
        worker = min(range(10), key=lambda n: going_on[n])
        ends = going_on[worker] + slice_s
        going_on[worker] = share.slot(ends, slice_s, slice_s)
        slots.append(going_on[worker])
    assert slots == sorted(slots)
    gaps = [b - a for a, b in pairwise(slots)]
    assert min(gaps) >= (1 + REST) * slice_s - 1e-9
    assert slots[-1] == pytest.approx(100 * (1 + REST) * slice_s, rel=0.1)


def test_a_slice_that_took_long_is_not_rested_from_for_ever() -> None:
    share = Share()
    assert share.slot(1.0, 10.0, 0.002) == pytest.approx(1.0 + LONGEST_S)
