"""Prefer servers that have the beginning of this prompt in their KV cache, as they tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import msgspec
from pydantic import Field, PositiveFloat, PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import BYTES_PER_TOKEN, UNREADABLE, Endpoint, Fact, Need, Roster
from wayside.vocab.known_tokens import Known, KnownTokens
from wayside.vocab.kv import KEY_BYTES, Heard, KvIndex, keys, root
from wayside.vocab.prefix_guess import PrefixGuess

Share = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Learn = Callable[[Sequence[int]], None]
Tokenizer = Callable[[Endpoint, bytes, Learn], None]
"""Ask the server's ``/tokenize`` this body when there is time, and say what it answered; nothing
where it did not answer."""

TOKEN_IDS = "token_ids"
"""In a need's ``memo``, from shells that know them: the numbers of the prompt's tokens."""
_TIERS = {"gpu": 1.0, "cpu": 0.8, "external": 0.6, "disk": 0.3}
# llm-d's, and for the last two what vllm-router's kv_aware takes off (spec 4.4, 6.1)
_TEXT_TOKENS = 64
_TEXT_BLOCKS = 2048
_LONGEST = 1 << 20
"""Bytes of a prompt that a server is asked to split into tokens."""
_BYTES_PER_TOKEN_KEPT = 16


class PrecisePrefixCacheRule(Settings):
    """Example: ``{port: 5557, tiers: {gpu: 1.0, cpu: 0.8}}``"""

    port: Port = 5557
    """Where each server publishes its events, beside its own address."""
    ranks: Annotated[int, Field(ge=1, le=64)] = 1
    """Data-parallel ranks per server; each publishes on the port after that of the one before."""
    bind: str | None = None
    """Listen here instead, such as `tcp://*:5557`: servers connect, and are told apart by the
    address in their topics."""
    topic: str = "kv@"
    """What the topics of events begin with."""
    tiers: dict[str, Share] = Field(default_factory=lambda: dict(_TIERS), min_length=1)
    """What a block is worth by where it lies; elsewhere it is worth as much as the least."""
    speculative_s: PositiveFloat = 2.0
    """How long a server is believed to have what was just sent to it, before it says so."""
    max_memory_mb: PositiveInt = 512
    """Memory for all servers together, in MiB: three quarters for their blocks, the rest for
    tokens and for what is guessed where nothing is known."""


@catalog.register(
    "scorer", "precise_prefix_cache", settings=PrecisePrefixCacheRule, stability="beta"
)
class PrecisePrefixCacheScorer:
    """The share of the prompt that a server has in its KV cache, as its events tell.

    Blocks without a gap from the first one on, each worth as much as its tier. Where a server
    publishes nothing, or nobody knows a prompt's tokens yet, what ``prefix_cache`` would guess.
    """

    reads: tuple[Fact, ...] = ("capacity", "kv_events")

    def __init__(self, rule: PrecisePrefixCacheRule) -> None:
        self.rule = rule
        memory = rule.max_memory_mb * 2**20
        self._index = KvIndex(rule.tiers, most_blocks=memory * 3 // 4 // KEY_BYTES)
        self._guess = PrefixGuess(
            _TEXT_TOKENS, _TEXT_BLOCKS, None, max(1, rule.max_memory_mb // 8)
        )
        self._known = KnownTokens(
            _TEXT_TOKENS * BYTES_PER_TOKEN, memory // 8 // _BYTES_PER_TOKEN_KEPT
        )
        self.tokenizer: Tokenizer | None = None
        """Set by the shell that can ask."""

    @property
    def blocks(self) -> int:
        """How many are known, of all servers: those they told, and those guessed."""
        return len(self._index) + len(self._guess.index)

    def score(self, need: Need, roster: Roster) -> Scores:
        guessed = self._guess.shares(need, roster)
        known = self._tokens(need)
        if known is None:
            scores = guessed
        else:
            scores = self._told(need, roster, known, guessed)
        need.memo[HITS] = scores
        return scores

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        known = self._tokens(need)
        if known is not None:
            for size in self._index.sizes:
                prompt = self._keys(known, size, self._adapter(need))
                self._index.promise(endpoint, prompt, need.now, self.rule.speculative_s)
        self._guess.chosen(need, endpoint)
        if self.tokenizer is not None and (known is None or not known.complete):
            body = tokenize_body(need)
            if body is not None:
                learn = partial(self._known.learn, self._guess.chain(need), need.text)
                self.tokenizer(endpoint, body, learn)

    def forget(self, endpoint: Endpoint) -> None:
        self._index.forget(endpoint)
        self._guess.forget(endpoint)

    def hear(self, endpoint: Endpoint, source: bytes, number: int, body: bytes) -> Heard:
        """A message of events came; see :meth:`KvIndex.hear`."""
        said = self._index.hear(endpoint, source, number, body)
        if said == "restart":
            self._guess.forget(endpoint)
        return said

    def _told(
        self, need: Need, roster: Roster, known: Known, guessed: dict[int, float]
    ) -> dict[int, float]:
        index = self._index
        index.turn(need.now, self.rule.speculative_s)
        view = index.slots.view(roster)
        told: dict[int, float] = {}
        full: set[int] = set()
        for size in index.sizes:
            prompt = self._keys(known, size, self._adapter(need))
            blocks = max(1, known.total // size)
            for mask, worth in index.worth(prompt, view.mask):
                for position in view.of(mask):
                    told[position] = max(told.get(position, 0.0), min(1.0, worth / blocks))
                    if worth >= len(prompt):
                        full.add(position)
        for position, share in guessed.items():
            # A server that tells everything has no more than it told, but for what it was sent
            # just now, or what follows the tokens that are known.
            if not index.knows(roster.endpoints[position]) or (
                position in full and not known.complete
            ):
                told[position] = max(told.get(position, 0.0), share)
        return told

    def _tokens(self, need: Need) -> Known | None:
        memo = need.memo
        if self not in memo:
            given = memo.get(TOKEN_IDS) or _given(need)
            if given:
                memo[self] = Known(given, len(given), len(given), {})
            else:
                memo[self] = self._known.find(self._guess.chain(need), need.text)
        found: Known | None = memo[self]
        return found

    def _adapter(self, need: Need) -> str:
        return need.model if need.model in self._index.adapters else ""

    def _keys(self, known: Known, size: int, adapter: str) -> list[int]:
        whole = known.memo.get((size, adapter))
        if whole is None:
            whole = known.memo[(size, adapter)] = keys(known.tokens, size, root(adapter))
        return whole if known.complete else whole[: known.common // size]


def _given(need: Need) -> list[int] | None:
    """The tokens of a prompt that consists of them, as /v1/completions takes it."""
    prompt = need.shape.prompt
    if not bytes(prompt).startswith(b"["):
        return None
    try:
        return _numbers(prompt)
    except UNREADABLE:
        return None


_Token = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_numbers = msgspec.json.Decoder(list[_Token]).decode


def tokenize_body(need: Need) -> bytes | None:
    """What to ask a server's ``/tokenize`` (vLLM's) for the tokens that it makes of this prompt,
    chat template included; ``None`` where it cannot say."""
    shape = need.shape
    parts: dict[str, object] = {"model": need.model}
    if shape.messages and not shape.system and not shape.instructions:
        parts |= {"messages": shape.messages, "add_generation_prompt": True}
        if shape.tools:
            parts["tools"] = shape.tools
    elif bytes(shape.prompt).startswith(b'"'):
        parts["prompt"] = shape.prompt
    else:
        return None
    return None if len(need.text) > _LONGEST else msgspec.json.encode(parts)
