"""Whether a prompt is read apart from where its answer is written (A3-09, A3-12)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wayside.runtime.prefill import Prefill
from wayside.settings.disaggregation import DisaggregationSettings
from wayside.vocab.endpoint import Need


@pytest.mark.parametrize(
    ("settings", "cached", "apart"),
    [
        ({}, 0.99, True),
        ({"cached_share": 0.8}, 0.0, True),
        ({"cached_share": 0.8}, 0.79, True),
        ({"cached_share": 0.8}, 0.8, False),
        ({"cached_share": 1}, 0.99, True),
        ({"cached_share": 1}, 1.0, False),
        ({"cached_share": 0.8, "min_tokens": 10**6}, 0.0, False),
    ],
)
def test_a_prompt_that_is_cached_enough_is_read_where_it_is(
    settings: dict[str, Any], cached: float, apart: bool
) -> None:
    told: list[tuple[str, str]] = []
    prefill: Any = Prefill(None, lambda: 0.5, lambda *what: told.append(what))  # type: ignore[arg-type]
    pool = SimpleNamespace(
        settings=SimpleNamespace(disaggregation=DisaggregationSettings(**settings)), prefill=1
    )
    body = b'{"model":"m","messages":[{"role":"user","content":"Why is the sky blue?"}]}'
    target = SimpleNamespace(protocol="openai", name="m")
    forward = SimpleNamespace(target=target, path="/v1/chat/completions", body=body)
    need = Need("m", body=body)
    need.memo["hit"] = cached
    assert prefill.wanted(forward, pool, need) is apart
    assert told == ([] if apart else [("m", "decode_short")])
