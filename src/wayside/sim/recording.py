"""What a replica remembers: the last requests exactly as received, and what became of them."""

import base64
from collections import Counter, deque
from dataclasses import dataclass, field

MAX_REMEMBERED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request. `headers` keep their order and case; `body` is without chunked framing."""

    method: str
    path: str
    """The request target, query included."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sni: str | None = None
    """The server name the TLS client asked for."""

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def as_json(self) -> dict[str, object]:
        """For GET /_sim/requests: the body as text, and as base64 to be exact."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": [list(pair) for pair in self.headers],
            "body": self.body.decode("utf-8", "replace"),
            "body_base64": base64.b64encode(self.body).decode(),
            "sni": self.sni,
        }


class Recording:
    """The last `keep` requests, and never more than `MAX_REMEMBERED_BYTES` of bodies."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._held: deque[Recorded] = deque()
        self._bytes = 0

    def add(self, recorded: Recorded) -> None:
        self._held.append(recorded)
        self._bytes += len(recorded.body)
        while len(self._held) > self._keep or self._bytes > MAX_REMEMBERED_BYTES:
            self._bytes -= len(self._held.popleft().body)

    def all(self) -> tuple[Recorded, ...]:
        """Oldest first."""
        return tuple(self._held)

    def clear(self) -> None:
        self._held.clear()
        self._bytes = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """A moment's counts. Probes (/health, /metrics and the like) are not requests."""

    requests: int = 0
    completed: int = 0
    """Answered to the last byte, whatever the status."""
    cancelled: int = 0
    """Given up by the client before the end."""
    faulted: int = 0
    """Struck by a fault, asked for or by rate; `slow` and a survived `stall` also complete."""
    probes: int = 0
    running: int = 0
    waiting: int = 0
    connections: int = 0
    """Connections accepted, ever."""
    statuses: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """The counters behind `Stats`."""

    requests: int = 0
    completed: int = 0
    cancelled: int = 0
    faulted: int = 0
    probes: int = 0
    connections: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def snapshot(self, running: int, waiting: int) -> Stats:
        return Stats(
            requests=self.requests,
            completed=self.completed,
            cancelled=self.cancelled,
            faulted=self.faulted,
            probes=self.probes,
            running=running,
            waiting=waiting,
            connections=self.connections,
            statuses=dict(self.statuses),
        )
