"""Several servers of one model share its requests, through the real router."""

from __future__ import annotations

from pathlib import Path

from tests.running import chat

from .goldens import make
from .live import external, model_server, served

REQUESTS = 150


async def test_twice_the_weight_is_twice_the_requests(tmp_path: Path) -> None:
    """A1-26: 2 to 1, as far as chance lets it be (four standard deviations)."""
    heavy: list[str] = []
    light: list[str] = []
    async with model_server(heavy) as one, model_server(light) as other:
        made = make(
            {
                "vllmEndpoints": [
                    {**external(one), "name": "heavy", "weight": 2},
                    {**external(other), "name": "light"},
                ]
            }
        )
        async with served(made, tmp_path) as router:
            for i in range(REQUESTS):
                assert (await router.ask(chat(f"question {i}"))).status == 200

    assert len(heavy) + len(light) == REQUESTS
    assert abs(len(heavy) - REQUESTS * 2 / 3) < 4 * (REQUESTS * 2 / 9) ** 0.5
