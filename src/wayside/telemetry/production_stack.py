"""The metrics and the log line of production-stack's router, by the names its dashboards use.

Source: production-stack, ``services/metrics_service`` and ``routers/metrics_router.py`` (names,
labels, buckets). A ``server`` is a URL. Where theirs say nothing real (``vllm:avg_itl`` is always
-1), ours do; what is not known is left out, and so is every server that is gone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wayside.telemetry.log import Log
from wayside.telemetry.metrics import Labels, Metrics
from wayside.vocab.usage import Tokens

if TYPE_CHECKING:
    from wayside.telemetry import Exchange

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SESSION_MAX = 128
"""Characters of a session's name that are logged."""


class Server(msgspec.Struct, frozen=True):
    """What is known of a server: ``healthy`` says whether it is in rotation; the rest is what it
    said itself, or ``None``."""

    healthy: bool = True
    waiting: float | None = None
    swapped: float | None = None
    hits: float | None = None
    queries: float | None = None


Servers = Callable[[], Mapping[str, Server]]
"""Those there are now, by URL."""


class _Second(msgspec.Struct):
    """What ended in one second at one server. ``itl_s`` is the mean time between tokens of each of
    ``timed`` answers, added up."""

    at: int
    ended: int = 0
    seconds: float = 0.0
    tokens: int = 0
    counted: int = 0
    itl_s: float = 0.0
    timed: int = 0


class _Live(NamedTuple):
    """A request under way; ``server`` is where it was sent last, empty until it is. ``servers``
    are all of them, by the names that its exchange knows."""

    exchange: Exchange
    server: str
    servers: dict[str, str]


