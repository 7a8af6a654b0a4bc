"""The headers of the endpoint-picker protocol: what clients may say, and what only we say.

Names are those of llm-d's picker and of the Gateway API Inference Extension's, which are older;
either is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wayside.vocab.headers import HOP_BY_HOP

DESTINATION: Final = "x-gateway-destination-endpoint"
SUBSET: Final = "x-gateway-destination-endpoint-subset"
SERVED: Final = "x-gateway-destination-endpoint-served"
SCORES: Final = "x-gateway-destination-endpoint-scores"
DROPPED: Final = "x-llm-d-request-dropped-reason"
WENT_THROUGH: Final = "x-went-into-resp-headers"
REQUEST_ID: Final = "x-request-id"
PREFER: Final = "prefer"

FAIRNESS: Final = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
OBJECTIVE: Final = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
REWRITE: Final = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
SLO_TTFT: Final = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
SLO_TPOT: Final = ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")
PROFILE: Final = "epp-profile"

PREFILLER: Final = "x-prefiller-host-port"
PREFILLER_URL: Final = "x-prefiller-url"
ENCODERS: Final = "x-encoder-hosts-ports"
DATA_PARALLEL: Final = "x-data-parallel-host-port"

TEST_SELECTION: Final = "test-epp-endpoint-selection"
TEST_SERVED: Final = "x-conformance-test-served-endpoint"
TEST_ECHO: Final = "x-echo-set-header"

STEERING: Final = frozenset(
    {PREFILLER, PREFILLER_URL, ENCODERS, DATA_PARALLEL, "x-kv-cache-source-host-port"}
)
"""They make a server call the address in them, so a client must never be able to set one."""

CONTROLS: Final = frozenset({*FAIRNESS, *OBJECTIVE, *REWRITE, *SLO_TTFT, *SLO_TPOT})
"""What a client may say to a picker; a server never sees it."""

_VIDEO: Final = "x-llm-d-video-"
_OWNED: Final = (
    CONTROLS | STEERING | {SUBSET, DESTINATION, SERVED, SCORES, DROPPED, "content-length"}
)
_UNECHOED: Final = (
    _OWNED
    | HOP_BY_HOP
    # Envoy forbids or mangles a change of these, and the cookies of one answer are several
    # headers that cannot be joined into one (RFC 6265 section 3).
    | {"host", "cookie", "set-cookie"}
)


def said(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The value of the first of ``names`` that is there, or ``""``."""
    for name in names:
        value = headers.get(name)
        if value:
            return value
    return ""


def is_owned(name: str) -> bool:
    """Whether the lower-case ``name`` is the picker's own: no server and no client sees what the
    other side put there."""
    return name in _OWNED or name.startswith(_VIDEO)


class Echo:
    """Which of a message's headers are said again in the reply. Names are remembered, as those
    of one client are the same in every request; what is remembered is bounded."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def of(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """The pairs to say again: neither ours, nor of one hop, nor what names the request."""
        known = self._known
        out = []
        for name, value in headers.items():
            again = known.get(name)
            if again is None:
                again = self._judge(name)
            if again:
                out.append((name, value))
        return out

    def _judge(self, name: str) -> bool:
        again = not (
            name.startswith(":") or name in _UNECHOED or name.startswith(_VIDEO) or not name
        )
        if len(self._known) < 4096 and len(name) < 128:
            self._known[name] = again
        return again
