"""The KV cache of one engine: blocks of tokens, shared by what runs and what ran before.

A block has a name once it is full: a chain over everything before it, so that it counts as found
only when all before it matches too; that is how vLLM's automatic prefix caching works. A request
holds the blocks of its prompt and room for its whole answer until it ends. Named blocks that
nobody holds stay, and are found again, until their room is needed; the least recently used go
first, the end of a prompt before its beginning.

No work is done per token: the blocks of an answer get their names when it is over.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from .tokens import CHARACTERS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt as the cache sees it. `owner` keeps equal texts apart: adapter and cache salt."""

    text: str
    owner: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Blocks that one request holds."""

    prompt: Text
    keys: tuple[int, ...]
    """Named ones, in order from the first token on."""
    spare: int
    """Others: a block that is not full, and those kept for the answer."""
    found: int
    """How many leading ones were in the cache already."""


class Watcher(Protocol):
    """Is told what the cache holds: calls of one change, then `done`."""

    def stored(self, parent: int | None, keys: tuple[int, ...], text: Text, first: int) -> None:
        """Blocks number `first` and on of `text` got the names `keys`, after block `parent`."""

    def removed(self, keys: list[int]) -> None:
        """These blocks are gone."""

    def cleared(self) -> None:
        """All are gone."""

    def done(self) -> None:
        """That was one change."""


class KvCache:
    """`capacity` blocks of `block_size` tokens."""

    def __init__(self, capacity: int, block_size: int, watcher: Watcher | None = None) -> None:
        self.capacity = capacity
        self.block_size = block_size
        self._watcher = watcher
        self._step = block_size * CHARACTERS_PER_TOKEN
        self._used: dict[int, int] = {}  # how many hold it, by name
        self._idle: OrderedDict[int, None] = OrderedDict()  # held by nobody, oldest first
        self._spare = 0
        self._stale: set[int] = set()  # still held, but forgotten by `clear`

    @property
    def cached(self) -> int:
        """Named blocks that nobody holds."""
        return len(self._idle)

    @property
    def named_in_use(self) -> int:
        """Named blocks that somebody holds, each counted once."""
        return len(self._used)

    def blocks(self, tokens: int) -> int:
        """Blocks that many tokens take."""
        return -(-tokens // self.block_size)

    def names(self, prompt: Text) -> tuple[int, ...]:
        """The name of each full block of a prompt."""
        return tuple(self._chain(hash(prompt.owner), prompt.text, 0)[: self.capacity])

    def hold(self, prompt: Text, keys: tuple[int, ...], tokens: int) -> Held | None:
        """Take the blocks for a prompt with these names and `tokens` tokens, answer included.

        None when there is no room for now. One that is larger than the cache gets all of it.
        """
        used, idle, stale = self._used, self._idle, self._stale
        found = revived = 0
        for key in keys:
            if key in idle:
                revived += 1
            elif key not in used or key in stale:
                break
            found += 1
        need = max(min(self.blocks(tokens), self.capacity), len(keys))
        room = self.capacity - len(used) - self._spare
        if need - found + revived > room:
            return None
        for key in keys[:found]:
            if key in idle:
                del idle[key]
                used[key] = 1
            else:
                used[key] += 1
        self._evict(self.capacity - (need - found))
        for key in keys[found:]:
            stale.discard(key)
            used[key] = used.get(key, 0) + 1
        self._spare += need - len(keys)
        held = Held(prompt, keys, need - len(keys), found)
        if self._watcher is not None:
            if found < len(keys):
                parent = keys[found - 1] if found else None
                self._watcher.stored(parent, keys[found:], prompt, found)
            self._watcher.done()
        return held

    def release(self, held: Held, answer: str = "") -> None:
        """Give the blocks back. What the prompt and `answer` filled stays, to be found again."""
        self._spare -= held.spare
        last = held.keys[-1] if held.keys else None
        fresh: tuple[int, ...] = ()
        if held.spare and answer and self._stale.isdisjoint(held.keys):
            whole = Text(held.prompt.text + answer, held.prompt.owner)
            start = hash(whole.owner) if last is None else last
            chain = self._chain(start, whole.text, len(held.keys))
            made = tuple(takewhile(lambda key: key not in self._stale, chain))[: held.spare]
            fresh = tuple(key for key in made if not self._has(key))
            for key in reversed(made):
                if key not in self._used:
                    self._idle[key] = None
                    self._idle.move_to_end(key)
            if fresh and self._watcher is not None:
                known = len(made) - len(fresh)
                parent = made[known - 1] if known else last
                self._watcher.stored(parent, fresh, whole, len(held.keys) + known)
        used, idle, stale = self._used, self._idle, self._stale
        for key in reversed(held.keys):
            if (others := used[key] - 1) > 0:
                used[key] = others
                continue
            del used[key]
            if stale and key in stale:
                stale.discard(key)
            else:
                idle[key] = None
        self._evict(self.capacity)
        if self._watcher is not None:
            self._watcher.done()

    def clear(self) -> None:
        """Forget everything; blocks that are held give their room back when they are released."""
        self._idle.clear()
        self._stale = set(self._used)
        if self._watcher is not None:
            self._watcher.cleared()
            self._watcher.done()

    def _has(self, key: int) -> bool:
        return key in self._idle or (key in self._used and key not in self._stale)

    def _chain(self, start: int, text: str, first: int) -> list[int]:
        step, key, out = self._step, start, []
        for at in range(first * step, len(text) - step + 1, step):
            key = hash((key, text[at : at + step]))
            out.append(key)
        return out

    def _evict(self, most: int) -> None:
        """Let idle blocks go until all blocks are at most `most`."""
        gone: list[int] = []
        while self._idle and len(self._used) + self._spare + len(self._idle) > most:
            gone.append(self._idle.popitem(last=False)[0])
        if gone and self._watcher is not None:
            self._watcher.removed(gone)
