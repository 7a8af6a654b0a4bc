"""Long work in slices."""

from __future__ import annotations

import asyncio

from wayside.net.turns import Turns


async def test_others_have_their_turn_when_a_slice_is_over() -> None:
    now = 0.0
    turns = Turns(slice_s=0.002, clock=lambda: now)
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
