-- Replies to request ids, a hash:
--   'n<number>' -> time, bytes, kind, fingerprint, id, bytes of the values read
--   'a<number>' -> the packed reply, apart since that of a batch may be large
--   'i<id>'     -> number
--   ''          -> first number, next number, bytes

local ID_WINDOW = 300000
local MAX_IDS = 10000
local MAX_ID_BYTES = 16777216

local function open_answers(key)
  local a = { key = key, first = 0, next = 0, bytes = 0 }
  local packed = redis.call('HGET', key, '')
  if packed then a.first, a.next, a.bytes = struct.unpack('<I8I8I8', packed) end
  return a
end

local function save_answers(a)
  redis.call('HSET', a.key, '', struct.pack('<I8I8I8', a.first, a.next, a.bytes))
  redis.call('PEXPIRE', a.key, ID_WINDOW + 60000)
end

local function numbered(kind, number)
  return string.format('%s%.0f', kind, number)
end

local function forget(a, number)
  local packed = redis.call('HGET', a.key, numbered('n', number))
  if not packed then return end
  local known = cmsgpack.unpack(packed)
  redis.call('HDEL', a.key, numbered('n', number), numbered('a', number), 'i' .. known[5])
  a.bytes = a.bytes - known[2]
end

local function forget_first(a)
  forget(a, a.first)
  a.first = a.first + 1
  a.dirty = true
end

-- Forgets replies that have expired, so many at most that the call stays short.
local MAX_FORGOTTEN = 100
local function forget_old(a, now)
  for _ = 1, MAX_FORGOTTEN do
    if a.first >= a.next then return end
    local packed = redis.call('HGET', a.key, numbered('n', a.first))
    if packed and cmsgpack.unpack(packed)[1] + ID_WINDOW > now then return end
    forget_first(a)
  end
end

-- Looks an id up. Returns nil if it is not known; a refusal if it was used for another request;
-- else nil, true, the packed reply, and its time.
local function answered(a, id, fingerprint, kind)
  local number = redis.call('HGET', a.key, 'i' .. id)
  if not number then return nil end
  local known = cmsgpack.unpack(redis.call('HGET', a.key, 'n' .. number))
  if known[4] ~= fingerprint or known[3] ~= kind then return { '!', 'reused' } end
  return nil, true, redis.call('HGET', a.key, 'a' .. number), known[1]
end

-- Remembers a reply, and forgets the oldest if there are too many.
local function remember(a, now, id, fingerprint, kind, record, read, answer)
  local bytes = record + read
  while a.first < a.next and (a.next - a.first >= MAX_IDS or a.bytes + bytes > MAX_ID_BYTES) do
    forget_first(a)
  end
  redis.call('HSET', a.key,
    numbered('n', a.next), cmsgpack.pack({ now, bytes, kind, fingerprint, id, read }),
    'i' .. id, string.format('%.0f', a.next))
  if answer then redis.call('HSET', a.key, numbered('a', a.next), answer) end
  a.bytes = a.bytes + bytes
  a.next = a.next + 1
  save_answers(a)
end

-- Reserves a caller's id for a write to another user's store. Returns the time of the first
-- reservation, if the id was reserved before. KEYS: 1 the caller's answers. ARGV: now, id,
-- fingerprint, bytes of the record, kind.
local function reserve(keys, args)
  local a, s = open_answers(keys[1]), { given = args[1], seen = 0 }
  forget_old(a, clock(s))
  local refused, known, _, first = answered(a, args[2], args[3], args[5])
  if refused or known then
    if a.dirty then save_answers(a) end
    return refused or { '?', first }
  end
  remember(a, clock(s), args[2], args[3], args[5], tonumber(args[4]), 0, nil)
  return { '?' }
end

-- Ends a reservation; the reply itself is kept with the store that was written to. ARGV: id, and
-- the bytes that the reply counts beside the record, or nothing if the write failed.
local function settle_reservation(keys, args)
  local number = redis.call('HGET', keys[1], 'i' .. args[1])
  if not number then return 0 end
  local a = open_answers(keys[1])
  local known = cmsgpack.unpack(redis.call('HGET', keys[1], 'n' .. number))
  forget(a, tonumber(number))
  if args[2] then
    remember(a, known[1], known[5], known[4], known[3], known[2] - known[6], tonumber(args[2]), nil)
  end
  save_answers(a)
  return 1
end

-- Bytes that a reply counts beside its record: those of its values. KEYS: 1 answers. ARGV: id.
local function reply_bytes(keys, args)
  local number = redis.call('HGET', keys[1], 'i' .. args[1])
  if not number then return 0 end
  return cmsgpack.unpack(redis.call('HGET', keys[1], 'n' .. number))[6]
end
