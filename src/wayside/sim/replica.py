"""One simulated server: takes a request, decides what to answer and when, and what goes wrong.

It behaves like vLLM, or like a cloud provider when its settings say so. It reads no settings
file and opens no socket; `serve.py` puts it on the network.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from . import messages
from .admin import Admin, Page
from .control import Control
from .engine import Engine
from .faults import HEADER, NO_FAULT, Fault, parse_fault, roll_fault
from .generation import Generation
from .gpu import Gpu
from .kv_events import Feed, Publisher
from .life import Life
from .play import Player
from .recording import Ledger, Recorded, Recording, Stats, Tally
from .refusal import Refusal, openai_error, phrase, vllm_error
from .served import Served
from .settings import SimModel, SimServer
from .transfers import FETCH_PATH, Transfers
from .wire import Headers, Reply, Request

_Route = Callable[[Request, Reply, Fault], Awaitable[None]]


class Replica:
    """The server behind one address. `faults`, `healthy` and `pace` may be set while it runs."""

    def __init__(
        self,
        settings: SimServer,
        *,
        clock: Callable[[], float],
        today: Callable[[], float],
        dice: random.Random,
        publisher: Publisher | None = None,
        crash: Callable[[float | None], None] = lambda for_s: None,
    ) -> None:
        """`crash` takes it off the network, for so many seconds or for good."""
        self.settings = settings
        self.publisher = publisher
        self.crash = crash
        self.faults = settings.faults
        self.healthy = True
        self.life = Life()
        self.transfers = Transfers(settings, self.address)
        self.recording = Recording(settings.keep)
        self.tally = Tally()
        self.ledger = Ledger()
        self.sni_seen: deque[str | None] = deque(maxlen=max(settings.keep, 1))
        self.clock = clock
        self.today = today
        self._dice = dice
        self._watchers: list[asyncio.Future[None]] = []
        self.engines = {model.name: self._new_engine(model) for model in settings.models}
        self.served = Served(settings, self.engines, int(today()))
        self._control = Control(self)
        self._admin = Admin(self)
        self._player = Player(clock=clock, life=self.life, early_head=not self.is_provider)
        generation = Generation(self, self._player, self.transfers).routes
        self._generating = frozenset(generation)
        self._routes: dict[str, dict[str, _Route]] = {
            **{path: {"POST": route} for path, route in generation.items()},
            "/v1/models": {"GET": self._models},
        }
        if not self.is_provider:
            for path, pages in self._admin.routes.items():
                self._routes[path] = {
                    method: partial(self._tell, page) for method, page in pages.items()
                }

    @property
    def port(self) -> int:
        """Where it listens; 0 until it does, and on a Unix socket."""
        return self.transfers.port

    @port.setter
    def port(self, port: int) -> None:
        self.transfers.port = port

    @property
    def pod(self) -> str:
        """The name of the pod it pretends to be."""
        return self.settings.pod or f"sim-{self.settings.replica}"

    @property
    def namespace(self) -> str:
        """Where that pod is."""
        return self.settings.namespace or "default"

    @property
    def address(self) -> str:
        """The host that others find it at."""
        host = self.settings.host
        return self.settings.pod_ip or ("127.0.0.1" if host in ("0.0.0.0", "::", "") else host)

    @property
    def identity(self) -> Headers:
        """The headers of every answer that say which server it is from; a cloud's has none."""
        if self.is_provider and self.settings.pod is None:
            return ()
        return (
            ("x-inference-pod", self.pod),
            ("x-inference-namespace", self.namespace),
            ("x-inference-port", str(self.port)),
            ("x-worker-id", self.pod),
        )

    @property
    def topics(self) -> list[str]:
        """What its KV events are called, one for each model."""
        return [self._topic(model) for model in self.settings.models]

    @property
    def first_model(self) -> str:
        """The model meant where a request may leave it out."""
        return self.settings.models[0].name

    @property
    def pace(self) -> float:
        """How many times as long everything takes that starts from here on."""
        return self.engines[self.first_model].pace

    @pace.setter
    def pace(self, factor: float) -> None:
        for engine in self.engines.values():
            engine.pace = factor

    @property
    def is_provider(self) -> bool:
        """Whether it behaves like a cloud provider."""
        return self.settings.provider is not None

    @property
    def stats(self) -> Stats:
        """Counts as they are this moment."""
        engines = self.engines.values()
        return self.tally.snapshot(
            running=sum(engine.running for engine in engines),
            waiting=sum(engine.waiting for engine in engines),
        )

    async def until(self, true: Callable[[Stats], bool], timeout_s: float = 5.0) -> Stats:
        """Wait until the stats make `true` true; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not true(stats := self.stats):
                watcher = asyncio.get_running_loop().create_future()
                self._watchers.append(watcher)
                await watcher
        return stats

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answer one request."""
        if request.path.startswith("/_sim/") and request.path != FETCH_PATH:
            self._control.answer(request, reply)
            self._changed()
            return
        await self.life.answers()
        if request.path == FETCH_PATH:
            self._control.answer(request, reply)
        elif not request.too_large and (probe := self._admin.probe(request)):
            self.tally.probes += 1
            status, body, kind = probe
            reply.whole(status, body, kind=kind)
        else:
            await self._handle_counted(request, reply)
        self._changed()

    def restart(self) -> None:
        """Forget what a process that ends forgets. Counters and records stay, for the tests."""
        self.life.revive()
        self.life.asleep = False
        for engine in self.engines.values():
            engine.restart()

    def sleep(self) -> None:
        """Generate nothing until told to; the KV cache is lost, as in vLLM's levels 1 and 2."""
        self.life.asleep = True
        for engine in self.engines.values():
            engine.kv.clear()

    def gpu(self) -> Gpu:
        """Its GPU as it is this moment."""
        engines = self.engines.values()
        return Gpu(
            pod=self.pod,
            namespace=self.namespace,
            host=f"{self.address}:{self.port}",
            memory=self.settings.gpu_memory_mib,
            busy=max(engine.running / engine.model.max_running for engine in engines),
            kv_usage=max(engine.kv_usage() for engine in engines),
            asleep=self.life.asleep,
        )

    def cancelled(self) -> None:
        """A client left before its answer was complete."""
        self.tally.cancelled += 1
        self._changed()

    def connected(self) -> None:
        """A client connected."""
        self.tally.connections += 1
        self._changed()

    # Requests that count

    async def _handle_counted(self, request: Request, reply: Reply) -> None:
        self.tally.requests += 1
        self.recording.add(
            Recorded(request.method, request.target, request.headers, request.body, request.sni)
        )
        self._changed()
        cut = False
        try:
            cut = await self._serve(request, reply)
        except Refusal as refusal:
            self._refuse(request, reply, refusal)
        if reply.status:
            self.tally.statuses[reply.status] += 1
        if not cut:
            self.tally.completed += 1

    async def _serve(self, request: Request, reply: Reply) -> bool:
        """Answer, or raise `Refusal`. True when the connection was cut instead."""
        if request.too_large:
            raise Refusal(request.too_large, phrase(request.too_large))
        route = self._route(request)
        self._authorize(request)
        if self.life.asleep and request.path in self._generating:
            raise Refusal(503, "The server is asleep; POST /wake_up wakes it.")
        fault = self._fault(request)
        if fault.strikes:
            self.tally.faulted += 1
        if fault.stalls_head:
            await asyncio.sleep(fault.stall_s)
        if fault.status is not None:
            raise Refusal(
                fault.status,
                f"Simulated fault: {fault.status} {phrase(fault.status)}",
                retry_after_s=fault.retry_after_s,
            )
        if fault.cut and fault.cut.after is None:
            await reply.cut(fault.cut.how)
            return True
        await route(request, reply, fault)
        return fault.cut is not None

    def _route(self, request: Request) -> _Route:
        path = request.path
        if path.startswith("/v1/models/"):
            methods: dict[str, _Route] = {"GET": self._one_model}
        else:
            methods = self._routes.get(path, {})
        if not methods:
            message = "Not Found"
            if self.is_provider:
                message = f"Invalid URL ({request.method} {path})"
            raise Refusal(404, message)
        if request.method not in methods:
            raise Refusal(405, f"Method Not Allowed: use {', '.join(methods)}")
        return methods[request.method]

    def _authorize(self, request: Request) -> None:
        keys = self.settings.api_keys
        if not (keys or self.is_provider):
            return
        if not self.is_provider and not request.path.startswith("/v1/"):
            return  # vLLM guards only what is under /v1
        scheme, _, key = request.fields.get("authorization", "").partition(" ")
        key = key.strip()
        if request.path.startswith(messages.PATH) and "x-api-key" in request.fields:
            scheme, key = "bearer", request.fields["x-api-key"]
        if scheme.lower() != "bearer" or not key:
            raise Refusal(
                401,
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        if keys and key not in keys:
            raise Refusal(
                401, f"Incorrect API key provided: {_masked(key)}.", code="invalid_api_key"
            )

    def _fault(self, request: Request) -> Fault:
        asked = request.fields.get(HEADER)
        if asked is not None:
            return parse_fault(asked)
        if request.path not in self._generating:
            return NO_FAULT
        return roll_fault(self.faults, self._dice)

    def _refuse(self, request: Request, reply: Reply, refusal: Refusal) -> None:
        headers = self.headers(None)
        if refusal.retry_after_s is not None:
            headers += (("retry-after", f"{refusal.retry_after_s:g}"),)
        error = openai_error if self.is_provider else vllm_error
        if request.path.startswith(messages.PATH):
            error = messages.messages_error
        reply.whole(refusal.status, error(refusal), headers)

    def headers(self, request: Request | None, model: SimModel | None = None) -> Headers:
        """The headers of an answer, beside those of `identity`."""
        headers: Headers = (("x-sim-replica", str(self.settings.replica)),)
        if model is not None:
            headers += (("x-sim-model", model.name),)
        if self.is_provider:
            request_id = f"req_{self._dice.getrandbits(128):032x}"
            headers += (("x-request-id", request_id), ("openai-version", "2020-10-01"))
        elif request is not None and (sent := request.fields.get("x-request-id")):
            headers += (("x-request-id", sent),)
        return headers

    async def _models(self, request: Request, reply: Reply, fault: Fault) -> None:
        body = {"object": "list", "data": self.served.cards()}
        await self._player.send(reply, json.dumps(body).encode(), self.headers(request), fault)

    async def _one_model(self, request: Request, reply: Reply, fault: Fault) -> None:
        card = self.served.card(request.path.removeprefix("/v1/models/"))
        await self._player.send(reply, json.dumps(card).encode(), self.headers(request), fault)

    async def _tell(
        self, page: Callable[[Request], Awaitable[Page]], request: Request, reply: Reply, _: Fault
    ) -> None:
        status, body, kind = await page(request)
        reply.whole(status, body, self.headers(request), kind)

    def _new_engine(self, model: SimModel) -> Engine:
        feed = None
        if self.publisher is not None:
            topic = partial(self._topic, model)
            feed = Feed(self.publisher, topic, model.block_size)
        return Engine(
            model, clock=self.clock, dice=self._dice, changed=self._changed, watcher=feed
        )

    def _topic(self, model: SimModel) -> str:
        events = self.settings.kv_events
        if events is not None and events.topic is not None:
            return events.topic
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"kv@{host}:{self.port}@{model.name}"

    def _changed(self) -> None:
        if self._watchers:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)


def _masked(key: str) -> str:
    return key if len(key) < 12 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"
