"""What is asked of a Redis server in one step: small Lua programs and the names of keys.

Every key begins with the store's prefix. Kept answers stand under an *epoch*, a word of chance: a
flush writes another one, so that nothing kept before is found by anybody, and an answer begun
before the flush is not kept after it. A server that lost the word (restarted, or evicted it) gets
a new one, never an old.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wayside.stores.redis_limits import RESERVE_LIMITS, SETTLE_LIMITS

_HOLD = """
local function hold(key, first)
  local set = redis.pcall('HSET', key, unpack(ARGV, first))
  if type(set) == 'table' then return set end
  local given = {}
  for i = first, #ARGV, 2 do given[ARGV[i]] = true end
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if not given[name] then redis.call('HDEL', key, name) end
  end
end
"""
"""Fields in the place of earlier ones. A full server refuses a script its first write alone, so
that must be the one that needs room."""

RECALL = """
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  if ARGV[2] == '' then return {''} end
  local set = redis.pcall('SET', KEYS[1], ARGV[2])
  if type(set) == 'table' and set.err then return set end
  epoch = ARGV[2]
end
if epoch ~= ARGV[1] then return {epoch} end
local kept = redis.call('HMGET', KEYS[2], 'body', 'question', 'at', ARGV[5])
if kept[1] then return {epoch, '', kept[1], kept[2], kept[3], kept[4]} end
local lease = tonumber(ARGV[4])
if lease > 0 then
  local set = redis.pcall('SET', KEYS[3], ARGV[3], 'NX', 'PX', lease)
  if type(set) == 'table' and set.ok then return {epoch, 'ours'} end
  if type(set) == 'table' and set.err then return {epoch, 'nobody'} end
  return {epoch, 'theirs'}
end
if lease < 0 and redis.call('EXISTS', KEYS[3]) == 1 then return {epoch, 'theirs'} end
return {epoch, 'nobody'}
"""
"""Keys: epoch, answer, lease. Arguments: the epoch we know, one to begin with, who asks, how many
milliseconds to lead (0: not at all, -1: tell whether somebody does), the vector's field.
Gives the epoch alone where ours is old; else it and who leads, or it and what was kept."""

REMEMBER = (
    _HOLD
    + """
local kept = 0
if redis.call('GET', KEYS[1]) == ARGV[1] then
  kept = hold(KEYS[2], 3)
  if not kept then
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    kept = 1
  end
end
redis.pcall('DEL', KEYS[3])
return kept
"""
)
"""Keys: epoch, answer, lease. Arguments: the epoch, milliseconds to keep, fields and values.
Gives 1 where it was kept, 0 where a flush came in between."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

PUT = (
    _HOLD
    + """
local ttl, now, name, most, base = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
if #ARGV == 6 then redis.call('SET', KEYS[1], ARGV[6])
else
  local refused = hold(KEYS[1], 6)
  if refused then return refused end
end
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) else redis.call('PERSIST', KEYS[1]) end
local left = redis.call('PTTL', KEYS[2])
redis.call('ZADD', KEYS[2], now, name)
if ttl > 0 then redis.call('ZADD', KEYS[3], tonumber(now) + ttl / 1000, name)
else redis.call('ZREM', KEYS[3], name) end
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 16)) do
  redis.call('ZREM', KEYS[2], ended)
  redis.call('ZREM', KEYS[3], ended)
end
local over = most > 0 and redis.call('ZCARD', KEYS[2]) - most or 0
if over > 0 then
  for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 100) - 1)) do
    redis.call('UNLINK', base .. old)
    redis.call('ZREM', KEYS[2], old)
    redis.call('ZREM', KEYS[3], old)
  end
end
if ttl == 0 then
  redis.call('PERSIST', KEYS[2])
  redis.call('PERSIST', KEYS[3])
elseif left == -2 or (left >= 0 and left < ttl) then
  redis.call('PEXPIRE', KEYS[2], ttl)
  redis.call('PEXPIRE', KEYS[3], ttl)
end
return 1
"""
)
"""Keys: the thing, the space's names by time, the space's names by end. Arguments: milliseconds
to keep it (0: for ever), the time, its name, how many the space may hold (0: any number), what
their keys begin with, and a value or several fields and values. Also lets a few that have ended
go from the lists, and the lists when the last one has."""

DELETE = """
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1])
"""

SCRIPTS = {
    name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    for name, text in (
        (RECALL, RECALL),
        (REMEMBER, REMEMBER),
        (RELEASE, RELEASE),
        (PUT, PUT),
        (DELETE, DELETE),
        (RESERVE_LIMITS, RESERVE_LIMITS),
        (SETTLE_LIMITS, SETTLE_LIMITS),
    )
}
"""The digest of each script, by which it is called once the server has it."""


def digest(*parts: str) -> str:
    """Thirty-two characters that stand for a name of any length and any characters."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of everything one store keeps."""

    prefix: str

    def epoch(self) -> str:
        return f"{self.prefix}:epoch"

    def trial(self, number: int) -> str:
        """A key that is never there."""
        return f"{self.prefix}:trial:{number}"

    def answers(self, epoch: str = "") -> str:
        """What the keys of answers begin with, of one epoch or of all."""
        return f"{self.prefix}:answer:{epoch}:" if epoch else f"{self.prefix}:answer:"

    def answer(self, epoch: str, partition: str, key: str) -> str:
        return f"{self.prefix}:answer:{epoch}:{digest(partition)}:{digest(key)}"

    def lease(self, epoch: str, partition: str, key: str) -> str:
        return f"{self.prefix}:lease:{epoch}:{digest(partition, key)}"

    def documents(self, space: str) -> str:
        """What the keys of a space's documents begin with; the document's key follows."""
        return f"{self.prefix}:document:{len(space)}:{space}:"

    def passages(self, space: str = "") -> str:
        """What the keys of passages begin with, of one space (a digest follows) or of all."""
        at = f"{self.prefix}:passage:"
        return f"{at}{digest(space)}:" if space else at

    def lists(self, what: str, space: str) -> tuple[str, str]:
        """The names of a space's things by time, and by when they end."""
        at = digest(space)
        return f"{self.prefix}:{what}:by-time:{at}", f"{self.prefix}:{what}:by-end:{at}"

    def index(self, what: str, width: int) -> str:
        """The server's index of the vectors of ``width`` numbers."""
        return f"{self.prefix}:{what}:{width}"
