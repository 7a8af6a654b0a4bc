"""What a replica remembers: the last requests exactly as received, and what became of them."""

import base64
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

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


@dataclass(frozen=True, slots=True)
class Took:
    """Tokens of one answer, as this server counts them: what a bill would say."""

    request_id: str
    """The `x-request-id` it was sent; empty without one."""
    model: str
    prompt: int
    completion: int
    """Generated until the answer was over, or given up: told or not."""
    told: int
    """Those whose events were written to the client."""
    cached: int
    ending: str
    """`stop`, `length` or `abort`."""


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


MAX_TAKEN = 10_000


class Ledger:
    """What the last `MAX_TAKEN` answers took, and the sum of all."""

    def __init__(self) -> None:
        self.answers: deque[Took] = deque(maxlen=MAX_TAKEN)
        self.prompt = self.completion = self.told = 0

    def add(self, took: Took) -> None:
        self.answers.append(took)
        self.prompt += took.prompt
        self.completion += took.completion
        self.told += took.told

    def clear(self) -> None:
        self.answers.clear()
        self.prompt = self.completion = self.told = 0

    def as_json(self) -> dict[str, object]:
        """For GET /_sim/usage."""
        return {
            "prompt": self.prompt,
            "completion": self.completion,
            "told": self.told,
            "answers": [asdict(took) for took in self.answers],
        }
