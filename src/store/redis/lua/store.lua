-- The operations on a store.

local PURGE = 64
local PURGE_FOR_ROOM = 256
local MAX_REPLY = 4194304
local OUTCOME_BYTES = 64
local EXAMINED = 2000

-- What an operation knows of a key: as it is, and as it will be.
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

-- Every change of an operation gets its revision here.
local function changed(s, key, entry)
  s.revision = s.revision + 1
  s.changes[#s.changes + 1] = { s.revision, key, entry }
  return s.revision
end

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
    if s.count + s.more >= limits.keys then return { '!', 'keys', string.format('%.0f', s.count + s.more) } end
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
  row.revision, row.expiry, row.cost, row.entry, row.wrote = s.revision + 1, expiry, bytes, entry, true
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

-- Runs the steps on what is known of the keys; nothing is written yet. Gives a refusal, or the outcomes and the bytes of the values read.
local function run(s, limits, kind, args, at)
  local outcomes, read, index = {}, 0, 0
  while args[at] do
    local refused, outcome
    local op = args[at]
    if op == 'p' then
      refused, outcome =
        put(s, limits, args[at + 1], args[at + 2], args[at + 3], args[at + 4], args[at + 5], args[at + 6])
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
    if not refused and kind == 'b' and index * OUTCOME_BYTES + read > MAX_REPLY then refused = { '!', 'reply' } end
    if refused then
      for hole = 3, 4 do refused[hole] = refused[hole] or '' end
      refused[5] = index - 1
      return refused
    end
    outcomes[index] = outcome
  end
  return nil, outcomes, read
end

-- Writes what the operation changed.
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
  if s.life > 0 then
    if s.count == 0 then made(s, s.keys[2]) end
    if expiries and s.next == 0 then made(s, s.keys[3]) end
  end
  if expiries then next_due(s) end
  for _, change in ipairs(s.changes) do
    publish(s, change[1], change[2], change[3])
    s.dirty = true
  end
end

-- Takes out those keys of the steps that have expired.
local function touch_all(s, args, at)
  while s.next > 0 and s.next <= clock(s) and args[at] do
    touch(s, args[at + 1])
    at = at + (args[at] == 'p' and 7 or args[at] == 'd' and 3 or 2)
  end
end

-- ARGV: now, epoch, most keys, most bytes, kind (p, d, b); with five KEYS then id, fingerprint, bytes of the record; then the steps.
local function write(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  local limits, kind, at, a = { keys = tonumber(args[3]), bytes = tonumber(args[4]) }, args[5], 6, nil
  purge(s, PURGE)
  if keys[5] then
    at, a = 9, open_answers(keys[5])
    forget_old(a, clock(s))
    local refused, known, answer = answered(a, args[6], args[7], kind)
    if refused or known then
      if s.dirty then save(s) end
      -- A write, so that a wait for the replicas covers what it repeats.
      save_answers(a)
      return refused or cmsgpack.unpack(answer)
    end
  end
  touch_all(s, args, at)
  local refused, outcomes, read
  repeat
    s.count, s.more = nil, 0
    local revision, bytes = s.revision, s.bytes
    refused, outcomes, read = run(s, limits, kind, args, at)
    if refused then
      s.revision, s.bytes, s.view, s.changes = revision, bytes, {}, {}
    end
    local full = refused and (refused[2] == 'keys' or refused[2] == 'bytes')
  until not full or purge(s, PURGE_FOR_ROOM) == 0
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

-- A key that may have expired, by the time given or else the engine's. ARGV: now, key.
local function read(keys, args)
  local entry = redis.call('HGET', keys[1], args[2])
  if not entry then return false end
  local _, expiry = header(entry)
  if expiry and expiry <= clock({ given = args[1], seen = 0 }) then return false end
  return entry
end

-- Where the store stands, and how much is in it. ARGV: now, epoch, how many expired keys to take out at most, 1 if somebody watches.
local function stand(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  local purged = purge(s, tonumber(args[3]))
  if args[4] == '1' then keep(s) end
  if s.dirty then save(s) end
  local a = open_answers(keys[5])
  if a.next > a.first then
    forget_old(a, clock(s))
    if a.dirty then save_answers(a) end
  end
  return { '+', s.revision, s.epoch, s.next, s.from, purged, count(s), s.bytes, a.bytes }
end

-- ARGV: now, epoch, begin and end of the keys, most rows, most bytes, 1 to leave the values out.
local function list(keys, args)
  local s = open(keys, args[1], args[2])
  if not s then return gone() end
  purge(s, PURGE)
  keep(s)
  if s.dirty then save(s) end
  local from, most_rows, most_bytes, bare = args[3], tonumber(args[5]), tonumber(args[6]), args[7] == '1'
  local reply, rows, bytes, examined, last, go_on = { '+', s.revision, s.epoch, '' }, 0, 0, 0, nil, true
  while go_on do
    local some = redis.call('ZRANGEBYLEX', keys[2], from, args[4], 'LIMIT', 0, 250)
    for _, key in ipairs(some) do
      local entry = redis.call('HGET', keys[1], key)
      local _, expiry, head = header(entry)
      if not (expiry and expiry <= clock(s)) then
        local size = #key + (bare and 0 or #entry - head)
        if rows > 0 and (rows >= most_rows or bytes + size > most_bytes) then
          reply[4], go_on = last, false
          break
        end
        rows, bytes = rows + 1, bytes + size
        reply[#reply + 1] = key
        reply[#reply + 1] = bare and string.sub(entry, 1, head) or entry
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

-- The store is no more.
local function remove(keys)
  return redis.call('UNLINK', unpack(keys))
end

local function register(name, callback, flags)
  redis.register_function({ function_name = PREFIX .. name, callback = callback, flags = flags })
end

register('write', write, {})
-- What frees memory is not refused for want of it.
register('delete', write, { 'allow-oom' })
register('stand', stand, { 'allow-oom' })
register('list', list, { 'allow-oom' })
register('remove', remove, { 'allow-oom' })
register('read', read, { 'no-writes' })
register('claim', claim, {})
register('settle', settle, { 'allow-oom' })
register('weigh', weigh, { 'no-writes' })
