"""Token numbers of prompts that were seen before, found again by the text they begin with.

Only a model's own server knows its tokenizer and its chat template, and asking it takes
milliseconds. But what a prompt may find in a cache has been sent before, so its tokens can have
been asked for after that earlier prompt was sent, when nobody waited for them.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from wayside.vocab.radix import common


class Known(NamedTuple):
    """A prompt of about ``total`` tokens begins with the first ``common`` of ``tokens``, which
    are another prompt's, or its own. ``memo`` is for what is made of all of those."""

    tokens: Sequence[int]
    common: int
    total: int
    memo: dict[object, list[int]]

    @property
    def complete(self) -> bool:
        """Whether they are its own."""
        return self.common == self.total


_BLOCK, _PROMPT = 16, 32
"""Memory of a block that leads to a prompt, and of a prompt, in that of tokens."""


class _Prompt:
    """``size`` is its text's, in bytes; ``tail`` what follows the first ``before`` of them, its
    last block; ``blocks`` how many hashes lead here; ``weight`` what it takes, in tokens: a server
    may say that a long text has none."""

    __slots__ = ("before", "blocks", "memo", "size", "tail", "tokens", "weight")

    def __init__(
        self, tokens: array[int], size: int, before: int, tail: bytes, weight: int
    ) -> None:
        self.tokens, self.size, self.before, self.tail = tokens, size, before, tail
        self.weight = weight
        self.blocks = 0
        self.memo: dict[object, list[int]] = {}


class KnownTokens:
    """Prompts by the hashes of their text's blocks (:class:`~wayside.vocab.prefix.Chains`).

    Where two prompts part within the text, the tokens up to there are a share of the earlier
    one's: right to within a block or two, as text and tokens keep step (a chat template's own
    tokens stand for the JSON around a message). Where one goes on after the other's end, as a
    conversation does, hardly a token is missed.
    """

    __slots__ = ("_block_bytes", "_most", "_prompts", "held")

    def __init__(self, block_bytes: int, most_tokens: int) -> None:
        self._block_bytes, self._most = block_bytes, most_tokens
        self._prompts: OrderedDict[int, _Prompt] = OrderedDict()
        """By the hash of each block: the prompt that has it and was learnt last. The longest
        unused first, a prompt's end before its beginning, so that :meth:`find` may bisect."""
        self.held = 0
        """What is kept at the moment, in tokens."""

    def learn(self, chain: Sequence[int], text: bytes, tokens: Sequence[int]) -> None:
        """A text with these blocks has these tokens, each below 2^32; raises ``OverflowError`` or
        ``TypeError`` for others."""
        weight = max(len(tokens), _BLOCK * len(chain) + _PROMPT)
        if not chain or not tokens or weight > self._most:
            return
        before = self._block_bytes * (len(chain) - 1)
        tail = text[before : before + self._block_bytes]
        prompt = _Prompt(array("I", tokens), len(text), before, tail, weight)
        self.held += weight
        for h in reversed(chain):
            earlier = self._prompts.pop(h, None)
            self._prompts[h] = prompt
            prompt.blocks += 1
            if earlier is not None:
                self._release(earlier)
        while self.held > self._most:
            self._release(self._prompts.popitem(last=False)[1])

    def find(self, chain: Sequence[int], text: bytes) -> Known | None:
        """What is known of the tokens of a text with these blocks."""
        prompts = self._prompts
        low, high = 0, len(chain)
        while low < high:
            middle = (low + high + 1) // 2
            if chain[middle - 1] in prompts:
                low = middle
            else:
                high = middle - 1
        if not low:
            return None
        prompt = prompts[chain[low - 1]]
        count, size, at = len(prompt.tokens), len(text), low * self._block_bytes
        if low == len(chain) and prompt.size == size <= at:
            return Known(prompt.tokens, count, count, prompt.memo)
        if at == prompt.before:  # they part within its last block, or after it
            at += common(text, at, prompt.tail)
        alike = count * min(at, size, prompt.size) // prompt.size
        total = max(count * size // prompt.size, alike + 1)
        return Known(prompt.tokens, alike, total, prompt.memo)

    def _release(self, prompt: _Prompt) -> None:
        prompt.blocks -= 1
        if not prompt.blocks:
            self.held -= prompt.weight
