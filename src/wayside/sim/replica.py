"""One simulated server: takes a request, decides what to answer and when, and what goes wrong.

It behaves like vLLM, or like a cloud provider when its settings say so. It reads no settings
file and opens no socket; `serve.py` puts it on the network.
"""

import asyncio
import itertools
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Literal

from pydantic import ValidationError

from . import messages, responses
from .answer import Choice, answer
from .ask import Ask, read_body, read_chat, read_completion, read_embedding
from .engine import FAMILIES, Engine, Sequence, Work
from .faults import HEADER, NO_FAULT, Fault, parse_fault, roll_fault
from .metrics import render_family
from .recording import Ledger, Recorded, Recording, Stats, Tally, Took
from .refusal import Refusal, openai_error, phrase, vllm_error
from .settings import SimModel, SimServer, parse_fault_rates
from .shapes import (
    Style,
    Usage,
    brings_token,
    chat_body,
    chat_events,
    completion_body,
    completion_events,
    embedding_body,
)
from .tokens import count_tokens
from .versions import dated_name
from .wire import Headers, Reply, Request

VLLM_VERSION = "0.10.2"
"""The version of vLLM whose behaviour is copied."""

_PAGES = tuple(f"/_sim/{name}" for name in ("requests", "stats", "usage", "faults", "health"))

_Route = Callable[[Request, Reply, Fault], Awaitable[None]]
Shape = Literal["chat", "completion", "message", "response"]
"""How an answer is told: `message` is Anthropic's API, `response` OpenAI's Responses API."""


