-- One user's store: everything that must happen at one instant.
--
-- KEYS, all of one slot:
--   1 entries   hash   key -> entry; the field '' -> the store's own record
--   2 order     zset   the keys, all of score 0: listings go by their bytes
--   3 expiries  zset   key -> when it goes; only keys that expire
--   4 changes   stream <revision>-0 -> key and entry; only while somebody watches
--   5 answers   hash   what was answered to request ids
--
-- An entry: flags (1: text, 2: expires), revision, the expiry if there is one, the value.
-- A reply begins with '+' when it was done, with '!' and a code when it was refused, and nothing has changed then
-- but that some expired keys are gone.

-- Epoch, revision, bytes, next expiry, latest time at which something expired, until when changes are kept, the revision that they
-- begin behind, their bytes, until when the store lives. Zero: none.
local RECORD = '<c8I8I8I8I8I8I8I8I8'
-- The same of a store where nothing expires and that nobody watches, as most are: epoch, revision, bytes, until when it lives.
local PLAIN_RECORD = '<c8I8I8I8'
local PLAIN_BYTES = 32
local OVERHEAD = 64
local CHANGE_OVERHEAD = 160
local MAX_CHANGES = 10000
local MAX_CHANGE_BYTES = 1048576
local CHANGES_KEPT_FOR = 300000

-- The time: as given, or the engine's where none is. What was seen as expired stays so.
local function clock(s)
  if not s.time then
    if s.given ~= '' then
      s.time = tonumber(s.given)
    else
      local time = redis.call('TIME')
      s.time = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    end
    if s.time < s.seen then s.time = s.seen end
  end
  return s.time
end

local function save(s)
  local record
  if s.next == 0 and s.kept == 0 then
    -- No key is left that had expired by what was seen.
    record = struct.pack(PLAIN_RECORD, s.epoch, s.revision, s.bytes, s.life)
  else
    record = struct.pack(RECORD, s.epoch, s.revision, s.bytes, s.next, s.seen, s.kept, s.from, s.kept_bytes, s.life)
  end
  redis.call('HSET', s.keys[1], '', record)
  s.dirty = false
end

-- A new store's epoch is given; without one, a store that is not there is gone.
local function open(keys, now, epoch)
  local s = { keys = keys, given = now, seen = 0, view = {}, changes = {}, dirty = false }
  local record = redis.call('HGET', keys[1], '')
  if record and #record == PLAIN_BYTES then
    s.epoch, s.revision, s.bytes, s.life = struct.unpack(PLAIN_RECORD, record)
    s.next, s.kept, s.from, s.kept_bytes = 0, 0, 0, 0
  elseif record then
    s.epoch, s.revision, s.bytes, s.next, s.seen, s.kept, s.from, s.kept_bytes, s.life =
      struct.unpack(RECORD, record)
  elseif epoch ~= '' then
    s.epoch, s.revision, s.bytes, s.next, s.kept, s.from, s.kept_bytes, s.life = epoch, 0, 0, 0, 0, 0, 0, 0
    save(s)
  else
    return nil
  end
  return s
end

local function gone()
  return { '!', 'gone' }
end

-- A key that was just made lives no longer than its store.
local function made(s, key)
  if s.life > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', s.life)) end
end

-- Revision, expiry, and the length of what comes before the value.
local function header(entry)
  local flags, revision = struct.unpack('<BI8', entry)
  if flags >= 2 then return revision, struct.unpack('<I8', entry, 10), 17 end
  return revision, nil, 9
end

local function cost(key, entry, head)
  return #key + #entry - head + OVERHEAD
end

-- How many keys there are: one field is the record.
local function count(s)
  return redis.call('HLEN', s.keys[1]) - 1
end

-- Puts a change on the stream. Those that nobody asked for in five minutes are kept no longer.
local function publish(s, revision, key, entry)
  if s.kept == 0 then return end
  if clock(s) >= s.kept then
    redis.call('UNLINK', s.keys[4])
    s.kept, s.kept_bytes = 0, 0
    return
  end
  redis.call('XADD', s.keys[4], string.format('%.0f-0', revision), 'k', key, 'e', entry)
  if s.from == revision - 1 then made(s, s.keys[4]) end
  s.kept_bytes = s.kept_bytes + CHANGE_OVERHEAD + 2 * (#key + #entry)
  while revision - s.from > 1 and (s.kept_bytes > MAX_CHANGE_BYTES or revision - s.from > MAX_CHANGES) do
    local first = redis.call('XRANGE', s.keys[4], '-', '+', 'COUNT', 1)[1]
    if not first then break end
    redis.call('XDEL', s.keys[4], first[1])
    s.kept_bytes = s.kept_bytes - CHANGE_OVERHEAD - 2 * (#first[2][2] + #first[2][4])
    s.from = s.from + 1
  end
end

-- Keeps the changes from now on, if they are not kept yet: what is told of the store's position may be watched from.
local function keep(s)
  local now = clock(s)
  if s.kept <= now then
    redis.call('UNLINK', s.keys[4])
    s.from, s.kept_bytes, s.kept = s.revision, 0, now
  end
  if s.kept - now < CHANGES_KEPT_FOR * 0.8 then
    s.kept = now + CHANGES_KEPT_FOR
    s.dirty = true
  end
end

local function next_due(s)
  local first = redis.call('ZRANGE', s.keys[3], 0, 0, 'WITHSCORES')
  s.next = first[2] and tonumber(first[2]) or 0
end

-- Takes out a key that has expired.
local function expire(s, key)
  local entry = redis.call('HGET', s.keys[1], key)
  redis.call('ZREM', s.keys[3], key)
  if entry then
    local _, _, head = header(entry)
    redis.call('HDEL', s.keys[1], key)
    redis.call('ZREM', s.keys[2], key)
    s.bytes = s.bytes - cost(key, entry, head)
    s.revision = s.revision + 1
    publish(s, s.revision, key, 'x')
  end
  if clock(s) > s.seen then s.seen = clock(s) end
  s.dirty = true
end

-- Takes out at most so many of the expired keys.
local function purge(s, most)
  if s.next == 0 or s.next > clock(s) then return 0 end
  local due = redis.call('ZRANGEBYSCORE', s.keys[3], '-inf', string.format('%.0f', clock(s)), 'LIMIT', 0, most)
  for _, key in ipairs(due) do expire(s, key) end
  next_due(s)
  s.dirty = true
  return #due
end

-- Takes the key out if it has expired; before an operation looks at it.
local function touch(s, key)
  if s.next == 0 or s.next > clock(s) then return end
  local time = redis.call('ZSCORE', s.keys[3], key)
  if time and tonumber(time) <= clock(s) then
    expire(s, key)
    next_due(s)
  end
end
