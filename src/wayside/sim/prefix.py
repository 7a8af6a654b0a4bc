"""A prefix cache: which leading blocks of a prompt this replica has already read.

Blocks are hashed in a chain, so a block only counts when everything before it matches too; that
is how vLLM's automatic prefix caching works. The least recently used blocks go first.
"""

from collections import OrderedDict

from .tokens import CHARACTERS_PER_TOKEN


class PrefixCache:
    """At most `blocks` blocks of `block_size` tokens."""

    def __init__(self, blocks: int, block_size: int) -> None:
        self._blocks = blocks
        self._block_size = block_size
        self._seen: OrderedDict[int, None] = OrderedDict()

    def take(self, prompt: str) -> int:
        """Tokens of `prompt` that were cached; its whole blocks are cached from here on."""
        step = self._block_size * CHARACTERS_PER_TOKEN
        seen, chain, hits, matching = self._seen, 0, 0, True
        for start in range(0, len(prompt) - step + 1, step):
            chain = hash((chain, prompt[start : start + step]))
            if chain in seen:
                seen.move_to_end(chain)
                hits += matching
            else:
                matching = False
                seen[chain] = None
        while len(seen) > self._blocks:
            seen.popitem(last=False)
        return hits * self._block_size