class StackMetrics:
    """A watcher of :class:`~wayside.telemetry.Telemetry`; told of attempts as well."""

    def __init__(
        self, metrics: Metrics, servers: Servers, window_s: Callable[[], float], log: Log
    ) -> None:
        self._servers, self._window_s, self._log = servers, window_s, log
        self._live: dict[int, _Live] = {}
        self._ended: dict[str, deque[_Second]] = {}
        self.now = time.monotonic
        self._declare(metrics)

    def _declare(self, m: Metrics) -> None:
        self._incoming = m.counter(
            "vllm:num_incoming_requests_total",
            "Requests for a model, those that no server took included.",
            "model",
        )
        self._input = m.counter(
            "vllm:input_tokens_total", "Tokens that servers read.", "server", "model"
        )
        self._output = m.counter(
            "vllm:output_tokens_total", "Tokens that servers wrote.", "server", "model"
        )
        self._errors = m.counter(
            "vllm:request_errors_total",
            "Requests that did not succeed.",
            "server",
            "model",
            "error_type",
        )
        self._latency = m.histogram(
            "vllm:request_latency_seconds",
            "From a request to the end of its answer.",
            "server",
            "model",
            "status",
            bounds=BOUNDS,
        )
        gauges: dict[str, tuple[str, Callable[[], Iterable[tuple[str, float | None]]]]] = {
            "num_requests_running": ("Requests sent there and not over.", self._running),
            "num_prefill_requests": ("Of those, without a first byte.", self._prefilling),
            "num_decoding_requests": ("Of those, with one.", self._decoding),
            "current_qps": ("Requests a second that ended.", self._qps),
            "avg_latency": ("Seconds that requests took.", self._avg(_latency_s)),
            "avg_decoding_length": ("Tokens of an answer.", self._avg(_length)),
            "avg_itl": ("Seconds between two tokens.", self._avg(_itl_s)),
            "num_requests_waiting": (
                "Requests that wait there, as it says.",
                self._said(lambda s: s.waiting),
            ),
            "num_requests_swapped": (
                "Requests swapped out there, as it says.",
                self._said(lambda s: s.swapped),
            ),
            "gpu_prefix_cache_hits_total": (
                "Tokens found in its prefix cache.",
                self._said(lambda s: s.hits),
            ),
            "gpu_prefix_cache_queries_total": (
                "Tokens looked for there.",
                self._said(lambda s: s.queries),
            ),
            "gpu_prefix_cache_hit_rate": (
                "The share of them that was found.",
                self._said(_hit_rate),
            ),
            "healthy_pods_total": (
                "1: the server takes requests.",
                self._said(lambda s: float(s.healthy)),
            ),
        }
        for name, (text, read) in gauges.items():
            m.gauge(f"vllm:{name}", text, "server", read=_by_server(read))

    # What happens

    def began(self, exchange: Exchange) -> None:
        """A request has a model; told again where that changes."""
        record = exchange.record
        if record.model and record.path == "upstream" and id(exchange) not in self._live:
            self._live[id(exchange)] = _Live(exchange, "", {})
            self._incoming.add((record.model,))

    def attempting(self, exchange: Exchange, name: str, server: str, session: str | None) -> None:
        """It goes to a server: the line that production-stack's own tests read."""
        live = self._live.get(id(exchange))
        if live is not None:
            live.servers[name] = server
            self._live[id(exchange)] = live._replace(server=server)
        took = exchange.routed_at - exchange.started
        self._log(
            f"Routing request {exchange.request_id} with session id {_name(session)} to {server} "
            f"at {time.time():.6f}, process time = {took:.4f}"
        )

    def ended(self, exchange: Exchange, status: int, reason: str, usage: Tokens | None) -> None:
        live = self._live.pop(id(exchange), None)
        if live is None:
            return
        # Of several attempts the one that answered counts; the exchange knows its name.
        server = live.servers.get(exchange.endpoint, live.server)
        model = exchange.record.model
        now = self.now()
        took = now - exchange.started
        if status >= 400 or reason:
            self._errors.add((server, model, reason or str(status)))
        if not server:
            return
        self._latency.observe((server, model, str(status)), took)
        second = self._second(server, int(now))
        second.ended += 1
        second.seconds += took
        if usage is None:
            return
        self._input.add((server, model), usage.prompt)
        self._output.add((server, model), usage.completion)
        second.tokens += usage.completion
        second.counted += 1
        if exchange.record.stream and exchange.first and usage.completion > 1:
            second.itl_s += (now - exchange.first) / (usage.completion - 1)
            second.timed += 1

    def prune(self) -> None:
        """Forget servers that are gone."""
        known = self._servers()
        for metric in (self._input, self._output, self._errors):
            for key in [k for k in metric.values if k[0] and k[0] not in known]:
                del metric.values[key]
        for key in [k for k in self._latency.values if k[0] not in known]:
            del self._latency.values[key]
        for server in [s for s in self._ended if s not in known]:
            del self._ended[server]

    def report(self) -> None:
        """Tell the log how every server is doing."""
        running = dict(self._running())
        rates, slow = dict(self._qps()), dict(self._avg(_latency_s)())
        for server, known in self._servers().items():
            self._log(
                "engine stats",
                server=server,
                healthy=known.healthy,
                running=running.get(server, 0),
                waiting=known.waiting,
                qps=round(rates.get(server) or 0.0, 3),
                avg_latency_s=_rounded(slow.get(server)),
                prefix_hit_rate=_rounded(_hit_rate(known)),
            )

    # What is shown

    def _second(self, server: str, at: int) -> _Second:
        seconds = self._ended.setdefault(server, deque())
        if not seconds or seconds[-1].at != at:
            seconds.append(_Second(at))
            oldest = at - self._window_s()
            while seconds[0].at < oldest:
                seconds.popleft()
        return seconds[-1]

    def _recent(self) -> Iterator[tuple[str, list[_Second]]]:
        oldest = self.now() - self._window_s()
        for server in self._servers():
            yield server, [s for s in self._ended.get(server, ()) if s.at >= oldest]

    def _count(self, wanted: Callable[[Exchange], bool]) -> Iterator[tuple[str, float]]:
        counts = dict.fromkeys(self._servers(), 0)
        for exchange, server, _ in self._live.values():
            if server in counts and wanted(exchange):
                counts[server] += 1
        yield from counts.items()

    def _running(self) -> Iterator[tuple[str, float]]:
        return self._count(lambda _: True)

    def _prefilling(self) -> Iterator[tuple[str, float]]:
        return self._count(lambda exchange: not exchange.first)

    def _decoding(self) -> Iterator[tuple[str, float]]:
        return self._count(lambda exchange: bool(exchange.first))

    def _qps(self) -> Iterator[tuple[str, float]]:
        window = self._window_s()
        return ((server, sum(s.ended for s in past) / window) for server, past in self._recent())

    def _avg(
        self, of: Callable[[list[_Second]], float | None]
    ) -> Callable[[], Iterator[tuple[str, float | None]]]:
        return lambda: ((server, of(past)) for server, past in self._recent())

    def _said(
        self, of: Callable[[Server], float | None]
    ) -> Callable[[], Iterator[tuple[str, float | None]]]:
        return lambda: ((url, of(server)) for url, server in self._servers().items())


def _by_server(
    read: Callable[[], Iterable[tuple[str, float | None]]],
) -> Callable[[], Iterable[tuple[Labels, float]]]:
    return lambda: [((server,), value) for server, value in read() if value is not None]


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def _latency_s(past: list[_Second]) -> float | None:
    return _mean(sum(s.seconds for s in past), sum(s.ended for s in past))


def _length(past: list[_Second]) -> float | None:
    return _mean(sum(s.tokens for s in past), sum(s.counted for s in past))


def _itl_s(past: list[_Second]) -> float | None:
    return _mean(sum(s.itl_s for s in past), sum(s.timed for s in past))


def _hit_rate(server: Server) -> float | None:
    if server.hits is None or not server.queries:
        return None
    return server.hits / server.queries


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _name(session: str | None) -> str:
    """A session as the line has it, ``None`` as Python says it; never more than one word."""
    if not session:
        return "None"
    return "".join(c if c.isprintable() and c != " " else "_" for c in session[:SESSION_MAX])