class Replica:
    """The server behind one address. `faults` and `healthy` may be set while it runs."""

    def __init__(
        self,
        settings: SimServer,
        *,
        clock: Callable[[], float],
        today: Callable[[], float],
        dice: random.Random,
    ) -> None:
        self.settings = settings
        self.faults = settings.faults
        self.healthy = True
        self.recording = Recording(settings.keep)
        self.tally = Tally()
        self.ledger = Ledger()
        self.sni_seen: deque[str | None] = deque(maxlen=max(settings.keep, 1))
        self._clock = clock
        self._today = today
        self._dice = dice
        self._started = int(today())
        self._watchers: list[asyncio.Future[None]] = []
        self._engines = {
            model.name: Engine(model, clock=clock, dice=dice, changed=self._changed)
            for model in settings.models
        }
        self._names = self._all_names()
        self._routes: dict[str, dict[str, _Route]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
            "/v1/embeddings": {"POST": self._embedding},
            messages.PATH: {"POST": self._messages},
            messages.COUNT_PATH: {"POST": self._count_tokens},
            responses.PATH: {"POST": self._response},
            "/v1/models": {"GET": self._models},
        }

    @property
    def is_provider(self) -> bool:
        """Whether it behaves like a cloud provider."""
        return self.settings.provider is not None

    @property
    def stats(self) -> Stats:
        """Counts as they are this moment."""
        engines = self._engines.values()
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
        if request.path.startswith("/_sim/"):
            self._control(request, reply)
        elif not request.too_large and (probe := self._probe(request)):
            self.tally.probes += 1
            status, body, kind = probe
            reply.whole(status, body, kind=kind)
        else:
            await self._handle_counted(request, reply)
        self._changed()

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
        if request.method != "POST":
            return NO_FAULT
        return roll_fault(self.faults, self._dice)

    def _refuse(self, request: Request, reply: Reply, refusal: Refusal) -> None:
        headers = self._headers(None)
        if refusal.retry_after_s is not None:
            headers += (("retry-after", f"{refusal.retry_after_s:g}"),)
        error = openai_error if self.is_provider else vllm_error
        if request.path.startswith(messages.PATH):
            error = messages.messages_error
        reply.whole(refusal.status, error(refusal), headers)

    # Generating

    async def _chat(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_chat(read_body(request.body))
        await self._generate(request, reply, fault, ask, shape="chat")

    async def _completion(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_completion(read_body(request.body))
        await self._generate(request, reply, fault, ask, shape="completion")

    async def _messages(self, request: Request, reply: Reply, fault: Fault) -> None:
        self._versioned(request)
        ask = messages.read_messages(read_body(request.body))
        await self._generate(request, reply, fault, ask, shape="message")

    async def _response(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = responses.read_response(read_body(request.body))
        await self._generate(request, reply, fault, ask, shape="response")

    async def _count_tokens(self, request: Request, reply: Reply, fault: Fault) -> None:
        self._versioned(request)
        ask = messages.read_messages(read_body(request.body), counting=True)
        self._engine(ask.model)
        counted = {"input_tokens": max(count_tokens(ask.prompts[0].text), 1)}
        await self._send(reply, json.dumps(counted).encode(), self._headers(request), fault)

    def _versioned(self, request: Request) -> None:
        if "anthropic-version" not in request.fields:
            raise Refusal(400, "anthropic-version: header is required")

    async def _embedding(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_embedding(read_body(request.body))
        engine = self._engine(ask.model)
        model = engine.model
        tokens = sum(count_tokens(text) for text in ask.texts)
        self._check_length(tokens, model)
        work = Work("\n".join(ask.texts), tokens, 0, 0, fault.slow)
        sequence = await engine.enter(work)
        ending = "abort"
        try:
            await self._sleep_until(sequence.last_at)
            body = embedding_body(ask, model.dimensions, self._echoed(model))
            await self._send(reply, body, self._headers(request, model), fault)
            ending = "stop" if fault.cut is None else "abort"
        finally:
            engine.leave(sequence, ending)
            self._took(request, sequence, model, ending, 0, 0)

    async def _generate(
        self, request: Request, reply: Reply, fault: Fault, ask: Ask, *, shape: Shape
    ) -> None:
        """Generate an answer, told in the `shape` of its API."""
        engine = self._engine(ask.model)
        model = engine.model
        prompt_tokens = sum(max(count_tokens(prompt.text), 1) for prompt in ask.prompts)
        self._check_length(prompt_tokens + (ask.limit or 1), model)
        choices = answer(ask, model, self.settings.replica)
        work = Work(
            prompt="\n".join(prompt.text for prompt in ask.prompts),
            prompt_tokens=prompt_tokens,
            completion_tokens=sum(choice.tokens for choice in choices),
            steps=max(choice.tokens for choice in choices),
            slow=fault.slow,
        )
        headers = self._headers(request, model)
        # vLLM sends the head of a stream before it has a slot, a provider with the first token.
        if ask.stream and not self.is_provider and engine.busy and not engine.full:
            reply.start(200, headers)
        sequence = await engine.enter(work)
        ending = "abort"
        events: list[list[bytes]] = []
        written = _Written()
        try:
            usage = Usage(prompt_tokens, work.completion_tokens, sequence.cached_tokens)
            style = self._style(request, model)
            if ask.stream:
                events = _events(shape, ask, choices, usage, style)
                await self._play(reply, events, sequence, headers, fault, written)
            else:
                await self._sleep_until(sequence.last_at)
                body = _body(shape, ask, choices, usage, style)
                await self._send(reply, body, headers, fault)
            ending = "abort" if fault.cut else _ending(choices)
        finally:
            made = engine.leave(sequence, ending)
            told = made
            if ending == "abort":
                sent = itertools.islice(itertools.chain(*events), written.events)
                told = sum(brings_token(event) for event in sent)
            self._took(request, sequence, model, ending, made, told)

    def _took(
        self,
        request: Request,
        sequence: Sequence,
        model: SimModel,
        ending: str,
        made: int,
        told: int,
    ) -> None:
        """Enter an answer in the ledger."""
        self.ledger.add(
            Took(
                request_id=request.fields.get("x-request-id", ""),
                model=model.name,
                prompt=sequence.work.prompt_tokens,
                completion=made,
                told=told,
                cached=sequence.cached_tokens,
                ending=ending,
            )
        )

    async def _play(
        self,
        reply: Reply,
        steps: list[list[bytes]],
        sequence: Sequence,
        headers: Headers,
        fault: Fault,
        written: "_Written",
    ) -> None:
        """Write each step's events when they are due; all that are due go in one write."""
        if not self.is_provider and not reply.started:
            reply.start(200, headers)
        cut_after = fault.cut.after if fault.cut else None
        ready: list[bytes] = []
        sent, late = 0, 0.0
        for number, events in enumerate(steps):
            due = sequence.due(number) + late
            if due > self._clock():
                if ready:
                    written.write(reply, ready)
                    ready = []
                    await reply.drain()
                await self._sleep_until(due)
            if not reply.started:
                reply.start(200, headers)
            for event in events:
                if fault.cut and sent == cut_after:
                    written.write(reply, ready)
                    await reply.cut(fault.cut.how)
                    return
                if sent == fault.stall_after:
                    written.write(reply, ready)
                    ready = []
                    late += fault.stall_s
                    await asyncio.sleep(fault.stall_s)
                ready.append(event)
                sent += 1
        written.write(reply, ready)
        if fault.cut:  # the stream was shorter than asked for: cut it where it would end
            await reply.cut(fault.cut.how)
            return
        await reply.drain()
        reply.end()

    async def _send(self, reply: Reply, body: bytes, headers: Headers, fault: Fault) -> None:
        """Write a whole answer, unless a fault strikes in its middle."""
        if fault.cut:
            reply.half(200, body, headers)
            await reply.cut(fault.cut.how)
        elif fault.stall_after is not None:
            rest = reply.half(200, body, headers)
            await asyncio.sleep(fault.stall_s)
            reply.rest(rest)
        else:
            reply.whole(200, body, headers)

    async def _sleep_until(self, when: float) -> None:
        delay = when - self._clock()
        if delay > 0:
            await asyncio.sleep(delay)

    def _engine(self, name: str) -> Engine:
        engine = self._names.get(name)
        if engine is None:
            more = " or you do not have access to it" if self.is_provider else ""
            raise Refusal(
                404,
                f"The model `{name}` does not exist{more}.",
                param=None if self.is_provider else "model",
                code="model_not_found",
            )
        return engine

    def _check_length(self, tokens: int, model: SimModel) -> None:
        if tokens > model.max_model_len:
            raise Refusal(
                400,
                f"This model's maximum context length is {model.max_model_len} tokens. "
                f"However, you requested {tokens} tokens. Please reduce the length of the "
                "messages or completion.",
                param="messages",
                code="context_length_exceeded",
            )

    # Who is answering

    def _all_names(self) -> dict[str, Engine]:
        names = {}
        for model in self.settings.models:
            engine = self._engines[model.name]
            for name in (self._echoed(model), model.name, *model.aliases):
                names[name] = engine
        return names

    def _echoed(self, model: SimModel) -> str:
        return dated_name(model) if self.is_provider else model.name

    def _style(self, request: Request, model: SimModel) -> Style:
        fingerprint = None
        if self.is_provider:
            fingerprint = "fp_" + blake2b(model.name.encode(), digest_size=5).hexdigest()
        return Style(
            model=self._echoed(model),
            created=int(self._today()),
            request_id=request.fields.get("x-request-id"),
            fingerprint=fingerprint,
        )

    def _headers(self, request: Request | None, model: SimModel | None = None) -> Headers:
        headers: Headers = (("x-sim-replica", str(self.settings.replica)),)
        if model is not None:
            headers += (("x-sim-model", model.name),)
        if self.is_provider:
            request_id = f"req_{self._dice.getrandbits(128):032x}"
            headers += (("x-request-id", request_id), ("openai-version", "2020-10-01"))
        elif request is not None and (sent := request.fields.get("x-request-id")):
            headers += (("x-request-id", sent),)
        return headers

    # Lists and probes

    async def _models(self, request: Request, reply: Reply, fault: Fault) -> None:
        names = [n for m in self.settings.models for n in (m.name, *m.aliases)]
        body = {"object": "list", "data": [self._card(name) for name in names]}
        await self._send(reply, json.dumps(body).encode(), self._headers(request), fault)

    async def _one_model(self, request: Request, reply: Reply, fault: Fault) -> None:
        name = request.path.removeprefix("/v1/models/")
        self._engine(name)
        body = json.dumps(self._card(name)).encode()
        await self._send(reply, body, self._headers(request), fault)

    def _card(self, name: str) -> dict[str, object]:
        card: dict[str, object] = {"id": name, "object": "model", "created": self._started}
        if self.is_provider:
            return {**card, "owned_by": "system"}
        model = self._names[name].model
        more = {"root": model.name, "parent": None, "max_model_len": model.max_model_len}
        return {**card, "owned_by": "vllm", **more}

    def _probe(self, request: Request) -> tuple[int, bytes, str] | None:
        """Status, body and content type of a request that is not counted."""
        text = "text/plain; version=0.0.4; charset=utf-8"
        match request.path:
            case "/health" | "/ping":
                return (200 if self.healthy else 503), b"", text
            case "/metrics" if not self.is_provider:
                return 200, self._metrics().encode(), text
            case "/version" if not self.is_provider:
                body = json.dumps({"version": VLLM_VERSION}).encode()
                return 200, body, "application/json"
            case _:
                return None

    def _metrics(self) -> str:
        pages = [
            engine.samples({"engine": "0", "model_name": engine.model.name})
            for engine in self._engines.values()
        ]
        return "".join(
            render_family(name, kind, text, [s for page in pages for s in page[name]])
            for name, (kind, text) in FAMILIES.items()
        )

    # The simulator's own pages

    def _control(self, request: Request, reply: Reply) -> None:
        try:
            body = self._controlled(request)
        except (Refusal, ValidationError) as error:
            message = error.message if isinstance(error, Refusal) else str(error)
            status = error.status if isinstance(error, Refusal) else 400
            reply.whole(status, vllm_error(Refusal(status, message)))
            return
        reply.whole(200, json.dumps(body).encode())

    def _controlled(self, request: Request) -> object:
        match request.method, request.path:
            case "GET", "/_sim/requests":
                return {"requests": [recorded.as_json() for recorded in self.recording.all()]}
            case "DELETE", "/_sim/requests":
                self.recording.clear()
                return {"requests": []}
            case "GET", "/_sim/stats":
                return self._stats_json()
            case "GET", "/_sim/usage":
                return self.ledger.as_json()
            case "DELETE", "/_sim/usage":
                self.ledger.clear()
                return self.ledger.as_json()
            case "PUT", "/_sim/faults":
                self.faults = parse_fault_rates(read_body(request.body))
                return {"set": True}
            case "PUT", "/_sim/health":
                self.healthy = read_body(request.body).get("healthy") is True
                return {"healthy": self.healthy}
            case _:
                raise Refusal(404, f"use {', '.join(_PAGES)}")

    def _stats_json(self) -> dict[str, object]:
        stats = self.stats
        models = {
            name: {"running": engine.running, "waiting": engine.waiting}
            for name, engine in self._engines.items()
        }
        return {
            "replica": self.settings.replica,
            "requests": stats.requests,
            "completed": stats.completed,
            "cancelled": stats.cancelled,
            "faulted": stats.faulted,
            "probes": stats.probes,
            "running": stats.running,
            "waiting": stats.waiting,
            "connections": stats.connections,
            "statuses": {str(status): count for status, count in stats.statuses.items()},
            "models": models,
            "sni": list(self.sni_seen),
        }

    def _changed(self) -> None:
        if self._watchers:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)


class _Written:
    """How many events of a stream went out."""

    def __init__(self) -> None:
        self.events = 0

    def write(self, reply: Reply, pieces: list[bytes]) -> None:
        reply.write(pieces)
        self.events += len(pieces)


def _events(
    shape: Shape, ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style
) -> list[list[bytes]]:
    """The events of a streamed answer; item k belongs to generation step k."""
    if shape == "message":
        return messages.messages_events(choices[0], usage, style.model)
    if shape == "response":
        return responses.response_events(choices[0], usage, style.model, style.created)
    return (chat_events if shape == "chat" else completion_events)(ask, choices, usage, style)


def _body(
    shape: Shape, ask: Ask, choices: tuple[Choice, ...], usage: Usage, style: Style
) -> bytes:
    """A whole answer."""
    if shape == "message":
        return messages.messages_body(choices[0], usage, style.model)
    if shape == "response":
        return responses.response_body(choices[0], usage, style.model, style.created)
    return (chat_body if shape == "chat" else completion_body)(ask, choices, usage, style)


def _ending(choices: tuple[Choice, ...]) -> str:
    return "length" if any(choice.finish == "length" for choice in choices) else "stop"


def _masked(key: str) -> str:
    return key if len(key) < 12 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"
