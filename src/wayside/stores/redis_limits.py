"""What counters of limits ask of a Redis server in one step.

One hash for each user, so that a cluster keeps all of it in one place, and what is asked is one
step however many limits there are. Its fields: ``kind:seconds``, a window (``ends|used|held|
holds``, times in milliseconds by the server's own clock); ``#id``, a hold (``expires|lapsed|`` and
``kind=seconds=amount=ends`` of each part); ``!``, when the first hold expires. What each means is
in :mod:`wayside.maas.counters`. The hash itself expires with the last of
its windows, of which the holds are.
"""

from __future__ import annotations

_COMMON = """
if redis.replicate_commands then redis.replicate_commands() end
local key, id = KEYS[1], '#' .. ARGV[2]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function text(n) return string.format('%.0f', n) end
local function window(name)
  local raw = redis.call('HGET', key, name)
  if not raw then return nil end
  local e, u, h, n = string.match(raw, '^(%-?%d+)|(%-?%d+)|(%-?%d+)|(%-?%d+)$')
  return {tonumber(e), tonumber(u), tonumber(h), tonumber(n)}
end
local function put(name, w)
  redis.call('HSET', key, name, text(w[1]) .. '|' .. text(w[2]) .. '|' .. text(w[3]) .. '|' .. text(w[4]))
end
local function each(parts, act)
  for kind, seconds, amount, ends in string.gmatch(parts, '(%a+)=(%d+)=(%d+)=(%d+)') do
    local name = kind .. ':' .. seconds
    local w = window(name)
    if w and w[1] == tonumber(ends) then
      act(w, kind, tonumber(amount))
      put(name, w)
    end
  end
end
local function let_go(w, kind, amount)
  w[3] = w[3] - amount
  w[4] = w[4] - 1
end
"""  # noqa: E501

RESERVE_LIMITS = (
    _COMMON
    + """
local hold_ms, strict, late = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local due = tonumber(redis.call('HGET', key, '!') or '')
if due and due <= now then
  local soonest
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 1) == '#' then
      local raw = redis.call('HGET', key, name)
      local e, lapsed, parts = string.match(raw, '^(%d+)|(%d)|(.*)$')
      e = tonumber(e)
      if e <= now then
        if lapsed == '1' then
          redis.call('HDEL', key, name)
          e = nil
        else
          each(parts, let_go)
          e = e + late * hold_ms
          redis.call('HSET', key, name, text(e) .. '|1|' .. parts)
        end
      end
      if e and (not soonest or e < soonest) then soonest = e end
    end
  end
  if soonest then redis.call('HSET', key, '!', text(soonest)) else redis.call('HDEL', key, '!') end
end
local windows, amounts, full = {}, {}, nil
local count = (#ARGV - 5) / 4
for i = 1, count do
  local at = 5 + (i - 1) * 4
  local kind, size = ARGV[at + 1], tonumber(ARGV[at + 2])
  local seconds, amount = ARGV[at + 3], tonumber(ARGV[at + 4])
  local w = window(kind .. ':' .. seconds)
  if not w or w[1] <= now then w = {now + tonumber(seconds) * 1000, 0, 0, 0} end
  windows[i] = w
  local left = size - w[2] - w[3]
  if amount <= left then amounts[i] = amount
  elseif kind ~= 'requests' and left > 0 and w[4] == 0 and not strict then amounts[i] = left
  else
    local wait, busy = w[1] - now, 0
    if size > w[2] and w[4] > 0 then wait, busy = 1000, 1 end
    if not full or wait > full[3] then full = {i - 1, left, wait, busy} end
  end
end
if full then return {'full', full[1], full[2], full[3], full[4]} end
local parts, longest = {}, 0
local found = {'granted'}
for i = 1, count do
  local at = 5 + (i - 1) * 4
  local kind, seconds, w = ARGV[at + 1], ARGV[at + 3], windows[i]
  if kind == 'requests' then w[2] = w[2] + amounts[i]
  else
    w[3] = w[3] + amounts[i]
    w[4] = w[4] + 1
    parts[#parts + 1] = kind .. '=' .. seconds .. '=' .. text(amounts[i]) .. '=' .. text(w[1])
  end
  put(kind .. ':' .. seconds, w)
  if w[1] - now > longest then longest = w[1] - now end
  found[#found + 1] = amounts[i]
  found[#found + 1] = tonumber(ARGV[at + 2]) - w[2] - w[3]
  found[#found + 1] = w[1] - now
end
if #parts > 0 then
  local expires = now + hold_ms
  redis.call('HSET', key, id, text(expires) .. '|0|' .. table.concat(parts, ','))
  local first = tonumber(redis.call('HGET', key, '!') or '')
  if not first or expires < first then redis.call('HSET', key, '!', text(expires)) end
end
if redis.call('PTTL', key) < longest then redis.call('PEXPIRE', key, text(longest)) end
return found
"""
)
"""Key: a user's hash. Arguments: milliseconds since the epoch (empty: the server's), the hold's
id, for how long it holds, whether nothing may go over, how many times as long a late settlement
counts, then kind, size, seconds and amount of each limit. Gives ``granted`` and amount, remaining
and milliseconds for each limit, or ``full`` and which, remaining, milliseconds, and 1 where
requests under way are all that is in the way."""

SETTLE_LIMITS = (
    _COMMON
    + """
local raw = redis.call('HGET', key, id)
if not raw then return 0 end
local as_held = ARGV[3] == ''
local took = {tokens = tonumber(ARGV[3]), budget = tonumber(ARGV[4])}
local _, lapsed, parts = string.match(raw, '^(%d+)|(%d)|(.*)$')
each(parts, function(w, kind, amount)
  if lapsed == '0' then let_go(w, kind, amount) end
  if as_held then w[2] = w[2] + amount else w[2] = w[2] + (took[kind] or 0) end
end)
redis.call('HDEL', key, id)
return 1
"""
)
"""Key: a user's hash. Arguments: the time, the hold's id, tokens and money that it took, or two
empty ones for as much as it held. Gives 0 where there is no such hold."""
