"""Strategies that predict learn how long an answer took to begin, and its tokens to come."""

from __future__ import annotations

import pytest

from wayside.endpoints import TPOT
from wayside.settings import PickingSettings

from .rig import answering, plane, post, talk, upstream
from .test_upstream import CHUNKED, EVENTS, chunk

STREAMED = post(b'{"stream": true, "messages": [{"role": "user", "content": "Why?"}]}')


class Heard:
    """Stands in a profile's hooks and keeps what it hears."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.paces: list[float | None] = []

    def answered(self, need, endpoint, seconds: float) -> None:
        self.began.append(seconds)

    def ended(self, need, endpoint) -> None:
        self.paces.append(need.memo.get(TPOT))


@pytest.mark.parametrize("tokens", [3, 20])
async def test_a_stream_tells_how_long_its_tokens_took(tokens: int) -> None:
    pieces = [chunk(EVENTS[0])] * tokens
    serve = answering(CHUNKED, *pieces, b"0\r\n\r\n", pause=0.02)
    async with upstream(serve) as up:
        async with plane(up.port, picking=PickingSettings(strategy="latency")) as p:
            heard = Heard()
            chooser = p.fleet.pools["m"].profile
            assert chooser is not None
            chooser.answers.append(heard.answered)
            chooser.ends.append(heard.ended)
            assert b"200 OK" in await talk(p.port, STREAMED)
            await p.settled()
            assert len(heard.began) == len(heard.paces) == 1
            (pace,) = heard.paces
            if tokens < 8:
                assert pace is None, "too few to tell"
            else:
                assert pace is not None and 0.015 < pace < 0.1
