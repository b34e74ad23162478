-- The operations on a store.

local EXPIRED_PER_OPERATION = 64
local EXPIRED_PER_REFUSAL = 256
local MAX_REPLY = 4194304
local OUTCOME_BYTES = 64
-- Number of keys after which a listing ends, and bytes of values that it reads for their headers.
local EXAMINED = 2000
local MAX_HEADER_READS = 1048576

-- Returns the row of a key: its state before the operation and after it.
local function look(s, key)
  local row = s.view[key]
  if row then return row end
  row = {}
  local entry = redis.call('HGET', s.keys[1], key)
  if entry then
    local head
    row.revision, row.expiry, head = header(entry)
    row.cost = cost(key, entry, head)
    row.was, row.expired_at = true, row.expiry
  end
  s.view[key] = row
  return row, entry
end

-- Checks if_revision. Returns a refusal or nil.
local function check(row, wanted)
  if wanted == '' then return nil end
  if not row.revision then
    if tonumber(wanted) == 0 then return nil end
    return { '!', 'absent', wanted }
  end
  if row.wrote then return { '!', 'batched', wanted } end
  if row.revision == tonumber(wanted) then return nil end
  return { '!', 'revision', wanted, string.format('%.0f', row.revision) }
end

-- Counts a change and returns its revision.
local function changed(s, key, entry)
  s.revision = s.revision + 1
  s.changes[#s.changes + 1] = { s.revision, key, entry }
  return s.revision
end

-- Removes a key from the view.
local function leave(s, row)
  s.bytes = s.bytes - (row.cost or 0)
  if row.revision then s.more = s.more - 1 end
  row.revision, row.expiry, row.cost, row.entry, row.wrote = nil, nil, nil, nil, true
end

local function put(s, limits, key, flags, expiry, strict, wanted, value)
  local row = look(s, key)
  local refused = check(row, wanted)
  if refused then return refused end
  expiry = expiry ~= '' and tonumber(expiry) or nil
  if expiry and expiry <= clock(s) then
    if strict == '1' then return { '!', 'passed' } end
    leave(s, row)
    return nil, changed(s, key, 'x')
  end
  local bytes = #key + #value + OVERHEAD
  local all = s.bytes - (row.cost or 0) + bytes
  if not row.revision then
    s.count = s.count or count(s)
    if s.count + s.more >= limits.keys then
      return { '!', 'keys', string.format('%.0f', s.count + s.more) }
    end
  end
  if all > limits.bytes then
    return { '!', 'bytes', string.format('%.0f', bytes), string.format('%.0f', all) }
  end
  local entry
  if expiry then
    entry = struct.pack('<BI8I8', tonumber(flags) + 2, s.revision + 1, expiry) .. value
  else
    entry = struct.pack('<BI8', tonumber(flags), s.revision + 1) .. value
  end
  if not row.revision then s.more = s.more + 1 end
  s.bytes = all
  row.revision, row.expiry, row.cost = s.revision + 1, expiry, bytes
  row.entry, row.wrote = entry, true
  return nil, changed(s, key, entry)
end

local function delete(s, key, wanted)
  local row = look(s, key)
  local refused = check(row, wanted)
  if refused then return refused end
  if not row.revision then return nil, 0 end
  leave(s, row)
  changed(s, key, 'd')
  return nil, 1
end

local function get(s, key)
  local row, entry = look(s, key)
  if row.wrote then return row.entry or false end
  return entry or redis.call('HGET', s.keys[1], key)
end

-- Runs the steps on the view; nothing is written yet. Returns a refusal, or nil, the outcomes and
-- the bytes of the values read.
local function run(s, limits, kind, args, at)
  local outcomes, read, index = {}, 0, 0
  while args[at] do
    local refused, outcome
    local op = args[at]
    if op == 'p' then
      refused, outcome = put(s, limits, args[at + 1], args[at + 2], args[at + 3], args[at + 4],
        args[at + 5], args[at + 6])
      at = at + 7
    elseif op == 'd' then
      refused, outcome = delete(s, args[at + 1], args[at + 2])
      at = at + 3
    else
      outcome = get(s, args[at + 1])
      at = at + 2
      if outcome then
        local _, _, head = header(outcome)
        read = read + #outcome - head
      end
    end
    index = index + 1
    if not refused and kind == 'b' and index * OUTCOME_BYTES + read > MAX_REPLY then
      refused = { '!', 'reply' }
    end
    if refused then
      for hole = 3, 4 do refused[hole] = refused[hole] or '' end
      refused[5] = index - 1
      return refused
    end
    outcomes[index] = outcome
  end
  return nil, outcomes, read
end

-- Writes the changes of the view.
local function commit(s)
  local expiries = false
  for key, row in pairs(s.view) do
    if row.wrote then
      if row.entry then
        redis.call('HSET', s.keys[1], key, row.entry)
        if not row.was then redis.call('ZADD', s.keys[2], 0, key) end
        if row.expiry then
          redis.call('ZADD', s.keys[3], string.format('%.0f', row.expiry), key)
          expiries = true
        end
      elseif row.was then
        redis.call('HDEL', s.keys[1], key)
        redis.call('ZREM', s.keys[2], key)
      end
      if row.expired_at and not row.expiry then
        redis.call('ZREM', s.keys[3], key)
        expiries = true
      end
    end
  end
  if s.deadline > 0 then
    if s.count == 0 then made(s, s.keys[2]) end
    if expiries and s.next == 0 then made(s, s.keys[3]) end
  end
  if expiries then next_due(s) end
  for _, change in ipairs(s.changes) do
    publish(s, change[1], change[2], change[3])
    s.dirty = true
  end
end

-- Removes those keys of the steps that have expired.
local function expire_all_if_due(s, args, at)
  while s.next > 0 and s.next <= clock(s) and args[at] do
    expire_if_due(s, args[at + 1])
    at = at + (args[at] == 'p' and 7 or args[at] == 'd' and 3 or 2)
  end
end

-- Runs a put, delete or batch. ARGV: now, epoch, maximum keys, maximum bytes, kind (p, d, b); with
-- five KEYS then request id, fingerprint, bytes of the record; then the steps.
local function write(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  local limits = { keys = tonumber(args[3]), bytes = tonumber(args[4]) }
  local kind, at, a = args[5], 6, nil
  expire_some(s, EXPIRED_PER_OPERATION)
  if keys[5] then
    at, a = 9, open_answers(keys[5])
    forget_old(a, clock(s))
    local refused, known, answer = answered(a, args[6], args[7], kind)
    if refused or known then
      if s.dirty then save(s) end
      -- Written again, so that WAIT covers the first write, which the reply repeats.
      save_answers(a)
      return refused or cmsgpack.unpack(answer)
    end
  end
  expire_all_if_due(s, args, at)
  local refused, outcomes, read
  repeat
    s.count, s.more = nil, 0
    local revision, bytes = s.revision, s.bytes
    refused, outcomes, read = run(s, limits, kind, args, at)
    if refused then
      s.revision, s.bytes, s.view, s.changes = revision, bytes, {}, {}
    end
    local full = refused and (refused[2] == 'keys' or refused[2] == 'bytes')
  until not full or expire_some(s, EXPIRED_PER_REFUSAL) == 0
  if refused then
    if s.dirty then save(s) end
    return refused
  end
  commit(s)
  local reply = { '+', s.revision, s.next, unpack(outcomes) }
  if a then
    remember(a, clock(s), args[6], args[7], kind, tonumber(args[8]), read, cmsgpack.pack(reply))
  end
  if s.dirty then save(s) end
  return reply
end

-- Reads a key that may have expired. ARGV: now, key.
local function read(keys, args)
  local entry = redis.call('HGET', keys[1], args[2])
  if not entry then return false end
  local _, expiry = header(entry)
  if expiry and expiry <= clock({ given = args[1], seen = 0 }) then return false end
  return entry
end

-- Returns the store's position and contents. ARGV: now, epoch, maximum number of expired keys to
-- remove, 1 to keep changes.
local function status(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  local purged = expire_some(s, tonumber(args[3]))
  if args[4] == '1' then keep(s) end
  if s.dirty then save(s) end
  local a = open_answers(keys[5])
  if a.next > a.first then
    forget_old(a, clock(s))
    if a.dirty then save_answers(a) end
  end
  return { '+', s.revision, s.epoch, s.next, s.from, purged, count(s), s.bytes, a.bytes }
end

-- Returns true if the key has expired.
local function is_due(s, key)
  if s.next == 0 or s.next > clock(s) then return false end
  local time = redis.call('ZSCORE', s.keys[3], key)
  return time and tonumber(time) <= clock(s)
end

-- Returns the next rows of a listing. ARGV: now, epoch, bounds of the keys, maximum rows, maximum
-- bytes, and names, headers or entries. Names are listed without reading any value; Redis has no
-- way to read the head of one alone, so that headers are read up to a number of bytes.
local function list(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  expire_some(s, EXPIRED_PER_OPERATION)
  keep(s)
  if s.dirty then save(s) end
  local from, most_rows, most_bytes = args[3], tonumber(args[5]), tonumber(args[6])
  local names, headers, read = args[7] == 'names', args[7] == 'headers', 0
  local reply, rows, bytes = { '+', s.revision, s.epoch, '' }, 0, 0
  local examined, last, go_on, _ = 0, nil, true, nil
  while go_on do
    local some = redis.call('ZRANGEBYLEX', keys[2], from, args[4], 'LIMIT', 0, 250)
    for _, key in ipairs(some) do
      if not is_due(s, key) then
        local entry, head, size = nil, 0, #key
        if headers then
          read = read + redis.call('HSTRLEN', keys[1], key)
        elseif not names then
          entry = redis.call('HGET', keys[1], key)
          _, _, head = header(entry)
          size = size + #entry - head
        end
        if rows > 0 and (rows >= most_rows or bytes + size > most_bytes
          or read > MAX_HEADER_READS) then
          reply[4], go_on = last, false
          break
        end
        if headers then
          entry = redis.call('HGET', keys[1], key)
          _, _, head = header(entry)
          entry = string.sub(entry, 1, head)
        end
        rows, bytes = rows + 1, bytes + size
        reply[#reply + 1] = key
        if entry then reply[#reply + 1] = entry end
      end
      last, examined = key, examined + 1
    end
    if #some < 250 then
      go_on = false
    elseif go_on and examined >= EXAMINED then
      reply[4], go_on = last, false
    end
    if last then from = '(' .. last end
  end
  return reply
end

-- Removes all keys of a store.
local function remove(keys)
  return redis.call('UNLINK', unpack(keys))
end

local function register(name, callback, flags)
  redis.register_function({ function_name = PREFIX .. name, callback = callback, flags = flags })
end

register('write', write, {})
-- 'allow-oom': a call that frees memory is not refused when memory is full.
register('delete', write, { 'allow-oom' })
register('status', status, { 'allow-oom' })
register('list', list, { 'allow-oom' })
register('remove', remove, { 'allow-oom' })
register('read', read, { 'no-writes' })
register('reserve', reserve, {})
register('settle_reservation', settle_reservation, { 'allow-oom' })
register('reply_bytes', reply_bytes, { 'no-writes' })
