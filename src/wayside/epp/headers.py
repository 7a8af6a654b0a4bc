"""The headers of the endpoint-picker protocol: what clients may say, and what only we say.

Names are those of llm-d's picker and of the Gateway API Inference Extension's, which are older;
either is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wayside.extproc import wire
from wayside.vocab.headers import CREDENTIALS, HOP_BY_HOP

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
    """Which of a message's headers are said again in the reply, as protobuf.

    Clients and servers say mostly the same names and values again and again, so what each comes
    to is remembered: names up to :data:`_NAMES`, and of each up to :data:`_VALUES` values. A name
    whose values are more (a request's id) is encoded each time.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, _Name] = {}

    def of(self, headers: Mapping[str, str]) -> tuple[bytes, list[str]]:
        """HeaderMutation.set_headers of those to say again: neither ours, nor of one hop, nor
        what names the request. And the names of those that are ours."""
        known = self._known
        out, ours = [], []
        for name, value in headers.items():
            found = known.get(name)
            if found is None:
                found = self._judge(name)
            if found.again:
                out.append(found.values.get(value) or found.said(value))
            elif found.owned:
                ours.append(name)
        return b"".join(out), ours

    def _judge(self, name: str) -> _Name:
        found = _Name(name)
        if len(self._known) < _NAMES and len(name) < 128:
            self._known[name] = found
        return found


_NAMES: Final = 1024
_VALUES: Final = 64


class _Name:
    """One header's name."""

    __slots__ = ("_field", "_most", "again", "owned", "values")

    def __init__(self, name: str) -> None:
        self.owned = is_owned(name)
        self.again = bool(name) and not (
            name.startswith(":") or name in _UNECHOED or name.startswith(_VIDEO)
        )
        self.values: dict[str, bytes] = {}
        self._most = 0 if name in CREDENTIALS else _VALUES  # a secret outlives no request
        self._field = wire.field(1, name.encode("latin-1"))

    def said(self, value: str) -> bytes:
        header = self._field + wire.field(3, wire.octets(value))
        # As wire.mutation has it: append_action 2 is OVERWRITE_IF_EXISTS_OR_ADD.
        found = wire.field(1, wire.field(1, header) + b"\x18\x02")
        if len(self.values) < self._most and len(value) < 256:
            self.values[value] = found
        return found
