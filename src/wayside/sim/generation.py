"""Requests that generate: read, queued, answered and accounted for."""

import itertools
import json
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from . import messages, responses
from .answer import Choice, answer
from .ask import Ask, read_body, read_chat, read_completion, read_embedding
from .engine import Sequence, Work
from .faults import Fault
from .play import Player, Written
from .recording import Took
from .refusal import Refusal
from .settings import SimModel
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
from .transfers import Transfers, tell_offer, wants_fetch
from .wire import Reply, Request

if TYPE_CHECKING:
    from .replica import Replica

Shape = Literal["chat", "completion", "message", "response"]
"""How an answer is told: `message` is Anthropic's API, `response` OpenAI's Responses API."""


class Generation:
    """The APIs of one server that generate; `routes` has them by path."""

    def __init__(self, replica: "Replica", player: Player, transfers: Transfers) -> None:
        self._replica = replica
        self._served = replica.served
        self._player = player
        self._transfers = transfers
        self.routes = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/embeddings": self._embedding,
            messages.PATH: self._messages,
            messages.COUNT_PATH: self._count_tokens,
            responses.PATH: self._response,
        }

    async def _chat(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_chat(await self._transfers.read_elsewhere(request))
        await self._generate(request, reply, fault, ask, shape="chat")

    async def _completion(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_completion(await self._transfers.read_elsewhere(request))
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
        self._served.engine(ask.model)
        counted = {"input_tokens": max(count_tokens(ask.prompts[0].text), 1)}
        await self._player.send(
            reply, json.dumps(counted).encode(), self._replica.headers(request), fault
        )

    def _versioned(self, request: Request) -> None:
        if "anthropic-version" not in request.fields:
            raise Refusal(400, "anthropic-version: header is required")

    async def _embedding(self, request: Request, reply: Reply, fault: Fault) -> None:
        ask = read_embedding(read_body(request.body))
        engine = self._served.engine(ask.model)
        model = engine.model
        tokens = sum(count_tokens(text) for text in ask.texts)
        self._check_length(tokens, model)
        adapter = self._served.adapter(ask.model)
        work = Work("\n".join(ask.texts), tokens, 0, 0, fault.slow, adapter=adapter)
        sequence = await engine.enter(work)
        ending = "abort"
        try:
            await self._player.sleep_until(sequence.last_at)
            body = embedding_body(ask, model.dimensions, self._served.echoed(ask.model))
            await self._player.send(reply, body, self._replica.headers(request, model), fault)
            ending = "stop" if fault.cut is None else "abort"
        finally:
            engine.leave(sequence, ending)
            self._took(request, sequence, model, ending, 0, 0)

    async def _generate(
        self, request: Request, reply: Reply, fault: Fault, ask: Ask, *, shape: Shape
    ) -> None:
        """Generate an answer, told in the `shape` of its API."""
        engine = self._served.engine(ask.model)
        model = engine.model
        prompt_tokens = sum(max(count_tokens(prompt.text), 1) for prompt in ask.prompts)
        self._check_length(prompt_tokens + (ask.limit or 1), model)
        choices = answer(ask, model, self._replica.settings.replica)
        work = self._work(ask, choices, prompt_tokens, fault, glue="" if ask.continues else "\n")
        headers = self._replica.headers(request, model)
        style = self._style(request, ask.model)

        def waits() -> None:
            # vLLM sends the head of a stream before it has a slot, a provider with the first
            # token.
            if ask.stream and not self._replica.is_provider:
                reply.start(200, headers)

        params = ask.kv_transfer
        fetch = partial(self._transfers.fetch, params) if params and wants_fetch(params) else None
        sequence = await engine.enter(work, waits=waits, fetch=fetch)
        if sequence.fetched:
            self._transfers.tally.fetched_tokens += prompt_tokens - sequence.cached_tokens
        ending = "abort"
        events: list[list[bytes]] = []
        written = Written()
        offered = False
        try:
            usage = Usage(prompt_tokens, work.completion_tokens, sequence.cached_tokens)
            if ask.stream:
                events = _events(shape, ask, choices, usage, style)
                await self._player.play(reply, events, sequence, headers, fault, written)
            else:
                await self._player.sleep_until(sequence.last_at)
                body = _body(shape, ask, choices, usage, style)
                if self._transfers.offers(ask, choices):
                    offered = True
                    body = tell_offer(body, self._transfers.offer(engine, sequence))
                await self._player.send(reply, body, headers, fault)
            ending = "abort" if fault.cut else _ending(choices)
        finally:
            made = engine.leave(sequence, ending, offered=offered)
            told = made
            if ending == "abort":
                sent = itertools.islice(itertools.chain(*events), written.events)
                told = sum(brings_token(event) for event in sent)
            self._took(request, sequence, model, ending, made, told)

    def _work(
        self, ask: Ask, choices: tuple[Choice, ...], prompt_tokens: int, fault: Fault, *, glue: str
    ) -> Work:
        return Work(
            prompt="\n".join(prompt.text for prompt in ask.prompts),
            prompt_tokens=prompt_tokens,
            completion_tokens=sum(choice.tokens for choice in choices),
            steps=max(choice.tokens for choice in choices),
            slow=fault.slow,
            # Of many prompts or choices, none is what the next prompt begins with.
            answer=choices[0].text if len(choices) == 1 else "",
            glue=glue,
            adapter=self._served.adapter(ask.model),
            cache_salt=ask.cache_salt,
        )

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
        self._replica.ledger.add(
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

    def _style(self, request: Request, asked: str) -> Style:
        fingerprint = None
        if self._replica.is_provider:
            name = self._served.engine(asked).model.name
            fingerprint = "fp_" + blake2b(name.encode(), digest_size=5).hexdigest()
        return Style(
            model=self._served.echoed(asked),
            created=int(self._replica.today()),
            request_id=request.fields.get("x-request-id"),
            fingerprint=fingerprint,
        )

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
