"""``grpc.health.v1`` of a picker, on a port of its own.

With leader election off, any service name is answered alike. With it on, ``readiness``, the empty
name, ext_proc's and ``inference-extension`` (which the Extension's older manifests probe) say
whether this one leads, ``liveness`` is always served, and any other name is unknown (spec 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wayside.epp.session import Session
from wayside.extproc import calls, wire
from wayside.extproc.framed import FramedServer, Serves
from wayside.extproc.session import Say, silence

LIVENESS: Final = "liveness"
READY: Final = frozenset(
    {
        "",
        "readiness",
        "inference-extension",
        "envoy.service.ext_proc.v3.ExternalProcessor",
    }
)
SERVICE_UNKNOWN: Final = wire.message(b"\x08\x03")


class _NoCalls:
    """Nothing but health checks is served."""

    max_body_bytes = 64 << 10
    max_held_bytes = 1 << 20

    def __init__(self, log: Say) -> None:
        self.log = log

    def session(self) -> Session:
        raise wire.WireError("this port answers health checks only")


class HealthServer(FramedServer):
    """``ready`` says whether requests can be served, ``leads`` whether this picker is the one
    that should: ``None`` without leader election."""

    def __init__(
        self,
        ready: Callable[[], bool],
        leads: Callable[[], bool] | None = None,
        *,
        log: Say = silence,
    ) -> None:
        super().__init__(_NoCalls(log))
        self._ready, self._leads = ready, leads
        self.draining = False
        """Requests are still served, and no new ones should come."""

    def health(self, request: bytes) -> wire.Message:
        service = _service(request)
        if service == LIVENESS and self._leads is not None:
            return calls.SERVING
        if self._leads is not None and service not in READY:
            return SERVICE_UNKNOWN
        ready = self._ready() and not self.draining and self.serving
        if self._leads is not None:
            ready = ready and self._leads()
        return calls.SERVING if ready else calls.NOT_SERVING


class PickerServer(FramedServer):
    """The gRPC port, which says of its health what the port for it says."""

    def __init__(self, door: Serves, health: HealthServer) -> None:
        super().__init__(door)
        self._health = health

    def health(self, request: bytes) -> wire.Message:
        return self._health.health(request)


def _service(request: bytes) -> str:
    """HealthCheckRequest.service."""
    for number, _, start, end in wire.fields(request, 0, len(request)):
        if number == 1 and start >= 0:
            return request[start:end].decode("utf-8", "replace")
    return ""
