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


class _Prompt:
    __slots__ = ("blocks", "memo", "size", "tokens")

    def __init__(self, tokens: array[int], size: int, blocks: int) -> None:
        self.tokens, self.size, self.blocks = tokens, size, blocks
        self.memo: dict[object, list[int]] = {}


class KnownTokens:
    """Prompts by the hashes of their text's blocks (:class:`~wayside.vocab.prefix.Chains`).

    Where two prompts part within the text, the tokens up to there are a share of the earlier
    one's: right to within a block or two, as text and tokens keep step (a chat template's own
    tokens stand for the JSON around a message).
    """

    __slots__ = ("_block_bytes", "_most", "_prompts", "held")

    def __init__(self, block_bytes: int, most_tokens: int) -> None:
        self._block_bytes, self._most = block_bytes, most_tokens
        self._prompts: OrderedDict[int, _Prompt] = OrderedDict()
        """By the hash of each block: the prompt that has it and was learnt last. The longest
        unused first, a prompt's end before its beginning, so that :meth:`find` may bisect."""
        self.held = 0
        """Tokens kept at the moment."""

    def learn(self, chain: Sequence[int], size: int, tokens: Sequence[int]) -> None:
        """A text of ``size`` bytes with these blocks has these tokens, each below 2^32; raises
        ``OverflowError`` or ``TypeError`` for others."""
        if not chain or not tokens or len(tokens) > self._most:
            return
        prompt = _Prompt(array("I", tokens), size, 0)
        self.held += len(tokens)
        for h in reversed(chain):
            before = self._prompts.pop(h, None)
            self._prompts[h] = prompt
            prompt.blocks += 1
            if before is not None:
                self._release(before)
        while self.held > self._most:
            self._release(self._prompts.popitem(last=False)[1])

    def find(self, chain: Sequence[int], size: int) -> Known | None:
        """What is known of the tokens of a text of ``size`` bytes with these blocks."""
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
        count = len(prompt.tokens)
        if low == len(chain) and prompt.size == size:
            return Known(prompt.tokens, count, count, prompt.memo)
        common = min(low * self._block_bytes, size, prompt.size)
        return Known(
            prompt.tokens,
            count * common // prompt.size,
            max(count * size // prompt.size, count * common // prompt.size + 1),
            prompt.memo,
        )

    def _release(self, prompt: _Prompt) -> None:
        prompt.blocks -= 1
        if not prompt.blocks:
            self.held -= len(prompt.tokens)
