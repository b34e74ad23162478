-- One user's store: all that must happen at one instant.
--
-- KEYS, all of one slot:
--   1 entries   hash   key -> entry; the field '' -> the store's own record
--   2 order     zset   the keys, all of score 0, so that listings are sorted by their bytes
--   3 expiries  zset   key -> expiry; only keys that expire
--   4 changes   stream <revision>-0 -> key and entry; only while the store is listed or watched
--   5 answers   hash   replies to request ids
--
-- An entry: flags (1: text, 2: expires), revision, expiry if there is one, value.
-- A reply begins with '+' if the call was done, and with '!' and a code if it was refused; then
-- nothing has changed, except that some expired keys are gone.

-- Epoch, revision, bytes, earliest expiry, latest time at which a key expired, end of keeping
-- changes, the revision after which they begin, their bytes, the store's deadline. Times are Unix
-- milliseconds; 0: none.
local RECORD = '<c8I8I8I8I8I8I8I8I8'
-- Record of a store where nothing expires and that is not watched, as most are: epoch, revision,
-- bytes, deadline.
local PLAIN_RECORD = '<c8I8I8I8'
local PLAIN_BYTES = 32
local OVERHEAD = 64
local CHANGE_OVERHEAD = 160
local MAX_CHANGES = 10000
local MAX_CHANGE_BYTES = 1048576
local CHANGES_KEPT_FOR = 300000

-- Time in Unix milliseconds: the given one (of a test), or Redis's. It never goes back behind the
-- time at which a key expired, so that what has expired stays expired.
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

-- Writes the store's record.
local function save(s)
  local record
  if s.next == 0 and s.kept == 0 then
    -- No key is left that could have expired before `seen`.
    record = struct.pack(PLAIN_RECORD, s.epoch, s.revision, s.bytes, s.deadline)
  else
    record = struct.pack(RECORD, s.epoch, s.revision, s.bytes, s.next, s.seen, s.kept, s.from,
      s.kept_bytes, s.deadline)
  end
  redis.call('HSET', s.keys[1], '', record)
  s.dirty = false
end

-- Reads the store's record. A store that does not exist is made with the given epoch; without
-- one, returns nil: the user is gone.
local function open(keys, now, epoch)
  local s = { keys = keys, given = now, seen = 0, view = {}, changes = {}, dirty = false }
  local record = redis.call('HGET', keys[1], '')
  if record and #record == PLAIN_BYTES then
    s.epoch, s.revision, s.bytes, s.deadline = struct.unpack(PLAIN_RECORD, record)
    s.next, s.kept, s.from, s.kept_bytes = 0, 0, 0, 0
  elseif record then
    s.epoch, s.revision, s.bytes, s.next, s.seen, s.kept, s.from, s.kept_bytes, s.deadline =
      struct.unpack(RECORD, record)
  elseif epoch ~= '' then
    s.epoch, s.revision, s.bytes, s.next = epoch, 0, 0, 0
    s.kept, s.from, s.kept_bytes, s.deadline = 0, 0, 0, 0
    save(s)
  else
    return nil
  end
  return s
end

local function gone()
  return { '!', 'gone' }
end

-- Gives a key that was just made the deadline of its store.
local function made(s, key)
  if s.deadline > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', s.deadline)) end
end

-- Returns an entry's revision, expiry or nil, and the length of all before its value.
local function header(entry)
  local flags, revision = struct.unpack('<BI8', entry)
  if flags >= 2 then return revision, struct.unpack('<I8', entry, 10), 17 end
  return revision, nil, 9
end

-- Bytes that an entry counts in quotas.
local function cost(key, entry, head)
  return #key + #entry - head + OVERHEAD
end

-- Number of keys: one field of the hash is the record.
local function count(s)
  return redis.call('HLEN', s.keys[1]) - 1
end

-- Appends a change to the stream, if changes are kept. Ends keeping them five minutes after the
-- last listing or watch.
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
  while revision - s.from > 1
    and (s.kept_bytes > MAX_CHANGE_BYTES or revision - s.from > MAX_CHANGES) do
    local first = redis.call('XRANGE', s.keys[4], '-', '+', 'COUNT', 1)[1]
    if not first then break end
    redis.call('XDEL', s.keys[4], first[1])
    s.kept_bytes = s.kept_bytes - CHANGE_OVERHEAD - 2 * (#first[2][2] + #first[2][4])
    s.from = s.from + 1
  end
end

-- Keeps changes from now on: the caller returns a position, from which a watch may follow.
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

-- Reads the earliest expiry.
local function next_due(s)
  local first = redis.call('ZRANGE', s.keys[3], 0, 0, 'WITHSCORES')
  s.next = first[2] and tonumber(first[2]) or 0
end

-- Removes a key that has expired.
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

-- Removes at most `most` expired keys. Returns their number.
local function expire_some(s, most)
  if s.next == 0 or s.next > clock(s) then return 0 end
  local now = string.format('%.0f', clock(s))
  local due = redis.call('ZRANGEBYSCORE', s.keys[3], '-inf', now, 'LIMIT', 0, most)
  for _, key in ipairs(due) do expire(s, key) end
  next_due(s)
  s.dirty = true
  return #due
end

-- Removes the key if it has expired; called before an operation reads it.
local function expire_if_due(s, key)
  if s.next == 0 or s.next > clock(s) then return end
  local time = redis.call('ZSCORE', s.keys[3], key)
  if time and tonumber(time) <= clock(s) then
    expire(s, key)
    next_due(s)
  end
end
